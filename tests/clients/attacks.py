"""Attacks that exhaust: slow clients in the four modes of slowhttptest, and what the proxy does meanwhile.

    python attacks.py PATH-OF-APIG-PROXY

slowhttptest says by itself whether the service stays available. Loopback only; each attack lasts some seconds.
"""

import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from checks import Checks
from gateway import Gateway
from proxy import Proxy

SECONDS = 12
CONNECTIONS = 500
# The options of each mode: slow heads, slow bodies, ranges, slow reading.
MODES = {
    "slow heads": ["-H", "-i", "2", "-x", "24"],
    "slow bodies": ["-B", "-i", "2", "-x", "10", "-s", "8192"],
    "ranges": ["-R", "-a", "10", "-b", "3000", "-t", "HEAD"],
    "slow reading": ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "3"],
}
LIMITS = '[timeouts]\nheader_read = "5s"\nbody_idle = "5s"\nidle = "5s"\n'

checks = Checks()
check = checks.check


def served(port: int) -> bool:
    """Whether an ordinary caller is answered."""
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/v1", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def attack(binary: str, name: str, options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(Path(folder))
        gateway.start()
        proxy = Proxy(binary, Path(folder), gateway, "error", LIMITS)
        answered: list[bool] = []
        over = threading.Event()

        def call() -> None:
            while not over.wait(0.5):
                answered.append(served(proxy.port))

        caller = threading.Thread(target=call)
        try:
            idle = proxy.memory("VmRSS")
            caller.start()
            done = subprocess.run(
                ["slowhttptest", *options, "-c", str(CONNECTIONS), "-r", "200", "-l", str(SECONDS), "-p", "3",
                 "-u", f"http://localhost:{proxy.port}/v1"],
                capture_output=True, text=True, timeout=6 * SECONDS, check=False)
            over.set()
            caller.join()
            peak = proxy.memory("VmHWM")
            # It colours what it says.
            said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
            states = re.findall(r"service available:\s+(\w+)", said)
            check(bool(states) and set(states) == {"YES"}, f"{name}: service available: {states} {done.stdout[-500:]}{done.stderr}")
            check(len(answered) > 2 and all(answered), f"{name}: {answered.count(False)} of {len(answered)} ordinary callers were not answered")
            check(peak - idle <= 64, f"{name}: {peak - idle:.0f} MiB over idle")
            print(f"{name}: available {len(states)} times of {len(states)}, {len(answered)} others answered; {idle:.0f} MiB idle, {peak:.0f} MiB at the peak", flush=True)
        finally:
            over.set()
            code = proxy.stop()
        check(code == 0, f"{name}: the proxy ended with {code}")


def main() -> int:
    started = time.monotonic()
    for name, options in MODES.items():
        attack(sys.argv[1], name, options)
    print(f"{time.monotonic() - started:.0f} s")
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
