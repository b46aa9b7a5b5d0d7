"""What the inspector costs: requests per second with it on and off, in turn, of one program.

    python tests/bench/inspector.py PATH-OF-APIG-PROXY WORK-FOLDER [ROUNDS] [SECONDS]

`tests/bench/prepare.sh WORK-FOLDER` installs and builds what this needs. Prints a table in Markdown.
"""

import json
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measured import Process, Proxy, free_port, spread, table

LOAD = str(Path(__file__).with_name("load.lua"))
CONNECTIONS = "32"
# The name of each case, and the body of its requests.
CASES = {"GET without a body": ("none", 0), "POST of 1 KiB of JSON": ("json", 1024)}
# Configurations of the inspector.
OFF, ON, HEADS = "off", "on", "on, heads only"
INSPECT = {
    OFF: "",
    ON: "[inspect]\nenabled = true\n",
    HEADS: '[inspect]\nenabled = true\nbodies = "off"\n',
}


class Upstream(Process):
    """The upstream of the comparison, which verifies nothing, and a key for the proxies before it."""

    def __init__(self, work: Path, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        shutil.copy(work / "certificates" / "ca.pem", folder)
        credentials = folder / "credentials.csv"
        credentials.touch(mode=0o600)
        credentials.write_text(f"User Name,Access Key Id,Secret Access Key\ntest,AK{secrets.token_hex(9).upper()},{secrets.token_hex(20)}\n")
        super().__init__([str(work / "upstream/release/bench-upstream"), f"--address=127.0.0.1:{self.port}",
                          f"--certificates={work / 'certificates'}", "--alpn=h2", "--threads=1"])
        time.sleep(0.5)


def load(proxy: Proxy, body: str, size: int, seconds: str) -> tuple[float, float]:
    """Requests per second, and the proxy's processor time of 100,000 of them in seconds."""
    before = proxy.cpu
    command = ["wrk", "-t1", "-c", CONNECTIONS, "-d", seconds, "-s", LOAD, f"http://127.0.0.1:{proxy.port}/v1/items?limit=10"]
    variables = {**os.environ, "BENCH_BODY": body, "BENCH_SIZE": str(size)}
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=variables).stdout
    result = json.loads(re.search(r"^JSON (.*)$", told, re.M)[1])
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} errors")
    return result["requests"] / result["seconds"], (proxy.cpu - before) / result["requests"] * 1e5


def main() -> int:
    binary, work, rounds, seconds = [*sys.argv[1:], *["5", "3"][len(sys.argv) - 3:]]
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, Upstream(Path(work), Path(folder)) as upstream:
        proxies = {name: Proxy(binary, upstream, more, admin=name != OFF) for name, more in INSPECT.items()}
        try:
            for at in range(int(rounds) + 1):
                # Each round begins with another one; the first round warms up.
                for name in [*INSPECT, *INSPECT][at % len(INSPECT):][:len(INSPECT)]:
                    for case, body in CASES.items():
                        measured = load(proxies[name], *body, seconds if at else "1")
                        if at:
                            found.setdefault((case, name), []).append(measured)
        finally:
            for proxy in proxies.values():
                proxy.stop()
    rows = []
    for (case, name), measured in found.items():
        rates, cpus = zip(*measured)
        ratios = [rate / off for rate, (off, _) in zip(rates, found[case, OFF])]
        rows.append([case, name, f"{statistics.median(rates):,.0f}", spread(ratios, 2), f"{statistics.median(cpus):.2f}"])
    rows.sort(key=lambda row: row[0])
    columns = ["requests", "inspector", "req/s", "of those with it off, median (least..most)", "CPU s per 100,000"]
    print(table(f"{CONNECTIONS} connections, {rounds} rounds of {seconds} s", columns, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
