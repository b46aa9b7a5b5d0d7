"""Violations of HTTP/2, as h2spec has them: each ends as RFC 9113 allows, reaches nothing, and hurts nobody else.

    python h2_violations.py PATH-OF-APIG-PROXY [NAME]

Raw frames over loopback; with NAME, only the cases whose name contains it. The cases are in `h2_cases.py`
and `h2_floods.py`.
"""

import sys
import tempfile
from pathlib import Path

from checks import Checks
from gateway import Gateway
from h2_cases import Case, cases
from h2_floods import floods
from h2_wire import Connection, served
from proxy import Proxy

# How much more memory, in MiB, a flood may take than there was before it.
ROOM = 48
# A connection without a stream is idle, also when a part of a frame has come.
LIMITS = '[timeouts]\nheader_read = "3s"\nkeep_alive = "3s"\n'


def run(case: Case, port: int) -> str:
    """What a case leads to."""
    try:
        with Connection(port, with_preface=case.with_preface) as connection:
            try:
                case.send(connection)
            except OSError:
                # It ends while we still send; why, is still to be read.
                pass
            return connection.outcome(case.with_probe, case.ends)
    except OSError:
        return "closed"


def main() -> int:
    binary = sys.argv[1]
    part = sys.argv[2] if len(sys.argv) > 2 else ""
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        gateway.start()
        proxy = Proxy(binary, Path(name), gateway, "info", LIMITS)
        try:
            checks.check(served(proxy.port), "an ordinary request is not served")
            idle = proxy.memory("VmRSS")
            for case in cases() + floods():
                if part not in case.name:
                    continue
                before = gateway.requests
                outcome = run(case, proxy.port)
                checks.check(outcome in case.allowed, f"{case.name}: {outcome}, and allowed is {sorted(case.allowed)}")
                arrived = gateway.requests - before
                checks.check(arrived <= case.reaches, f"{case.name}: {arrived} requests reached the gateway")
                checks.check(served(proxy.port), f"{case.name}: the next request is not served")
            peak = proxy.memory("VmHWM")
            checks.check(peak - idle <= ROOM, f"{peak - idle:.0f} MiB over idle")
            print(f"{idle:.0f} MiB idle, {peak:.0f} MiB at the peak")
        finally:
            code = proxy.stop()
        checks.check(code == 0, f"the proxy ended with {code}")
        checks.check("panicked" not in proxy.log, "the proxy panicked")
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed or not checks.passed else 0


if __name__ == "__main__":
    sys.exit(main())
