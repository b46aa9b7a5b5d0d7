"""Whether a request costs more when there are more connections, and a byte more when there are more of them.

    python tests/bench/growth.py PATH-OF-APIG-PROXY

Prints tables in Markdown. What is measured is the processor time of the proxy, in the kernel too, not how
long anything takes: how fast this program or the gateway is does not matter. What has come is dealt with at
once, so a request is cheaper when more come together; the number in flight is shown for that reason.
"""

import resource
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measured import GET, KIB, MIB, Gateway, Proxy, exchange, exchanges, table, upload

CONNECTIONS = (1, 10, 100, 1_000, 10_000)
REQUESTS = 20_000
AT_ONCE = 64
# The fewest connections with as many in flight as more have.
BASE = 100
SIZES = (("1 KiB", KIB), ("10 KiB", 10 * KIB), ("100 KiB", 100 * KIB), ("1 MiB", MIB), ("12 MiB", 12 * MIB))
SENDERS = 4
# Of each size, so many bytes are sent, or so many requests if that is less.
BYTES = 512 * MIB
UPLOADS = 20_000


def of_connections(binary: str, gateway: Gateway, count: int) -> float:
    """Microseconds for each request, over so many connections."""
    with Proxy(binary, gateway) as proxy:
        streams = proxy.connections(count)
        exchanges(streams, GET, REQUESTS // 20, AT_ONCE)
        before = proxy.cpu
        exchanges(streams, GET, REQUESTS, AT_ONCE)
        used = proxy.cpu - before
        for stream in streams:
            stream.close()
    return used * 1e6 / REQUESTS


def of_bytes(binary: str, gateway: Gateway, size: int, content_type: str) -> float:
    """Microseconds for each request with a body of so many bytes."""
    count = min(BYTES // size, UPLOADS) // SENDERS
    request = upload(size, content_type)
    with Proxy(binary, gateway) as proxy:
        streams = proxy.connections(SENDERS)
        [exchange(stream, request) for stream in streams]
        before = proxy.cpu
        with ThreadPoolExecutor(SENDERS) as senders:
            list(senders.map(lambda stream: exchanges([stream], request, count, 1), streams))
        used = proxy.cpu - before
        for stream in streams:
            stream.close()
    return used * 1e6 / (count * SENDERS)


def main() -> int:
    binary = sys.argv[1]
    # Sockets of both sides, of which each has a process to itself.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as folder, Gateway(binary, Path(folder)) as gateway:
        used = {count: of_connections(binary, gateway, count) for count in CONNECTIONS}
        rows = [[f"{count:,}", str(min(count, AT_ONCE)), f"{each:.1f}", f"{each / used[BASE]:.2f}"] for count, each in used.items()]
        columns = ["connections", "in flight", "µs of processor per GET", f"of that with {BASE} connections"]
        print(table("Processor time and connections", columns, rows), flush=True)
        columns = ["body", "hashed: µs per request", "ns per byte", "streamed: µs per request", "ns per byte"]
        rows = []
        for name, size in SIZES:
            row = [name]
            for content_type in ("application/json", "multipart/form-data; boundary=x"):
                each = of_bytes(binary, gateway, size, content_type)
                row += [f"{each:.1f}", f"{each * 1000 / size:.2f}"]
            rows.append(row)
        print(table("Processor time and bodies", columns, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
