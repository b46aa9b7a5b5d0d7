"""Draws the dashboard from a real run: a gateway, two proxies and callers, scraped by Prometheus, which answers the
dashboard's own queries.

    python picture.py PATH-OF-APIG-PROXY deploy/grafana/apig-proxy.png [SECONDS]

It needs matplotlib, and the program prometheus. Nothing leaves this machine.
"""

import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from image import until  # noqa: E402
from metrics import DASHBOARD  # noqa: E402

PROMETHEUS = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: apig-proxy
    static_configs: [{targets: [%s]}]
"""
WINDOW, STEP = "10s", 1
INK, PAPER, PANEL, LINES = "#d8d9da", "#111217", "#181b1f", "#2c3036"
COLOURS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#37872d", "#8ab8ff"]
NAMED = {"green": "#299c46", "orange": "#d87a17", "red": "#c4162a", "blue": "#1f60c4"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Callers:
    """Programs that call, each in a thread, until they are told to stop."""

    def __init__(self, ports: list[int], end: float) -> None:
        self.ports = ports
        self.end = end
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(6)]
        for thread in self.threads:
            thread.start()

    def run(self, number: int) -> None:
        chosen = random.Random(number)
        while time.monotonic() < self.end:
            self.call(chosen)
            # More and less of them, as in the course of a day.
            time.sleep(chosen.uniform(0.005, 0.02) * (1.6 + math.sin(time.monotonic() / 12)))

    def call(self, chosen: random.Random) -> None:
        url = f"http://127.0.0.1:{chosen.choice(self.ports)}"
        kind = chosen.random()
        if kind < 0.55:
            request = urllib.request.Request(f"{url}/v1/infers/flowers", data=b'{"a": 1}', headers={"content-type": "application/json"})
        elif kind < 0.85:
            request = urllib.request.Request(f"{url}/v1/models?limit=10")
        elif kind < 0.97:
            request = urllib.request.Request(f"{url}/v1/images", data=os.urandom(chosen.choice([20_000, 200_000, 2_000_000])))
        elif kind < 0.985:
            request = urllib.request.Request(f"{url}/old/v1")
        elif kind < 0.993:
            request = urllib.request.Request(f"{url}/v1", headers={"host": "rebound.example"})
        else:
            request = urllib.request.Request(f"{url}/v1", method="PATCH")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                answer.read()
        except (urllib.error.URLError, OSError):
            pass


def run(binary: str, folder: Path, seconds: float) -> tuple[dict, float, float]:
    """What each query of the dashboard gave over a run, and from when to when."""
    processes: list[subprocess.Popen] = []
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        upstream = free_port()
        processes.append(subprocess.Popen([binary, "gateway", f"--listen=127.0.0.1:{upstream}", f"--dir={folder}/gateway"], **quiet))
        config = folder / "gateway/apig-proxy.toml"
        if not until(config.exists):
            raise RuntimeError("the gateway does not start")
        # One route leads to an environment that there is not.
        routes = f'\n[[route]]\npath = "/old"\nupstream = "https://127.0.0.1:{upstream}"\nstage = "OLD"\n'
        config.write_text(config.read_text() + routes)
        ports, admins = [], []
        for _ in range(2):
            port, admin = free_port(), free_port()
            command = [binary, f"--config={config}", f"--listen=127.0.0.1:{port}", f"--admin=127.0.0.1:{admin}"]
            processes.append(subprocess.Popen(command, **quiet))
            ports.append(port)
            admins.append(admin)
        web = free_port()
        (folder / "prometheus.yaml").write_text(PROMETHEUS % ", ".join(f'"127.0.0.1:{admin}"' for admin in admins))
        processes.append(subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                                           f"--web.listen-address=127.0.0.1:{web}"], **quiet))
        begin = time.time()
        callers = Callers(ports, time.monotonic() + seconds)
        # The file with the key is replaced; then, for some seconds, the gateway does not answer.
        time.sleep(seconds * 0.3)
        key = folder / "gateway/credentials.csv"
        shutil.copy(key, folder / "gateway/new")
        (folder / "gateway/new").rename(key)
        time.sleep(seconds * 0.3)
        processes[0].send_signal(signal.SIGSTOP)
        time.sleep(4)
        processes[0].send_signal(signal.SIGCONT)
        for thread in callers.threads:
            thread.join(timeout=seconds)
        return ask(web, begin + 12, begin + seconds), begin + 12, begin + seconds
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(timeout=40)


def ask(web: int, begin: float, end: float) -> dict:
    board = json.loads(DASHBOARD.read_text())
    found = {}
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", WINDOW).replace("$job", ".*").replace("$instance", ".*")
            asked = urllib.parse.urlencode({"query": expression, "start": begin, "end": end, "step": STEP})
            with urllib.request.urlopen(f"http://127.0.0.1:{web}/api/v1/query_range?{asked}", timeout=30) as answer:
                found[panel["id"], target["refId"]] = json.load(answer)["data"]["result"]
    return found


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """A value as Grafana writes it."""
    if unit == "percentunit":
        return f"{100 * value:.{decimals if decimals is not None else 1}f} %"
    if unit == "bytes":
        return f"{value / 1024:.0f} KiB" if value < 1 << 20 else f"{value / (1 << 20):.1f} MiB"
    if unit == "s" and value:
        for limit, factor, name in ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min")):
            if value < limit:
                return f"{value * factor:.3g} {name}"
        return f"{value / 3600:.3g} h"
    said = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return said + {"reqps": " req/s", "s": " s"}.get(unit, "")


def legend(target: dict, labels: dict) -> str:
    said = target["legendFormat"]
    for name, value in labels.items():
        said = said.replace("{{" + name + "}}", value)
    return said


def draw_stat(axes, panel: dict, results: list) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    values = [float(value) for result in results for _, value in result["values"] if value != "NaN"]
    value = values[-1] if values else None
    reached = [step["color"] for step in defaults["thresholds"]["steps"] if step["value"] is None or (value is not None and value >= step["value"])]
    shown = defaults.get("noValue", "no data") if value is None else text(value, defaults["unit"], defaults.get("decimals"))
    for mapping in defaults["mappings"]:
        shown = mapping["options"].get(f"{value:g}" if value is not None else "", {}).get("text", shown)
    axes.set_facecolor(NAMED["green" if value is None else reached[-1]])
    axes.text(0.5, 0.45, shown, ha="center", va="center", color="white", fontsize=13, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_series(axes, panel: dict, found: dict, begin: float) -> None:
    custom = panel["fieldConfig"]["defaults"]["custom"]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    lines = [(legend(target, result["metric"]), result["values"]) for target in panel["targets"] for result in found[panel["id"], target["refId"]]]
    lines = sorted(line for line in lines if any(value != "NaN" for _, value in line[1]))
    if custom["stacking"]["mode"] == "normal" and lines:
        moments = sorted({moment for _, values in lines for moment, _ in values})
        table = [{moment: float(value) for moment, value in values} for _, values in lines]
        axes.stackplot([moment - begin for moment in moments], [[row.get(moment, 0) for moment in moments] for row in table],
                       labels=[label for label, _ in lines], colors=COLOURS, alpha=0.75, linewidth=0)
    else:
        for (label, values), colour in zip(lines, COLOURS * 4):
            axes.plot([moment - begin for moment, _ in values], [float(value) for _, value in values], label=label, color=colour, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(lambda value, _: text(value, unit))
    axes.xaxis.set_major_formatter(lambda value, _: f"{int(value) // 60}:{int(value) % 60:02}")
    axes.grid(color=LINES, linewidth=0.5)
    axes.tick_params(colors=INK, labelsize=5.5, length=0)
    if lines:
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.1), ncols=3, fontsize=5, frameon=False, labelcolor=INK, handlelength=1, columnspacing=1)


def draw(found: dict, begin: float, end: float, file: str) -> None:
    board = json.loads(DASHBOARD.read_text())
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    figure = plt.figure(figsize=(11, rows * 0.3), facecolor=PAPER)
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, width = place["x"] / 24, place["w"] / 24
        bottom, height = 1 - (place["y"] + place["h"]) / rows, place["h"] / rows
        if panel["type"] == "row":
            figure.text(left + 0.008, bottom + height / 2, panel["title"], color=INK, fontsize=8, weight="bold", va="center")
            continue
        figure.add_artist(plt.Rectangle((left + 0.003, bottom + 0.003), width - 0.006, height - 0.006, facecolor=PANEL, edgecolor=LINES, linewidth=0.5,
                                        transform=figure.transFigure, zorder=-1))
        figure.text(left + 0.01, bottom + height - 0.008, panel["title"], color=INK, fontsize=6.5, va="top")
        if panel["type"] == "stat":
            axes = figure.add_axes((left + 0.008, bottom + 0.008, width - 0.016, height * 0.62))
            draw_stat(axes, panel, found[panel["id"], "A"])
        else:
            axes = figure.add_axes((left + 0.047, bottom + height * 0.27, width - 0.06, height * 0.58))
            draw_series(axes, panel, found, begin)
            axes.set_xlim(0, end - begin)
        axes.patch.set_facecolor(axes.get_facecolor() if panel["type"] == "stat" else PANEL)
        for side in axes.spines.values():
            side.set_visible(False)
    figure.savefig(file, dpi=100, facecolor=PAPER)


def main() -> int:
    binary, file = sys.argv[1:3]
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 100
    with tempfile.TemporaryDirectory() as name:
        found, begin, end = run(binary, Path(name), seconds)
    draw(found, begin, end, file)
    empty = sorted({panel for (panel, _), result in found.items() if not result})
    print(f"{os.path.getsize(file):,} bytes; panels without data: {empty or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
