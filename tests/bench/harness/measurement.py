"""One proxy under one load: how fast it is, and what it uses."""

import re
import time
from dataclasses import dataclass

from . import load, wire
from .processes import Cpu, machine_cpu
from .proxies import Proxy
from .scenarios import Scenario

ECHO = (
    b"GET /__echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b'POST /__echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}',
)


@dataclass
class Conditions:
    """How load is sent."""

    seconds: float
    warm_up: float
    threads: int
    # The processors of load and proxy, if each has its own.
    load_cpu: int | None
    # A measurement is repeated, twice at most, if other processes used more cores than this.
    foreign_cores: float


def check(proxy: Proxy) -> str:
    """Has the upstream say what reached it, with and without a body; whether it was signed."""
    signed = []
    for message in ECHO:
        status, body = wire.request(proxy.port, message, proxy.upstream.tls if proxy.is_direct else None)
        expected = f"body_len={7 if message.startswith(b'POST') else 0}"
        if status != 200 or expected not in body.decode():
            raise SystemExit(f"{proxy.name} does not forward requests: status {status}")
        signed.append(bool(re.search(rb"^authorization: ", body, re.M | re.I)))
    return "signed" if all(signed) else "unsigned"


def measure(proxy: Proxy, scenario: Scenario, conditions: Conditions, *, is_first: bool) -> dict:
    """A measurement with as little of other processes as can be had."""
    if scenario.streams and not proxy.serves_http2():
        return {"served": False}
    if is_first and conditions.warm_up:
        send(proxy, scenario, conditions, conditions.warm_up)
    best = measure_once(proxy, scenario, conditions)
    for _ in range(2):
        if best["foreign_cores"] <= conditions.foreign_cores:
            break
        again = measure_once(proxy, scenario, conditions)
        best = min(best, again, key=lambda measured: measured["foreign_cores"])
    return best


def measure_once(proxy: Proxy, scenario: Scenario, conditions: Conditions) -> dict:
    statistics = proxy.upstream.statistics()
    used, upstream = proxy_cpu(proxy), proxy.upstream.cpu()
    machine, begin = machine_cpu(), time.monotonic()
    sent = send(proxy, scenario, conditions, conditions.seconds)
    elapsed, machine = time.monotonic() - begin, machine_cpu() - machine
    used, upstream = proxy_cpu(proxy) - used, (proxy.upstream.cpu() - upstream).total
    arrived = {what: count - statistics[what] for what, count in proxy.upstream.statistics().items()}
    # One request and one connection were for the statistics.
    requests = max(arrived["requests"] - 1, 1)
    foreign = machine - used.total - upstream - sent.cpu
    return {
        "served": True,
        "requests_per_second": sent.requests / sent.seconds,
        "mib_per_second": arrived["body_bytes"] / elapsed / (1 << 20),
        "p50": sent.p50,
        "p99": sent.p99,
        "errors": sent.errors,
        "cpu_per_100k": used.total / requests * 1e5,
        "user_per_100k": used.user / requests * 1e5,
        "kernel_per_100k": used.kernel / requests * 1e5,
        # Beside that of load and upstream, which meet the same conditions at the same time.
        "relative_cpu": used.total / max(sent.cpu + upstream, 1e-9),
        "connections": arrived["connections"] - 1,
        "full_handshakes": arrived["full_handshakes"],
        "signed": arrived["authorized"] / requests,
        "cores": used.total / elapsed,
        "foreign_cores": max(0.0, foreign / elapsed),
    }


def send(proxy: Proxy, scenario: Scenario, conditions: Conditions, seconds: float) -> load.Load:
    port = proxy.http2_port if scenario.streams else proxy.port
    return load.send(scenario, port, tls=proxy.is_direct, seconds=seconds, threads=conditions.threads, cpu=conditions.load_cpu)


def proxy_cpu(proxy: Proxy) -> Cpu:
    return proxy.process.cpu() if proxy.process else Cpu()
