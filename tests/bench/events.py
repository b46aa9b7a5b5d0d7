"""How long an event of a stream (server-sent events) takes from leaving the upstream to reaching the caller.

    python tests/bench/events.py PATH-OF-APIG-PROXY [EVENTS]

Upstream and caller are threads of this program and share its clock, so what is measured holds the time of
Python on both sides as well; the same stream without the proxy is shown beside it. Needs what
tests/clients/requirements.txt lists. Loopback only.
"""

import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parent.parent / "clients"))

from gateway import make_certificate, read_request  # noqa: E402
from proxy import Proxy  # noqa: E402

PAUSE = 0.005
STREAMS = 30
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
REQUEST = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Upstream:
    """Answers every request with events that tell when they left."""

    def __init__(self, folder: Path, events: int) -> None:
        self.events = events
        self.ca_file = folder / "ca.pem"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*make_certificate(folder))
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with self.context.wrap_socket(connection, server_side=True) as stream:
                reader = stream.makefile("rb")
                while read_request(reader) is not None:
                    stream.sendall(HEAD)
                    for _ in range(self.events):
                        time.sleep(PAUSE)
                        event = b"data: %d\n\n" % time.monotonic_ns()
                        stream.sendall(b"%x\r\n%b\r\n" % (len(event), event))
                    stream.sendall(b"0\r\n\r\n")
        except OSError:
            return


def delays(stream: socket.socket) -> list[float]:
    """The times of all events of one stream, in milliseconds."""
    found = []
    reader = stream.makefile("rb")
    stream.sendall(REQUEST)
    while (line := reader.readline()) != b"0\r\n":
        if not line:
            raise RuntimeError("the stream broke off")
        if line.startswith(b"data: "):
            found.append((time.monotonic_ns() - int(line[6:])) / 1e6)
    reader.readline()
    return found


def show(name: str, streams: list[list[float]]) -> None:
    every = sorted(delay for stream in streams for delay in stream)
    first = [stream[0] for stream in streams]
    print(f"{name:18} first event: median {statistics.median(first):.2f} ms, worst {max(first):.2f} ms; "
          f"all {len(every)}: median {statistics.median(every):.2f} ms, 99 % {every[len(every) * 99 // 100]:.2f} ms, worst {every[-1]:.2f} ms")


def main() -> int:
    events = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        upstream = Upstream(folder, events)
        key = SimpleNamespace(access_key="AKBENCH", secret_key="SKBENCH", port=upstream.port, ca_file=upstream.ca_file)
        proxy = Proxy(sys.argv[1], folder, key, "warn")
        try:
            context = ssl.create_default_context(cafile=upstream.ca_file)
            direct, proxied = [], []
            for _ in range(STREAMS):
                with socket.create_connection(("127.0.0.1", upstream.port)) as plain, \
                        context.wrap_socket(plain, server_hostname="127.0.0.1") as stream:
                    direct.append(delays(stream))
                with socket.create_connection(("127.0.0.1", proxy.port)) as stream:
                    proxied.append(delays(stream))
        finally:
            proxy.stop()
    show("without the proxy", direct)
    show("through the proxy", proxied)
    return 0


if __name__ == "__main__":
    sys.exit(main())
