"""Real clients through the proxy to a gateway that recomputes each signature with Huawei's own SDK.

    python run.py PATH-OF-APIG-PROXY [SEED] [--http1 COUNT] [--http2 COUNT]

COUNT is how many random requests are sent by the clients of that version together.
"""

import argparse
import hashlib
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import http2_senders
import senders
from cases import Case, RandomCases, fixed
from checks import Checks
from gateway import Gateway, Refused, Request
from proxy import Proxy
from senders import Result, header_list

Sender = Callable[[int, list[Case]], list[Result]]

# The clients, and how the random requests are shared out among them.
HTTP1 = {"curl": 60, "requests": 300, "httpx": 250, "aiohttp": 250, "fetch": 200, "socket": 400, "expecting": 200}
HTTP2 = {"curl, HTTP/2": 30, "curl, ALPN": 30, "httpx, HTTP/2": 250, "node, HTTP/2": 250, "frames": 400}
# Those that send every byte as it is, and nothing that is not in the case.
RAW = {"socket", "expecting", "frames"}
# What the proxy adds, once each if at all.
ADDED = {"host", "content-length", "transfer-encoding", "authorization", "x-sdk-date", "x-stage", "x-sdk-content-sha256", "apig-proxy-hop"}


def normalized(target: str) -> str:
    """A target as it has to arrive."""
    path, mark, query = target.partition("?")
    query = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", query)
    return path.replace("+", "%2B") + mark + query.replace("+", "%20").replace(";", "%3B")


def difference(case: Case, result: Result, is_raw: bool = False) -> str:
    """What of an answer is not as it should be; nothing if all is well."""
    sent, status, answer = result
    if status != 200:
        return f"status {status}: {answer}"
    expected = {
        "method": case.method,
        "target": normalized(sent),
        "body_bytes": len(case.body),
        "body_sha256": hashlib.sha256(case.body).hexdigest(),
    }
    for name, value in expected.items():
        if answer[name] != value:
            return f"{name} is {answer[name]!r} and not {value!r}"
    is_unsigned = "x-sdk-content-sha256" in answer["signed_headers"]
    if is_unsigned != case.is_unsigned:
        return f"unsigned is {is_unsigned}"
    return header_difference(case, answer["headers"]) or (unexpected(case, answer["headers"]) if is_raw else "")


def header_difference(case: Case, arrived: list[list[str]]) -> str:
    """Which values did not arrive in their order. Spelling of names and order between different names are not kept."""
    for name in {name.lower() for name, _ in header_list(case)}:
        ours = [value for key, value in header_list(case) if key.lower() == name]
        theirs = [value for key, value in arrived if key.lower() == name]
        # A client may join repeated values itself; what it sends then is one line.
        if theirs != ours and theirs != [", ".join(ours)]:
            return f"{name} is {theirs!r} and not {ours!r}"
    return ""


def unexpected(case: Case, arrived: list[list[str]]) -> str:
    """What arrived and was neither sent nor is the proxy's own."""
    rest = Counter((name.lower(), value) for name, value in arrived)
    rest -= Counter((name.lower(), value) for name, value in header_list(case))
    names = Counter(name for name, _ in rest.elements())
    wrong = {name: count for name, count in names.items() if name not in ADDED or count > 1}
    return f"nobody sent {wrong}" if wrong else ""


def run_group(checks: Checks, name: str, sender: Sender, port: int, cases: list[Case]) -> int:
    before = checks.failed
    results = sender(port, cases)
    checks.check(len(results) == len(cases), f"{name}: {len(results)} answers to {len(cases)} requests")
    for case, result in zip(cases, results):
        wrong = difference(case, result, name.partition(";")[0] in RAW)
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


def http1_senders() -> dict[str, Sender]:
    return {"curl": senders.by_curl, "requests": senders.by_requests, "httpx": senders.by_httpx, "aiohttp": senders.by_aiohttp,
            "fetch": senders.by_fetch, "socket": senders.by_socket, "expecting": senders.by_expecting_socket}


def http2_senders_of(tls_port: int, ca_file: Path) -> dict[str, Sender]:
    def by_curl_with_alpn(_: int, cases: list[Case]) -> list[Result]:
        return http2_senders.by_curl_with_alpn(tls_port, cases, ca_file)

    return {"curl, HTTP/2": http2_senders.by_curl, "curl, ALPN": by_curl_with_alpn, "httpx, HTTP/2": http2_senders.by_httpx,
            "node, HTTP/2": http2_senders.by_node, "frames": http2_senders.by_frames}


def suits(name: str, case: Case) -> bool:
    """Whether a client can send it."""
    if name == "fetch":
        return case.method != "GET" or not case.body
    return name not in HTTP2 or case.fits_http2


def run_all(checks: Checks, port: int, seed: int, every: dict[str, Sender], counts: dict[str, int]) -> int:
    """The fixed cases and so many random ones by each client; the number of requests that the gateway has to have seen."""
    sent = 0
    for name, sender in every.items() if counts else ():
        # fetch sends no body with GET, and HTTP/2 has no blanks around values; none of the fixed cases has either.
        sent += run_group(checks, name, sender, port, fixed())
    for name, count in counts.items():
        cases = RandomCases(seed)
        chosen = cases.draw(count, partial(suits, name), plain_headers=name not in RAW)
        seed += 1
        sent += run_group(checks, f"{name}; random, {cases.left_out} left out", every[name], port, chosen)
    return sent


def shared_out(counts: dict[str, int], total: int | None) -> dict[str, int]:
    """The counts, in the same proportions for another total."""
    if total is None:
        return counts
    shares = {name: count * total // sum(counts.values()) for name, count in counts.items()}
    shares[next(reversed(shares))] += total - sum(shares.values())
    return {name: share for name, share in shares.items() if share}


def refusals(checks: Checks, port: int, with_http2: bool) -> None:
    """Bodies that are too long: every client reads the refusal, however it sends and reads."""
    body = b" " * (13 << 20)
    found = senders.refused(port, body) | (http2_senders.refused(port, body) if with_http2 else {})
    for name, answers in found.items():
        checks.check(answers == [(413, "PROXY.body_too_large")] * len(answers) and bool(answers), f"13 MiB by {name}: {answers}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("seed", nargs="?", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--http1", type=int, metavar="COUNT")
    parser.add_argument("--http2", type=int, metavar="COUNT")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    seed = asked.seed
    print(f"seed {seed}", flush=True)
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        gateway.start()
        self_test(checks, gateway)
        proxy = Proxy(asked.binary, Path(name), gateway, with_tls=True)
        try:
            sent = run_all(checks, proxy.port, seed, http1_senders(), shared_out(HTTP1, asked.http1))
            every = http2_senders_of(proxy.tls_port, gateway.ca_file)
            sent += run_all(checks, proxy.port, seed + len(HTTP1), every, shared_out(HTTP2, asked.http2))
            refusals(checks, proxy.port, with_http2=asked.http2 != 0)
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
