"""Memory and start of each proxy by itself, without another beside it."""

import statistics
import threading
import time
from dataclasses import asdict

from . import load, wire
from .processes import Memory
from .proxies import Place, Proxy
from .scenarios import MIB, SCENARIOS, Scenario

IDLE_CONNECTIONS = 1000
UPLOADS = 64
STARTS = 8


def measure(place: Place, proxy: Proxy, name: str) -> dict:
    """One of FOOTPRINTS."""
    try:
        if name == "S6":
            return idle_connections(place, proxy)
        if name == "S8":
            return starts(place, proxy)
        return uploads(place, proxy, name.removeprefix("S7"))
    finally:
        proxy.stop()


def idle_connections(place: Place, proxy: Proxy) -> dict:
    proxy.start(place)
    time.sleep(1)
    fresh = proxy.process.memory()
    streams = []
    for _ in range(IDLE_CONNECTIONS):
        streams.append(wire.connect(proxy.port))
        wire.exchange(streams[-1], wire.GET)
    idle = proxy.process.memory()
    sending = Sending(proxy, SCENARIOS["S1"], 5)
    time.sleep(3)
    active = proxy.process.memory()
    sent = sending.result()
    after = proxy.process.memory()
    for stream in streams:
        stream.close()
    memory = {"fresh": fresh, "idle": idle, "active": active, "after": after}
    return {**{when: asdict(used) for when, used in memory.items()}, "kib_per_connection": (idle.pss - fresh.pss) * 1024 / IDLE_CONNECTIONS,
            "errors": sent.errors}


def uploads(place: Place, proxy: Proxy, body: str) -> dict:
    proxy.start(place)
    time.sleep(0.5)
    fresh = proxy.process.memory()
    sending = Sending(proxy, Scenario("uploads", UPLOADS, body, 11 * MIB), 10)
    peak = Memory()
    while sending.thread.is_alive():
        now = proxy.process.memory()
        peak.pss, peak.rss = max(peak.pss, now.pss), max(peak.rss, now.rss)
        time.sleep(0.1)
    sent = sending.result()
    peak.peak_rss = proxy.process.memory().peak_rss
    time.sleep(3)
    after = proxy.process.memory()
    return {"fresh": asdict(fresh), "peak": asdict(peak), "after": asdict(after), "per_second": sent.requests / sent.seconds,
            "errors": sent.errors}


def starts(place: Place, proxy: Proxy) -> dict:
    times, memory = [], []
    for _ in range(STARTS):
        begin = time.perf_counter()
        proxy.spawn(place)
        if not wire.wait_until_served(proxy.port, pause=0.0005):
            raise SystemExit(f"{proxy.name} did not start; see {place.folder}/{proxy.name}.log")
        times.append((time.perf_counter() - begin) * 1000)
        time.sleep(0.5)
        memory.append(proxy.process.memory().pss)
        proxy.stop()
    return {"start_ms": statistics.median(times), "least_ms": min(times), "most_ms": max(times), "fresh_pss": statistics.median(memory)}


class Sending:
    """A load in a thread."""

    def __init__(self, proxy: Proxy, scenario: Scenario, seconds: float) -> None:
        self.found: list[load.Load] = []
        self.thread = threading.Thread(target=lambda: self.found.append(load.send(scenario, proxy.port, tls=False, seconds=seconds)))
        self.thread.start()

    def result(self) -> load.Load:
        self.thread.join()
        if not self.found:
            raise load.LoadFailed("see the error above")
        return self.found[0]
