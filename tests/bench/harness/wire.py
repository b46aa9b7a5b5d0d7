"""Single requests, written to a socket, beside the load."""

import re
import socket
import ssl
import time

GET = b"GET /v1/items?limit=10 HTTP/1.1\r\nHost: localhost\r\n\r\n"
# The client's preface of HTTP/2 with an empty SETTINGS frame, and where a frame has its type.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
FRAME_HEAD, FRAME_TYPE, SETTINGS = 9, 3, 4


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def connect(port: int, tls: ssl.SSLContext | None = None) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), timeout=10)
    return tls.wrap_socket(stream, server_hostname="localhost") if tls else stream


def exchange(stream: socket.socket, request: bytes) -> tuple[int, bytes]:
    """Status and body of the response."""
    stream.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += read(stream)
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length:
        while len(body) < int(length[1]):
            body += read(stream)
    else:
        # Small responses without a length are sent in chunks, the last of which is empty.
        while not body.endswith(b"0\r\n\r\n"):
            body += read(stream)
    return int(head.split(b" ", 2)[1]), body


def read(stream: socket.socket) -> bytes:
    data = stream.recv(65536)
    if not data:
        raise ConnectionError("the connection was closed before the end of the response")
    return data


def request(port: int, message: bytes, tls: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Sends one request over a connection of its own."""
    with connect(port, tls) as stream:
        return exchange(stream, message)


def wait_until_served(port: int, tls: ssl.SSLContext | None = None, timeout: float = 30, pause: float = 0.005) -> bool:
    """Waits for the first response with status 200."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            if request(port, GET, tls)[0] == 200:
                return True
        except OSError:
            pass
        time.sleep(pause)
    return False


def serves_http2(port: int) -> bool:
    """Whether the server takes HTTP/2 by prior knowledge: whether it answers the preface with SETTINGS."""
    received = b""
    try:
        with connect(port) as stream:
            stream.sendall(PREFACE)
            while len(received) < FRAME_HEAD:
                received += read(stream)
    except OSError:
        return False
    return received[FRAME_TYPE] == SETTINGS and not received.startswith(b"HTTP/")
