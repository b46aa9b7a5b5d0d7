"""The proxy that is measured: a process of its own in front of the emulated gateway, and what it uses.

Everything runs on this machine and over loopback. The gateway is the program's own (`apig-proxy gateway`): it
verifies each request, and what it uses itself is not counted. To read how much memory another process has,
one has to be root, since the proxy keeps others out.
"""

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import time
from collections import deque
from pathlib import Path

KIB = 1 << 10
MIB = 1 << 20
PATIENCE = 120
GET = b"GET /v1/items?limit=10 HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONFIG = """listen = "127.0.0.1:{port}"
admin = "{admin}"
upstream = "https://127.0.0.1:{gateway.port}"
[credentials]
file = "credentials.csv"
[upstream_tls]
ca_file = "ca.pem"
[limits]
connections = 10100
[log]
level = "error"
"""


class Failed(Exception):
    """What should have been answered was not."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Process:
    """A program that was started here, and what it has used so far."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    @property
    def cpu(self) -> float:
        """Seconds of all its threads, in the kernel too."""
        fields = self._read("stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> float:
        """MiB that it has, with its share of what others have too (PSS)."""
        return int(re.search(r"^Pss:\s+(\d+)", self._read("smaps_rollup"), re.M)[1]) / KIB

    def _read(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.stop()


class Gateway(Process):
    """The emulated gateway; its folder has the key for it."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.folder, self.port = folder / "gateway", free_port()
        # Of the same file, the system would count half as memory of the gateway's.
        program = shutil.copy(binary, folder / "program-of-the-gateway")
        super().__init__([program, "gateway", "--listen", f"127.0.0.1:{self.port}", "--dir", str(self.folder)])
        for _ in range(1000):
            # It is written last.
            if (self.folder / "apig-proxy.toml").exists():
                return
            time.sleep(0.01)
        self.stop()
        raise Failed("the gateway did not start")


class Proxy(Process):
    """The proxy, with what was configured for the gateway and little else; it has answered a request."""

    def __init__(self, binary: str, gateway: Gateway, more: str = "", admin: bool = False) -> None:
        self.port = free_port()
        self.admin = f"127.0.0.1:{free_port()}" if admin else "off"
        config = gateway.folder / f"{self.port}.toml"
        config.write_text(CONFIG.format(port=self.port, gateway=gateway, admin=self.admin) + more)
        begun = time.perf_counter()
        super().__init__([binary, "serve", "--config", str(config)])
        try:
            self._answer_first()
        except BaseException:
            self.stop()
            raise
        self.started_in = time.perf_counter() - begun

    def _answer_first(self) -> None:
        end = time.monotonic() + 10
        while True:
            try:
                with self.connect() as stream:
                    exchange(stream, GET)
                return
            except ConnectionRefusedError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.0005)

    def connect(self) -> socket.socket:
        stream = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def connections(self, count: int) -> list[socket.socket]:
        """So many connections, each of which has had one answer and is kept."""
        streams = []
        for at in range(count):
            streams.append(self.connect())
            exchange(streams[-1], GET)
        return streams


def upload(size: int, content_type: str) -> bytes:
    """A POST with a body of so many bytes."""
    head = f"POST /v1/items HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + b"x" * size


def exchange(stream: socket.socket, request: bytes) -> None:
    stream.sendall(request)
    if (status := answer(stream)) != 200:
        raise Failed(f"status {status}")


def exchanges(streams: list[socket.socket], request: bytes, count: int, at_once: int) -> None:
    """So many requests, over all connections in turn, of which so many are in flight at any time."""
    waiting: deque[socket.socket] = deque()
    for at in range(count):
        if len(waiting) == min(at_once, len(streams)):
            expect(waiting.popleft())
        stream = streams[at % len(streams)]
        stream.sendall(request)
        waiting.append(stream)
    while waiting:
        expect(waiting.popleft())


def expect(stream: socket.socket) -> None:
    if (status := answer(stream)) != 200:
        raise Failed(f"status {status}")


def answer(stream: socket.socket) -> int:
    """Reads one answer to its end; its status."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += more(stream)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])
    left = length - len(body)
    while left > 0:
        left -= len(more(stream))
    return int(head.split(b" ", 2)[1])


def more(stream: socket.socket) -> bytes:
    piece = stream.recv(64 * KIB)
    if not piece:
        raise Failed("the connection was closed before the end of the answer")
    return piece


def spread(numbers: list[float], digits: int = 1) -> str:
    """The median, the least and the most."""
    return f"{statistics.median(numbers):.{digits}f} ({min(numbers):.{digits}f}..{max(numbers):.{digits}f})"


def table(title: str, columns: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join([f"### {title}", "", *(f"| {' | '.join(line)} |" for line in lines), ""])
