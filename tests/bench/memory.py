"""How much memory the proxy needs, and how long it takes to start.

    python tests/bench/memory.py PATH-OF-APIG-PROXY

Prints tables in Markdown. Each line is of a proxy that was started for it. Needs root.
"""

import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from measured import MIB, Gateway, Proxy, Process, answer, spread, table, upload

STARTS = 20
UPLOADS = 64
UPLOAD = 11 * MIB
# How long memory that is no longer needed may be kept before it is looked at again, in seconds.
REST = 10


def starts(binary: str, gateway: Gateway) -> str:
    times, fresh = [], []
    for _ in range(STARTS):
        with Proxy(binary, gateway) as proxy:
            times.append(proxy.started_in * 1000)
            time.sleep(0.3)
            fresh.append(proxy.memory)
    rows = [[f"start until the first answer through the gateway, of {STARTS} starts", f"{spread(times)} ms"],
            ["memory after that", f"{spread(fresh)} MiB"]]
    return table("Start", ["what", "median (least..most)"], rows)


def idle(binary: str, gateway: Gateway, count: int) -> list[str]:
    """Connections that have had an answer and wait."""
    with Proxy(binary, gateway) as proxy:
        time.sleep(0.3)
        fresh = proxy.memory
        streams = proxy.connections(count)
        time.sleep(1)
        open_ = proxy.memory
        for stream in streams:
            stream.close()
        time.sleep(REST)
        row = [fresh, open_, (open_ - fresh) * 1024 / count, proxy.memory]
    return [f"{count:,}", *(f"{number:.1f}" for number in row)]


class Peak(threading.Thread):
    """The most memory that a process has while this runs."""

    def __init__(self, process: Process) -> None:
        super().__init__(daemon=True)
        self.process, self.most, self.ended = process, 0.0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.02):
            self.most = max(self.most, self.process.memory)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.ended.set()
        self.join()


def uploads(binary: str, gateway: Gateway, name: str, content_type: str) -> list[str]:
    request = upload(UPLOAD, content_type)
    statuses: Counter = Counter()

    def send(proxy: Proxy) -> None:
        with proxy.connect() as stream:
            try:
                stream.sendall(request)
            except OSError:
                # It is refused before it was read; the answer says why.
                pass
            try:
                statuses[answer(stream)] += 1
            except OSError:
                statuses["no answer"] += 1

    with Proxy(binary, gateway) as proxy:
        time.sleep(0.3)
        fresh = proxy.memory
        with Peak(proxy) as peak:
            threads = [threading.Thread(target=send, args=(proxy,)) for _ in range(UPLOADS)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
        time.sleep(REST)
        row = [fresh, peak.most, proxy.memory]
    outcome = ", ".join(f"{count} × {status}" for status, count in statuses.items())
    return [name, *(f"{number:.1f}" for number in row), outcome]


def main() -> int:
    binary = sys.argv[1]
    # Sockets of both sides, of which each has a process to itself.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as folder, Gateway(binary, Path(folder)) as gateway:
        print(starts(binary, gateway), flush=True)
        columns = ["idle connections", "fresh, MiB", "open, MiB", "KiB for each", f"{REST} s after the last has closed, MiB"]
        print(table("Connections", columns, [idle(binary, gateway, count) for count in (1_000, 10_000)]), flush=True)
        columns = ["bodies", "fresh, MiB", "at the peak, MiB", f"{REST} s after the last, MiB", "answers"]
        kinds = [("streamed", "multipart/form-data; boundary=x"), ("hashed", "application/json")]
        rows = [uploads(binary, gateway, *kind) for kind in kinds]
        print(table(f"{UPLOADS} uploads of {UPLOAD // MIB} MiB at once", columns, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
