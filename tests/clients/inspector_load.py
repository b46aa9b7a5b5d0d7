"""5,000 requests per second while the inspector's page is open and a reader of the feed never reads: no request fails, memory
stays within its bound, no more is recorded than the limit says, and what was not is counted and shown. Needs h2load, and root.

    python inspector_load.py PATH-OF-APIG-PROXY
"""

import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import Page

from checks import Checks
from inspected import Inspected, ProgramsGateway, wait_for
from inspector_page import InspectorPage, chromium
from proxy import Proxy

CLIENTS, RATE, SECONDS = 20, 250, 10
SMALL, LARGE = b'{"a": 1}', b'"' + b"x" * (60 << 10) + b'"'
# The rate of long bodies, which fill the memory, and for how long.
FILL = (20, 5)
# Requests that are recorded in a second, and at once.
PACE, BURST = 1000, 500
# What the inspector may keep, and what it may need besides, in MiB.
MEMORY, MORE = 32, 2
LIMITS = f'memory = "{MEMORY}MiB"\n'
FRAMES = """() => { window.gaps = []; let last = performance.now();
  const frame = (now) => { gaps.push(now - last); last = now; requestAnimationFrame(frame); }; requestAnimationFrame(frame); }"""


class Load(threading.Thread):
    """A steady rate of requests, each with a body, and what became of them."""

    def __init__(self, port: int, folder: Path, body: bytes, rate: int, seconds: int) -> None:
        super().__init__(daemon=True)
        self.file = folder / f"body-{len(body)}"
        self.file.write_bytes(body)
        self.command = ["h2load", "--h1", "-c", str(CLIENTS), "--rps", str(rate), "-D", str(seconds), "-d", str(self.file),
                        "-H", "content-type: application/json", f"http://127.0.0.1:{port}/v1/items?limit=10"]
        self.told = ""

    def run(self) -> None:
        self.told = subprocess.run(self.command, capture_output=True, text=True, timeout=120).stdout

    @property
    def counts(self) -> dict[str, int]:
        """Requests by what became of them, and how many had the status 2xx."""
        line = re.search(r"^requests: (.*)$", self.told, re.M)[1]
        counts = {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", line)}
        return counts | {"2xx": int(re.search(r"status codes: (\d+) 2xx", self.told)[1])}


def memory(proxy: Proxy) -> float:
    """MiB that the proxy has, with its share of what others have too."""
    rollup = Path(f"/proc/{proxy.process.pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1]) / 1024


def peak(proxy: Proxy, load: Load, page: Page | None = None) -> float:
    """The most memory during a load. The page scrolls meanwhile."""
    most = 0.0
    load.start()
    while load.is_alive():
        most = max(most, memory(proxy))
        if page:
            page.mouse.wheel(0, 200)
            page.wait_for_timeout(100)
        load.join(0.1)
    return max(most, memory(proxy))


def never_reads(proxy: Inspected) -> socket.socket:
    """A reader of the feed with a small buffer, who never reads."""
    stream = socket.socket()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stream.connect(("127.0.0.1", proxy.admin_port))
    stream.sendall(f"GET /inspect/v1/feed?after=0 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {proxy.token}\r\n\r\n".encode())
    return stream


def all_answered(counts: dict[str, int]) -> bool:
    """True if no request failed. Those that are under way when the time is over count as neither done nor failed."""
    return counts["failed"] == counts["errored"] == counts["timeout"] == 0 < counts["done"] == counts["succeeded"] <= counts["2xx"]


def accounted(state: dict) -> int:
    """Requests that were recorded, and what was not."""
    return state["kept"] + state["evicted"] + state["dropped"]


def dropped(checks: Checks, proxy: Inspected, shown: InspectorPage) -> int:
    """Keeps the inspector busy with archives under load; how much was not recorded, which the page and the metrics tell."""
    load = Load(proxy.proxy.port, proxy.folder, LARGE, 100, 5)
    load.start()
    while load.is_alive():
        proxy.ask("har")
    load.join()
    checks.check(all_answered(load.counts), f"requests failed while archives were made: {load.counts}")
    # Workers tell of the last ones in their own time.
    time.sleep(0.2)
    count = proxy.json("state")["dropped"]
    metrics = subprocess.run(["curl", "-sS", f"http://127.0.0.1:{proxy.admin_port}/metrics"], capture_output=True, text=True, timeout=30).stdout
    told = re.search(r"^apig_proxy_inspect_dropped_total (\d+)$", metrics, re.M)
    checks.check(told and int(told[1]) == count, f"{count} dropped, and the metric says {told and told[1]}")
    checks.check(count and shown.text_has("#strip", f"{count} requests or parts"), f"the page shows {shown.page.inner_text('#strip')!r}, not {count}")
    return count


def with_inspector(checks: Checks, binary: str, folder: Path, behind: ProgramsGateway, without: list[float]) -> None:
    proxy = Inspected(binary, folder, behind, LIMITS)
    try:
        with chromium() as browser:
            shown = InspectorPage(browser, proxy)
            stuck = never_reads(proxy)
            shown.page.mouse.move(600, 400)
            shown.page.evaluate(FRAMES)
            load = Load(proxy.proxy.port, proxy.folder, SMALL, RATE, SECONDS)
            most, counts = peak(proxy.proxy, load, shown.page), load.counts
            gaps = sorted(shown.page.evaluate("gaps"))
            state = proxy.json("state")
            print(f"with the inspector: {counts}, {most:.1f} MiB at the peak, frames {gaps[len(gaps) // 2]:.0f} ms in the middle, "
                  f"{gaps[len(gaps) * 95 // 100]:.0f} ms at 95 %; {state['kept']} kept, {state['evicted']} evicted, {state['dropped']} dropped")
            checks.check(all_answered(counts), f"all are answered: {counts}")
            recorded = state["kept"] + state["evicted"]
            checks.check(recorded <= BURST + PACE * (SECONDS + 1), f"{recorded} are recorded")
            # The last ones are on their way yet.
            are_told = wait_for(lambda: accounted(proxy.json("state")) >= counts["done"])
            checks.check(are_told, f"{counts['done']} are recorded or counted: {state}")
            checks.check(state["memory"] <= MEMORY << 20, f"{state['memory']} bytes are kept")
            checks.check(most <= without[0] + MEMORY + MORE, f"{most:.1f} MiB are more than {without[0]:.1f} and {MEMORY + MORE} MiB")
            proxy.send("GET", "/v1/last")
            checks.check(wait_for(lambda: any(one["path"] == "/v1/last" for one in proxy.ended())), "what comes later is kept")
            # Rows that are scrolled away have no text that is drawn.
            checks.check(shown.has("document.querySelector('#list tbody tr').textContent.includes('/v1/last')"), "the page follows")
            checks.check(shown.text_has("#strip", "older requests removed"), "the page says that older ones had to go")
            large = Load(proxy.proxy.port, proxy.folder, LARGE, *FILL)
            full = peak(proxy.proxy, large, shown.page)
            kept = proxy.json("state")["memory"] / (1 << 20)
            print(f"full, {kept:.1f} MiB kept: {large.counts}, {full:.1f} MiB at the peak")
            checks.check(all_answered(large.counts) and MEMORY / 2 <= kept <= MEMORY, f"{kept:.1f} MiB are kept")
            checks.check(full <= without[1] + MEMORY + MORE, f"{full:.1f} MiB are more than {without[1]:.1f} and {MEMORY + MORE} MiB")
            print(f"{dropped(checks, proxy, shown)} not recorded; {memory(proxy.proxy):.1f} MiB")
            shown.is_silent(checks, "the page under load")
            stuck.close()
    finally:
        checks.check(proxy.proxy.stop() == 0, "the proxy ends in good order")


def main() -> int:
    binary, checks = sys.argv[1], Checks()
    with tempfile.TemporaryDirectory() as name:
        behind = ProgramsGateway(binary, Path(name))
        try:
            off = Proxy(binary, Path(name), behind, "info")
            loads = [Load(off.port, Path(name), SMALL, RATE, SECONDS), Load(off.port, Path(name), LARGE, *FILL)]
            without = [peak(off, load) for load in loads]
            for load, most in zip(loads, without):
                print(f"without: {load.counts}, {most:.1f} MiB at the peak", flush=True)
            off.stop()
            with_inspector(checks, binary, Path(name), behind, without)
        finally:
            behind.stop()
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
