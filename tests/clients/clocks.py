"""The proxy on a machine whose clock is wrong, or is set while it runs (libfaketime).

    python clocks.py PATH-OF-APIG-PROXY
"""

import json
import os
import sys
import tempfile
import time
import unittest.mock
import urllib.error
import urllib.request
from pathlib import Path

from checks import Checks
from gateway import Gateway
from proxy import Proxy

LIBRARIES = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"]


class Clock:
    """The wall clock of one process, so many seconds off; the clock that only goes forward is left alone."""

    def __init__(self, folder: Path, seconds: int) -> None:
        self.file = folder / "clock"
        self.set(seconds)
        found = [name for name in LIBRARIES if Path(name).exists()]
        if not found:
            raise RuntimeError("libfaketime is missing: install the package faketime")
        self.library = found[0]
        self.variables = {"LD_PRELOAD": self.library, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                          "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, seconds: int) -> None:
        self.file.write_text(f"{seconds:+d}\n")


def get(proxy: Proxy) -> tuple[int, str, str]:
    """Status, hint and the code of an error."""
    try:
        with urllib.request.urlopen(f"http://localhost:{proxy.port}/v1", timeout=30) as answer:
            return answer.status, "", ""
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("X-Apig-Proxy-Hint", ""), json.load(error)["error_code"]


def run(binary: str, seconds: int, corrects: bool, steps) -> None:
    with tempfile.TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        clock = Clock(Path(name), seconds)
        # Certificates are valid from some time before; of these the clock would be that of the machine.
        with unittest.mock.patch.dict(os.environ, {"LD_PRELOAD": clock.library, "FAKETIME": "-1d"}):
            gateway.start()
        more = f"[clock]\ncorrect = {str(corrects).lower()}\n"
        proxy = Proxy(binary, Path(name), gateway, "info", more, clock.variables)
        try:
            steps(gateway, clock, proxy)
        finally:
            code = proxy.stop()
        check(code == 0, f"the proxy ended with {code}")


checks = Checks()
check = checks.check


def corrected(seconds: int):
    def steps(gateway: Gateway, clock: Clock, proxy: Proxy) -> None:
        first = get(proxy)
        check(first[0] == 200 and gateway.requests == 2, f"{seconds} s off: {first}, {gateway.requests} requests")
        for _ in range(20):
            get(proxy)
        check(gateway.requests == 22 and gateway.refused == 1, f"{gateway.requests} requests, {gateway.refused} refused")
        check(proxy.log.count("this machine's clock is") == 1, f"one warning: {proxy.log}")
        # Somebody sets the clock right: what was learned is void, and nothing is refused.
        clock.set(0)
        time.sleep(0.1)
        statuses = [get(proxy)[0] for _ in range(5)]
        check(statuses == [200] * 5 and gateway.refused == 1, f"the clock was set right: {statuses}, {gateway.refused} refused")

    return steps


def jumping(gateway: Gateway, clock: Clock, proxy: Proxy) -> None:
    check(get(proxy)[0] == 200 and gateway.requests == 1, "a clock that is right")
    for seconds in (3600, -7200, 0, 1000):
        before = gateway.requests
        clock.set(seconds)
        time.sleep(0.1)
        status = get(proxy)[0]
        check(status == 200 and gateway.requests - before <= 2, f"the clock jumped to {seconds:+d} s: {status}")
    # Timeouts do not follow the clock: the connection that was idle meanwhile is used again.
    check(gateway.connections <= 2, f"{gateway.connections} connections")


def reporting(gateway: Gateway, clock: Clock, proxy: Proxy) -> None:
    status, hint, code = get(proxy)
    check(status == 401 and code == "APIG.0301" and gateway.requests == 1, f"without correction: {status} {code}")
    check(any(str(seconds) in hint for seconds in range(1195, 1206)), f"the hint names the seconds: {hint}")
    print(f"hint: {hint}")


def main() -> int:
    for seconds in (-1200, 1200):
        run(sys.argv[1], seconds, True, corrected(seconds))
    run(sys.argv[1], 0, True, jumping)
    run(sys.argv[1], -1200, False, reporting)
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
