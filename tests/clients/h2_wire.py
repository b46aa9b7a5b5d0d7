"""HTTP/2 on a raw socket: any frame can be sent, right or wrong, and what comes back is told in words."""

import socket
import struct
import time

import hpack
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8
WITH_PRIORITY = 32
ERRORS = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
          "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"]
PATIENCE = 10
# How long after the last sign of life it counts as ignored, in seconds.
QUIET = 1
PROBE = b"are you?"

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/v1")]
POST = [(":method", "POST"), *GET[1:]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def setting(name: int, value: int) -> bytes:
    return struct.pack(">HI", name, value)


class Connection:
    """A connection of a caller."""

    def __init__(self, port: int, with_preface: bool = True) -> None:
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.unread = b""
        if with_preface:
            self.send(PREFACE + frame(SETTINGS, 0, 0))

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_) -> None:
        self.stream.close()

    def send(self, data: bytes) -> None:
        self.stream.sendall(data)

    def block(self, fields: list[tuple[str | bytes, str | bytes]]) -> bytes:
        return self.encoder.encode(fields, huffman=False)

    def headers(self, stream: int, fields: list, flags: int = END_STREAM | END_HEADERS) -> None:
        self.send(frame(HEADERS, flags, stream, self.block(fields)))

    def ping(self) -> None:
        self.send(frame(PING, 0, 0, PROBE))

    def outcome(self, with_probe: bool = True, ends: bool = False) -> str:
        """The first thing that says how it ended: an error of the stream or the connection, a status, or that all was ignored."""
        try:
            if with_probe:
                self.ping()
        except OSError:
            pass
        is_alive = False
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            try:
                self.stream.settimeout(min(left, QUIET) if is_alive else left)
                kind = self.event()
            except TimeoutError:
                break
            except OSError:
                return "closed"
            if kind == "alive":
                is_alive = True
            elif kind and (not ends or kind.startswith("connection")):
                return kind
        return "ignored" if is_alive else "stalled"

    def event(self) -> str:
        """What the next frame says; nothing if it is of no interest."""
        head = self.exactly(9)
        if head.startswith(b"HTTP/1.1 "):
            return "HTTP/1.1 400" if (head + self.exactly(3)).endswith(b"400") else "HTTP/1.1"
        received, length = Frame.parse_frame_header(memoryview(head))
        received.parse_body(memoryview(self.exactly(length)))
        if isinstance(received, GoAwayFrame):
            # The one that only announces the end is followed by another.
            return "" if received.error_code == 0 else f"connection {ERRORS[received.error_code]}"
        if isinstance(received, RstStreamFrame):
            return f"stream {ERRORS[received.error_code]}"
        if isinstance(received, HeadersFrame):
            return dict(self.decoder.decode(received.data, raw=True))[b":status"].decode()
        if isinstance(received, SettingsFrame) and "ACK" not in received.flags:
            self.send(frame(SETTINGS, ACK, 0))
        is_answer = isinstance(received, PingFrame) and "ACK" in received.flags and received.opaque_data == PROBE
        return "alive" if is_answer else ""

    def exactly(self, size: int) -> bytes:
        while len(self.unread) < size:
            data = self.stream.recv(1 << 16)
            if not data:
                raise OSError("closed")
            self.unread += data
        found, self.unread = self.unread[:size], self.unread[size:]
        return found


def served(port: int) -> bool:
    """Whether an ordinary request over a new connection is served."""
    try:
        with Connection(port) as connection:
            connection.headers(1, GET)
            return connection.outcome() == "200"
    except OSError:
        return False
