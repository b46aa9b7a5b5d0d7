"""What is sent in each scenario."""

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20


@dataclass(frozen=True)
class Scenario:
    """A load that all proxies get in turn."""

    title: str
    connections: int
    # "none", "json" (which is hashed to be signed) or "multipart" (which is streamed).
    body: str = "none"
    size: int = 0
    # HTTP/2 with prior knowledge, with so many streams on each connection. HTTP/1.1 if 0.
    streams: int = 0
    # Requests a second; as many as possible if 0.
    rate: int = 0


SCENARIOS = {
    "S1": Scenario("GET, 64 connections", 64),
    "S2": Scenario("POST, 1 KiB of JSON, 64 connections", 64, "json", KIB),
    "S3": Scenario("POST, 1 MiB of JSON, 8 connections", 8, "json", MIB),
    "S3b": Scenario("POST, 11 MiB of JSON, 4 connections", 4, "json", 11 * MIB),
    "S4": Scenario("upload, 11 MiB, streamed, 4 connections", 4, "multipart", 11 * MIB),
    "S5": Scenario("GET, 1 connection", 1),
    "S5b": Scenario("POST, 1 KiB of JSON, 1 connection", 1, "json", KIB),
    "S5c": Scenario("GET, 1 connection, 500 a second", 1, rate=500),
    "H2": Scenario("GET, 64 HTTP/2 callers over 4 connections", 4, streams=16),
}

# What is measured of each proxy by itself; see footprint.py.
FOOTPRINTS = {
    "S6": "memory with 1,000 idle connections",
    "S7multipart": "memory with 64 streamed uploads of 11 MiB",
    "S7json": "memory with 64 hashed uploads of 11 MiB",
    "S8": "start, and memory after it",
}
