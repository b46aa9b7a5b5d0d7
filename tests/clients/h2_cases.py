"""The violations, and how each may end (RFC 9113, RFC 7541). A stream error may always be made one of the connection."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from h2_wire import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PADDED, PING, POST, PREFACE, PRIORITY,
                     PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, Connection, frame, setting)

Send = Callable[[Connection], None]
OPEN = END_HEADERS
LENGTH = ("content-length", "5")


@dataclass
class Case:
    name: str
    send: Send
    allowed: set[str]
    # How many requests may reach the gateway: those that were whole before the violation.
    reaches: int = 0
    with_preface: bool = True
    # Whether a PING follows, which tells whether the connection lives on.
    with_probe: bool = True
    # Whether the connection has to end, whatever becomes of its streams.
    ends: bool = False


def of_connection(*codes: str) -> set[str]:
    return {"closed", *(f"connection {code}" for code in codes)}


def of_stream(*codes: str) -> set[str]:
    return of_connection(*codes) | {f"stream {code}" for code in codes}


PROTOCOL = of_connection("PROTOCOL_ERROR")
CLOSED = of_stream("STREAM_CLOSED", "PROTOCOL_ERROR")
# hyper ends the connection, as it has to, but calls every frame that it cannot read a PROTOCOL_ERROR.
SIZE = of_connection("FRAME_SIZE_ERROR", "PROTOCOL_ERROR")
COMPRESSION = of_connection("COMPRESSION_ERROR", "PROTOCOL_ERROR")
# A malformed request may be answered before its stream ends (RFC 9113 8.1.1).
MALFORMED = of_stream("PROTOCOL_ERROR") | {"400"}


def cases() -> list[Case]:
    return preface() + sizes() + settings() + streams() + flow_control() + continuations() + compression() + requests()


def raw(*frames: bytes) -> Send:
    return lambda connection: connection.send(b"".join(frames))


def opened(*frames: bytes, fields: list | None = None, flags: int = OPEN) -> Send:
    """A request on stream 1, and then these."""
    def send(connection: Connection) -> None:
        connection.headers(1, fields or POST, flags)
        connection.send(b"".join(frames))

    return send


def preface() -> list[Case]:
    return [
        Case("a wrong end of the preface", raw(PREFACE[:-6] + b"XX\r\n\r\n" + frame(SETTINGS, 0, 0)), PROTOCOL | {"HTTP/1.1 400"}, with_preface=False),
        # RFC 9113 3.4 lets a server leave out GOAWAY; h2 takes the first frame for what it is, which hurts nobody.
        Case("a PING before SETTINGS", raw(PREFACE + frame(PING, 0, 0, b"12345678")), PROTOCOL | {"ignored"}, with_preface=False),
        Case("a frame of an unknown kind", raw(frame(0x16, 0xFF, 0, b"anything")), {"ignored"}),
    ]


def sizes() -> list[Case]:
    too_long = b"\0" * 16_385
    return [
        Case("DATA of 16,385 bytes", opened(frame(DATA, END_STREAM, 1, too_long)), of_stream("FRAME_SIZE_ERROR")),
        Case("HEADERS of 16,385 bytes", raw(frame(HEADERS, END_STREAM | END_HEADERS, 1, too_long)), SIZE),
        Case("an unknown frame of 16,385 bytes", raw(frame(0x16, 0, 0, too_long)), SIZE),
        Case("SETTINGS of 5 bytes", raw(frame(SETTINGS, 0, 0, b"12345")), SIZE),
        Case("SETTINGS with ACK and a payload", raw(frame(SETTINGS, ACK, 0, setting(1, 1))), SIZE),
        Case("PING of 7 bytes", raw(frame(PING, 0, 0, b"1234567")), SIZE),
        Case("RST_STREAM of 3 bytes", opened(frame(RST_STREAM, 0, 1, b"123")), SIZE),
        Case("PRIORITY of 4 bytes", opened(frame(PRIORITY, 0, 1, b"1234")), SIZE | {"stream FRAME_SIZE_ERROR"}),
        Case("WINDOW_UPDATE of 3 bytes", raw(frame(WINDOW_UPDATE, 0, 0, b"123")), SIZE),
        Case("GOAWAY of 4 bytes", raw(frame(GOAWAY, 0, 0, b"1234")), SIZE),
    ]


def settings() -> list[Case]:
    return [
        Case("SETTINGS on a stream", raw(frame(SETTINGS, 0, 1)), PROTOCOL),
        Case("ENABLE_PUSH of 2", raw(frame(SETTINGS, 0, 0, setting(2, 2))), PROTOCOL),
        Case("INITIAL_WINDOW_SIZE over 2^31-1", raw(frame(SETTINGS, 0, 0, setting(4, 1 << 31))), of_connection("FLOW_CONTROL_ERROR", "PROTOCOL_ERROR")),
        Case("MAX_FRAME_SIZE of 16,383", raw(frame(SETTINGS, 0, 0, setting(5, 16_383))), PROTOCOL),
        Case("MAX_FRAME_SIZE of 2^24", raw(frame(SETTINGS, 0, 0, setting(5, 1 << 24))), PROTOCOL),
        Case("an unknown setting", raw(frame(SETTINGS, 0, 0, setting(0xABC, 1))), {"ignored"}),
        Case("PING on a stream", raw(frame(PING, 0, 1, b"12345678")), PROTOCOL),
        Case("GOAWAY on a stream", raw(frame(GOAWAY, 0, 1, bytes(8))), PROTOCOL),
        Case("GOAWAY with an error", raw(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 1))), PROTOCOL | {"ignored"}),
        Case("PUSH_PROMISE by a caller", opened(frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2))), PROTOCOL),
    ]


def streams() -> list[Case]:
    def lower(connection: Connection) -> None:
        connection.headers(5, POST, OPEN)
        connection.headers(3, GET)

    def too_many(connection: Connection) -> None:
        for number in range(400):
            connection.headers(2 * number + 1, POST, OPEN)

    def second_headers(connection: Connection) -> None:
        connection.headers(1, POST, OPEN)
        connection.headers(1, [("x-late", "1")], OPEN)

    def after_end(connection: Connection) -> None:
        connection.headers(1, GET)
        connection.headers(1, GET)

    def depends_on_itself(connection: Connection) -> None:
        priority = struct.pack(">IB", 1, 10)
        connection.send(frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, priority + connection.block(GET)))

    def padded(connection: Connection) -> None:
        connection.send(frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b"\xff" + connection.block(GET)[:40]))

    def on(stream: int) -> Send:
        return lambda connection: connection.headers(stream, GET)

    cancelled = frame(RST_STREAM, 0, 1, struct.pack(">I", 8))
    return [
        Case("HEADERS on stream 0", on(0), PROTOCOL),
        Case("HEADERS on an even stream", on(2), PROTOCOL),
        Case("HEADERS on a lower stream than before", lower, of_connection("PROTOCOL_ERROR", "STREAM_CLOSED")),
        Case("DATA on stream 0", raw(frame(DATA, 0, 0, b"x")), PROTOCOL),
        Case("DATA on an idle stream", raw(frame(DATA, END_STREAM, 1, b"x")), PROTOCOL),
        Case("RST_STREAM on stream 0", raw(frame(RST_STREAM, 0, 0, bytes(4))), PROTOCOL),
        Case("RST_STREAM on an idle stream", raw(frame(RST_STREAM, 0, 1, bytes(4))), PROTOCOL),
        Case("WINDOW_UPDATE on an idle stream", raw(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))), PROTOCOL),
        Case("CONTINUATION on an idle stream", raw(frame(CONTINUATION, END_HEADERS, 1)), PROTOCOL),
        Case("PRIORITY on stream 0", raw(frame(PRIORITY, 0, 0, bytes(5))), PROTOCOL),
        # RFC 9113 leaves priorities out, so they may be read or not.
        Case("PRIORITY of a stream that depends on itself", raw(frame(PRIORITY, 0, 1, struct.pack(">IB", 1, 1))), of_stream("PROTOCOL_ERROR") | {"ignored"}),
        Case("HEADERS of a stream that depends on itself", depends_on_itself, of_stream("PROTOCOL_ERROR") | {"200"}, reaches=1),
        Case("DATA after the end of a stream", opened(frame(DATA, END_STREAM, 1, b"x"), fields=GET, flags=END_STREAM | END_HEADERS), CLOSED | {"200"}, reaches=1),
        Case("HEADERS after the end of a stream", after_end, CLOSED | {"200"}, reaches=1),
        Case("HEADERS twice, and no end", second_headers, MALFORMED),
        Case("DATA after RST_STREAM", opened(cancelled, frame(DATA, END_STREAM, 1, b"x")), CLOSED | {"ignored"}),
        Case("HEADERS after RST_STREAM", lambda connection: (connection.headers(1, POST, OPEN), connection.send(cancelled), connection.headers(1, GET)),
             CLOSED | {"ignored"}),
        Case("DATA with more padding than there is", opened(frame(DATA, END_STREAM | PADDED, 1, b"\x09abc")), PROTOCOL),
        Case("HEADERS with more padding than there is", padded, PROTOCOL),
        Case("400 streams at once", too_many, of_stream("REFUSED_STREAM", "PROTOCOL_ERROR")),
    ]


def flow_control() -> list[Case]:
    most = struct.pack(">I", (1 << 31) - 1)
    control = of_connection("FLOW_CONTROL_ERROR")

    def over_the_window(connection: Connection) -> None:
        # The proxy waits for the whole of a body that it hashes, so it lets more and more come. What is not asked for does not.
        connection.headers(1, POST, OPEN)
        for _ in range(3_000):
            connection.send(frame(DATA, 0, 1, bytes(16_384)))

    return [
        Case("WINDOW_UPDATE of 0", raw(frame(WINDOW_UPDATE, 0, 0, bytes(4))), PROTOCOL),
        Case("WINDOW_UPDATE of 0 on a stream", opened(frame(WINDOW_UPDATE, 0, 1, bytes(4))), of_stream("PROTOCOL_ERROR")),
        Case("a window over 2^31-1", raw(frame(WINDOW_UPDATE, 0, 0, most)), control),
        Case("a window over 2^31-1 on a stream", opened(frame(WINDOW_UPDATE, 0, 1, most)), of_stream("FLOW_CONTROL_ERROR")),
        Case("a window that SETTINGS bring over 2^31-1", opened(frame(SETTINGS, 0, 0, setting(4, 100)), frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", (1 << 31) - 101)),
                                                                frame(SETTINGS, 0, 0, setting(4, (1 << 31) - 1))), control),
        Case("DATA beyond the window", over_the_window, of_stream("FLOW_CONTROL_ERROR") | {"413", "stream NO_ERROR"}),
    ]


def continuations() -> list[Case]:
    begun = frame(HEADERS, END_STREAM, 1, b"\x82\x87")
    return [
        Case("CONTINUATION after END_HEADERS", opened(frame(CONTINUATION, END_HEADERS, 1)), PROTOCOL),
        Case("CONTINUATION of another stream", raw(begun, frame(CONTINUATION, END_HEADERS, 3)), PROTOCOL),
        Case("DATA between HEADERS and CONTINUATION", raw(begun, frame(DATA, 0, 1, b"x")), PROTOCOL),
        Case("PING between HEADERS and CONTINUATION", raw(begun, frame(PING, 0, 0, bytes(8))), PROTOCOL),
        Case("HEADERS between HEADERS and CONTINUATION", raw(begun, frame(HEADERS, END_STREAM, 3, b"\x82")), PROTOCOL),
        Case("an unknown frame between HEADERS and CONTINUATION", raw(begun, frame(0x16, 0, 0)), PROTOCOL),
    ]


def compression() -> list[Case]:
    def block(data: bytes) -> Send:
        def send(connection: Connection) -> None:
            connection.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, connection.block(GET) + data))

        return send

    x_test = bytes.fromhex("0085f2b24a84ff")
    return [
        Case("an index that is not in the table", block(b"\xff\x80\x01"), COMPRESSION),
        Case("index 0", block(b"\x80"), COMPRESSION),
        Case("an index without end", block(b"\xff" + b"\xff" * 20), COMPRESSION),
        Case("a name without end", block(b"\x40\x7f\x00"), COMPRESSION),
        Case("Huffman padding of more than 7 bits", block(x_test + b"\x84\x49\x50\x9f\xff"), COMPRESSION),
        Case("Huffman padding with zeros", block(x_test + b"\x83\x49\x50\x90"), COMPRESSION),
        Case("Huffman code of the end of a string", block(x_test + b"\x87\x49\x51\xff\xff\xff\xfa\x7f"), COMPRESSION),
        Case("a table larger than allowed", raw(frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x3f\xe1\xff\x03\x82\x86\x84")), COMPRESSION),
        Case("a table size at the end of a block", block(b"\x20"), COMPRESSION),
    ]


def requests() -> list[Case]:
    def of(name: str, fields: list, allowed: set[str] = MALFORMED) -> Case:
        return Case(name, lambda connection: connection.headers(1, fields), allowed)

    def without(name: str) -> list:
        return [field for field in GET if field[0] != name]

    def with_body(name: str, length: str, *pieces: bytes) -> Case:
        frames = [frame(DATA, END_STREAM if index == len(pieces) - 1 else 0, 1, piece) for index, piece in enumerate(pieces)]
        return Case(name, opened(*frames, fields=[*POST, ("content-length", length)]), MALFORMED)

    def trailers(name: str, fields: list, allowed: set[str], reaches: int = 0) -> Case:
        def send(connection: Connection) -> None:
            connection.headers(1, POST, OPEN)
            connection.send(frame(DATA, 0, 1, b"body"))
            connection.headers(1, fields)

        return Case(name, send, allowed, reaches)

    refused = MALFORMED | {"403", "404", "405", "501"}
    pseudo = [of(f"no {name}", without(name)) for name in (":method", ":scheme", ":path")]
    pseudo += [of(f"{name} twice", [*GET, (name, value)]) for name, value in GET]
    pseudo += [
        of("no :authority and no host", without(":authority")),
        of("an empty :path", [*without(":path"), (":path", "")]),
        of("a :path that does not begin with /", [*without(":path"), (":path", "v1")]),
        of("a :path of * with GET", [*without(":path"), (":path", "*")]),
        of("a :path with a blank", [*without(":path"), (":path", "/a b")]),
        of("an :authority that is not allowed", [*without(":authority"), (":authority", "evil.example")], refused),
        of("an :authority with a user", [*without(":authority"), (":authority", "user@localhost")], refused),
        of("a host that differs", [*GET, ("host", "127.0.0.1")]),
        of("a pseudo-header that is unknown", [*GET, (":unknown", "1")]),
        of("a pseudo-header of answers", [*GET, (":status", "200")]),
        of("a pseudo-header after others", [*GET[:3], ("x-a", "1"), GET[3]]),
        of("CONNECT", [(":method", "CONNECT"), (":authority", "localhost:443")], refused),
        of("CONNECT with a path", [(":method", "CONNECT"), *GET[1:]], refused),
        of("CONNECT with a protocol that was not offered", [(":method", "CONNECT"), (":protocol", "websocket"), *GET[1:]], refused),
    ]
    names = [of(f"{name}: {value}", [*GET, (name, value)]) for name, value in (
        ("connection", "close"), ("keep-alive", "timeout=5"), ("proxy-connection", "keep-alive"), ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"), ("te", "gzip"), ("te", "trailers, gzip"))]
    names += [
        of("a name with a capital", [*GET, ("X-Upper", "1")]),
        of("an empty name", [*GET, ("", "1")]),
        of("a name with a blank", [*GET, ("x a", "1")]),
        of("a name with a colon", [*GET, ("x:a", "1")]),
        of("a name with a byte over 127", [*GET, (b"x\xe9", "1")]),
    ]
    names += [of(f"a value with {name}", [*GET, ("x-a", f"1{text}x-stage: evil")]) for name, text in (("NUL", "\0"), ("CR", "\r"), ("LF", "\n"), ("CRLF", "\r\n"))]
    bodies = [
        with_body("less DATA than content-length", "5", b"abcd"),
        with_body("more DATA than content-length", "5", b"abcdef"),
        with_body("more DATA than content-length, in two frames", "5", b"abc", b"def"),
        of("content-length of 5 and no DATA", [*POST, LENGTH]),
        of("two lengths that differ", [*POST, LENGTH, ("content-length", "6")]),
        of("a length with a sign", [*POST, ("content-length", "+0")]),
        of("a length that is no number", [*POST, ("content-length", "five")]),
        # hyper drops it, so it goes nowhere.
        trailers("a pseudo-header in trailers", [(":method", "GET")], MALFORMED | {"200"}, reaches=1),
        trailers("a name with a capital in trailers", [("X-Upper", "1")], MALFORMED),
    ]
    return pseudo + names + bodies
