"""Real clients through the proxy to a gateway that recomputes each signature with Huawei's own SDK.

    python run.py PATH-OF-APIG-PROXY [SEED]
"""

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import senders
from cases import Case, RandomCases, fixed
from gateway import Gateway, Refused, Request
from proxy import Proxy
from senders import Result, header_list

Sender = Callable[[int, list[Case]], list[Result]]


class Checks:
    """Counts what held and what did not."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def check(self, holds: bool, what: str) -> None:
        self.passed += holds
        self.failed += not holds
        if not holds:
            print(f"FAILED {what}", flush=True)


def respelt(target: str) -> str:
    """A target as it has to arrive."""
    path, mark, query = target.partition("?")
    return path + mark + query.replace("+", "%20").replace(";", "%3B")


def difference(case: Case, result: Result) -> str:
    """What of an answer is not as it should be; nothing if all is well."""
    sent, status, answer = result
    if status != 200:
        return f"status {status}: {answer}"
    expected = {
        "method": case.method,
        "target": respelt(sent),
        "body_bytes": len(case.body),
        "body_sha256": hashlib.sha256(case.body).hexdigest(),
    }
    for name, value in expected.items():
        if answer[name] != value:
            return f"{name} is {answer[name]!r} and not {value!r}"
    is_unsigned = "x-sdk-content-sha256" in answer["signed_headers"]
    if is_unsigned != case.is_unsigned:
        return f"unsigned is {is_unsigned}"
    return header_difference(case, answer["headers"])


def header_difference(case: Case, arrived: list[list[str]]) -> str:
    for name in {name for name, _ in header_list(case)}:
        ours = [value for key, value in header_list(case) if key == name]
        theirs = [value for key, value in arrived if key.lower() == name]
        # A client may join repeated values itself; what it sends then is one line.
        if theirs != ours and theirs != [", ".join(ours)]:
            return f"{name} is {theirs!r} and not {ours!r}"
    return ""


def run_group(checks: Checks, name: str, sender: Sender, port: int, cases: list[Case]) -> int:
    results = sender(port, cases)
    before = checks.failed
    checks.check(len(results) == len(cases), f"{name}: {len(results)} answers to {len(cases)} requests")
    for case, result in zip(cases, results):
        wrong = difference(case, result)
        checks.check(not wrong, f"{name}: {case.method} {case.target} ({len(case.body)} bytes): {wrong}")
    print(f"{name}: {len(cases)} requests, {checks.failed - before} failed", flush=True)
    return len(cases)


def self_test(checks: Checks, gateway: Gateway) -> None:
    """The gateway must be able to refuse, or what it accepts proves nothing."""
    def signed(target: str, leave_out: str = "") -> Request:
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = [("host", "gw"), ("x-sdk-date", date), ("x-stage", "RELEASE")]
        request = Request("GET", target, [header for header in headers if header[0] != leave_out])
        names = [name for name, _ in request.headers]
        signature = gateway._signature(request, names, "space", "itself")
        value = f"SDK-HMAC-SHA256 Access={gateway.access_key}, SignedHeaders={';'.join(names)}, Signature={signature}"
        request.headers.append(("authorization", value))
        return request

    def accepted(request: Request) -> bool:
        try:
            gateway.verify(request)
            return True
        except Refused:
            return False

    forged = signed("/v1")
    forged.headers[-1] = ("authorization", forged.headers[-1][1][:-1] + ("0" if forged.headers[-1][1][-1] != "0" else "1"))
    moved = signed("/v1")
    moved.target = "/v2"
    checks.check(accepted(signed("/v1?a=b")), "the gateway refuses a right signature")
    for what, request in [("a changed signature", forged), ("another path", moved), ("no stage", signed("/v1", "x-stage")),
                          ("a raw plus", signed("/v1?a=b+c")), ("a raw semicolon", signed("/v1?a=b;c=d"))]:
        checks.check(not accepted(request), f"the gateway accepts {what}")


def run_all(checks: Checks, port: int, seed: int) -> int:
    """All groups; the number of requests that the gateway has to have seen."""
    every = {"curl": senders.by_curl, "requests": senders.by_requests, "httpx": senders.by_httpx,
             "aiohttp": senders.by_aiohttp, "fetch": senders.by_fetch, "socket": senders.by_socket, "expecting": senders.by_expecting_socket}
    sent = 0
    for name, sender in every.items():
        # fetch sends no body with GET, and none of the fixed cases has one.
        sent += run_group(checks, name, sender, port, fixed())
    counts = {"curl": 60, "requests": 300, "httpx": 250, "aiohttp": 250, "fetch": 200, "socket": 400, "expecting": 200}
    for name, count in counts.items():
        cases = RandomCases(seed)
        chosen = [cases.case(plain_headers=name not in ("socket", "expecting")) for _ in range(count)]
        if name == "fetch":
            chosen = [case for case in chosen if case.method != "GET" or not case.body]
        seed += 1
        sent += run_group(checks, f"{name}, random", every[name], port, chosen)
    return sent


def refusals(checks: Checks, port: int) -> None:
    """Bodies that are too long: every client reads the refusal, however it sends and reads."""
    for name, answers in senders.refused(port, b" " * (13 << 20)).items():
        checks.check(answers == [(413, "PROXY.body_too_large")] * len(answers) and bool(answers), f"13 MiB by {name}: {answers}")


def main() -> int:
    binary = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 1_000_000
    print(f"seed {seed}", flush=True)
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        gateway.start()
        self_test(checks, gateway)
        proxy = Proxy(binary, Path(name), gateway)
        try:
            sent = run_all(checks, proxy.port, seed)
            refusals(checks, proxy.port)
            command_line = proxy.command_line
        finally:
            exit_code = proxy.stop()
        checks.check(exit_code == 0, f"the proxy ended with {exit_code}")
        checks.check(gateway.requests == sent, f"{gateway.requests} requests arrived of {sent}")
        checks.check("signing" in proxy.log, "the log is not at its most talkative level")
        checks.check("MARKER" not in proxy.log + command_line, "the secret key was seen")
    print(f"seed {seed}, {sent} requests, {gateway.refused} refused")
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
