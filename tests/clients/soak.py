"""Mixed load with faults for a while (fault 80): memory, descriptors and threads come back, and nothing is refused or lost.

    python soak.py PATH-OF-APIG-PROXY [SECONDS]
"""

import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from gateway import Gateway
from loads import settled, upload
from proxy import Proxy

CALLERS = 8
# How much memory, in MiB, and how many descriptors and threads more than after the warm-up may be left. Files are read in a
# thread that ends after a while.
MEMORY, DESCRIPTORS, THREADS = 4, 4, 1
BODIES = [("application/json", b"{}"), ("application/json", b" " * 300_000), ("multipart/form-data; boundary=x", b"x" * 2_000_000)]


def abandoned(port: int, chance: random.Random) -> None:
    """A caller that goes away: before its head is complete, in its body, or before it reads the answer."""
    whole = b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        stream.sendall(whole[: chance.choice([10, 200, 50_000, len(whole)])])


def malformed(port: int, chance: random.Random) -> None:
    """A request that the proxy refuses."""
    lines = chance.choice([b"GET /../x HTTP/1.1\r\nHost: localhost", b"GET / HTTP/1.1\r\nHost: evil.example", b"\x16\x03\x01 no HTTP"])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        stream.sendall(lines + b"\r\nConnection: close\r\n\r\n")
        stream.recv(4096)


def caller(port: int, end: float, seed: int, outcomes: Counter) -> None:
    chance = random.Random(seed)
    while time.monotonic() < end:
        kind = chance.choices(["good", "abandoned", "malformed"], [8, 1, 1])[0]
        if kind == "good":
            results: list = []
            upload(port, *chance.choice(BODIES), results)
            outcomes[str(results[0][0])] += 1
            continue
        try:
            (abandoned if kind == "abandoned" else malformed)(port, chance)
        except OSError:
            pass  # The proxy may close such a connection at any time.
        outcomes[kind] += 1


def load(proxy: Proxy, seconds: float, outcomes: Counter) -> None:
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=caller, args=(proxy.port, end, seed, outcomes)) for seed in range(CALLERS)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]


def counts(proxy: Proxy) -> tuple[int, int]:
    """Descriptors and threads."""
    return tuple(len(list(Path(f"/proc/{proxy.process.pid}/{name}").iterdir())) for name in ("fd", "task"))


def main() -> int:
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3600
    with tempfile.TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        gateway.start()
        proxy = Proxy(sys.argv[1], Path(name), gateway, "error")
        try:
            load(proxy, min(20, seconds / 4), Counter())
            time.sleep(15)
            memory, (files, threads) = proxy.memory("VmRSS"), counts(proxy)
            outcomes: Counter = Counter()
            load(proxy, seconds, outcomes)
            time.sleep(15)
            memory_after, (files_after, threads_after) = settled(proxy, memory), counts(proxy)
        finally:
            code = proxy.stop()
    print(f"{dict(outcomes)}; {memory:.1f} MiB, {files} descriptors and {threads} threads before, "
          f"{memory_after:.1f} MiB, {files_after} and {threads_after} afterwards")
    checks = [
        (outcomes["200"] > 0 and all(not key.isdigit() or key == "200" for key in outcomes), "every good request is answered with 200"),
        (gateway.refused == 0, f"the gateway refused {gateway.refused}"),
        (memory_after <= memory + MEMORY, "memory comes back"),
        (files_after <= files + DESCRIPTORS, "descriptors come back"),
        (threads_after <= threads + THREADS, "threads come back"),
        (code == 0, f"exit code {code}"),
    ]
    for holds, what in checks:
        if not holds:
            print(f"FAILED {what}")
    passed = sum(holds for holds, _ in checks)
    print(f"{passed} passed, {len(checks) - passed} failed", flush=True)
    return 0 if passed == len(checks) else 1


if __name__ == "__main__":
    sys.exit(main())
