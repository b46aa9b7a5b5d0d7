"""What the proxy accepts, nginx and HAProxy accept as well, but for what hyper is known to be laxer about.

    python compare.py

Takes the requests of tests/corpus, whose expectations `cargo test` checks for the proxy itself. The proxy frames every body
and writes every target itself, so what it takes more than others is not passed on.
"""

import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent.parent / "corpus" / "requests"
PATIENCE = 10

# What one of them refuses and the proxy takes. An entry that no longer holds is a failure.
KNOWN = {
    # With Transfer-Encoding the length does not count (RFC 9112 6.3), and the connection closes after the answer.
    ("nginx", "length-then-chunked"),
    ("nginx", "chunked-then-length"),
    ("nginx", "length-of-zero-and-chunked"),
    ("nginx", "nothing-after-a-length-and-chunks"),
    # Equal lengths count as one (RFC 9110 8.6).
    ("nginx", "the-same-length-twice"),
    # CONNECT is refused as a method. No tunnel has begun, so the next request is served.
    ("nginx", "request-after-connect"),
    # The path is "/".
    ("haproxy", "absolute-form-without-a-path-but-a-query"),
    # A fragment is cut, and neither sent nor signed.
    ("haproxy", "fragment"),
    ("haproxy", "fragment-in-the-query"),
    # Raw UTF-8 is percent-encoded before it is signed and sent.
    ("haproxy", "raw-utf-8"),
}

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off; client_max_body_size 13m; large_client_header_buffers 8 128k; merge_slashes off; underscores_in_headers on;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{backend}; proxy_http_version 1.1; }} }}
}}
"""

HAPROXY = """
global
  tune.bufsize 131072
  tune.http.maxhdr 500
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 5s
frontend corpus
  bind 127.0.0.1:{port}
  default_backend corpus
backend corpus
  server one 127.0.0.1:{backend}
"""


@dataclass
class Case:
    name: str
    expected: list[str]
    data: bytes


def cases() -> list[Case]:
    found = []
    for file in sorted(CORPUS.glob("*.txt")):
        for block in file.read_text().split("== ")[1:]:
            name, expected, *lines = block.splitlines()
            text = re.sub(r"\{(.*?)\*(\d+)\}", lambda match: match[1] * int(match[2]), "".join(lines))
            found.append(Case(name, expected.removeprefix("-- ").split(", "), unescaped(text)))
    return found


def unescaped(text: str) -> bytes:
    single = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
    parts = re.split(r"\\(x..|.)", text)
    return b"".join(part.encode() if at % 2 == 0 else bytes([int(part[1:], 16)]) if part[0] == "x" else single[part]
                    for at, part in enumerate(parts))


class Backend(socketserver.StreamRequestHandler):
    """Answers everything with 200."""

    def handle(self) -> None:
        while self.rfile.readline().strip():
            length, chunked = 0, False
            while line := self.rfile.readline().strip().lower():
                length = int(line[15:]) if line.startswith(b"content-length:") else length
                chunked |= line.startswith(b"transfer-encoding:")
            self.rfile.read(length)
            while chunked and (size := int(self.rfile.readline().split(b";")[0], 16)):
                self.rfile.read(size + 2)
            while chunked and self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """A server that ends resets its connections."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def statuses(port: int, case: Case) -> list[str]:
    """The first answers, as many as are expected."""
    found: list[str] = []
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as stream, stream.makefile("rb") as reader:
        try:
            stream.sendall(case.data)
            while len(found) < len(case.expected) and (line := reader.readline()):
                found.append(line.split()[1].decode())
                length = 0
                while head := reader.readline().strip().lower():
                    length = int(head[15:]) if head.startswith(b"content-length:") else length
                reader.read(length)
        except OSError:
            pass
    return found


def start(command: list[str], port: int) -> subprocess.Popen:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.05)
    server.kill()
    raise RuntimeError(f"{command[0]} does not start")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def main() -> int:
    accepted = [case for case in cases() if "200" in case.expected]
    passed = failed = 0
    backend = Server(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        for name, text, command in [("nginx", NGINX, ["nginx", "-c"]), ("haproxy", HAPROXY, ["haproxy", "-db", "-f"])]:
            port = free_port()
            file = Path(folder) / f"{name}.conf"
            file.write_text(text.format(folder=folder, port=port, backend=backend.server_address[1]))
            server = start([*command, str(file)], port)
            try:
                # One that both must refuse, or the comparison would prove nothing.
                both = Case("two-lengths", ["400"], b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
                refused = statuses(port, both)[:1] == ["400"]
                passed, failed = passed + refused, failed + (not refused)
                for case in accepted:
                    theirs = statuses(port, case)
                    same = all(ours != "200" or theirs[at:at + 1] == ["200"] for at, ours in enumerate(case.expected))
                    right = same != ((name, case.name) in KNOWN)
                    passed, failed = passed + right, failed + (not right)
                    if not right:
                        known = ", which is known to differ" if same else ""
                        print(f"FAILED {name} answers {case.name} with {theirs}, the proxy with {case.expected}{known}")
            finally:
                server.terminate()
                server.wait(PATIENCE)
    print(f"{len(accepted)} requests that the proxy accepts, sent to nginx and HAProxy; {len(KNOWN)} are known to differ")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or len(accepted) < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
