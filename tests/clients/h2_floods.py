"""What costs the server more than the caller: floods and bombs."""

import struct
import time

from h2_cases import OPEN, Case, Send, of_connection
from h2_wire import CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PING, POST, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Connection, frame, setting

CALM = of_connection("ENHANCE_YOUR_CALM", "PROTOCOL_ERROR", "COMPRESSION_ERROR", "INTERNAL_ERROR")


def floods() -> list[Case]:
    """What costs the server more than the caller. It may end the connection, or stop reading it; memory is checked for all."""
    cancel = struct.pack(">I", 8)
    backs_off = CALM | {"stalled"}

    def rapid_reset(connection: Connection) -> None:
        for number in range(5_000):
            stream = 2 * number + 1
            connection.headers(stream, POST, OPEN)
            connection.send(frame(RST_STREAM, 0, stream, cancel))

    def resets_of_the_server(connection: Connection) -> None:
        """Has the server reset each stream, so that those which it counts as open never are too many."""
        for number in range(5_000):
            stream = 2 * number + 1
            connection.headers(stream, POST, OPEN)
            connection.send(frame(WINDOW_UPDATE, 0, stream, bytes(4)))

    def continuation(size: int, count: int) -> Send:
        def send(connection: Connection) -> None:
            field = b"\x00\x03x-a" + b"\x7f" + b"\xa1\x7e" + b"v" * 16_288
            connection.send(frame(HEADERS, END_STREAM, 1, connection.block(GET)))
            for _ in range(count):
                connection.send(frame(CONTINUATION, 0, 1, field[:16_302] if size else b""))

        return send

    def bomb(connection: Connection) -> None:
        """One field of 4,000 bytes in the table, and then its index again and again."""
        first = connection.block([*GET, ("x-bomb", "b" * 3_900)])
        connection.send(frame(HEADERS, END_STREAM, 1, first))
        for _ in range(30):
            connection.send(frame(CONTINUATION, 0, 1, b"\xbe" * 16_000))
        connection.send(frame(CONTINUATION, END_HEADERS, 1, b"\xbe"))

    def unread(data: bytes, count: int) -> Send:
        def send(connection: Connection) -> None:
            """Sends what asks for answers, and reads none."""
            connection.stream.settimeout(2)
            pieces = data * 500
            for _ in range(count // 500):
                try:
                    connection.send(pieces)
                except TimeoutError:
                    return

        return send

    def empty_data(connection: Connection) -> None:
        connection.headers(1, POST, OPEN)
        for _ in range(200):
            connection.send(frame(DATA, 0, 1) * 500)

    def trickle(connection: Connection) -> None:
        """A head that comes byte by byte and never ends."""
        data = frame(HEADERS, END_STREAM, 1, connection.block(GET))
        for byte in data[:-1]:
            connection.send(bytes([byte]))
            time.sleep(0.02)

    return [
        Case("5,000 streams that are cancelled at once", rapid_reset, CALM, ends=True),
        Case("5,000 streams that the server has to reset", resets_of_the_server, CALM, ends=True),
        Case("CONTINUATION of 32 MiB", continuation(16_384, 2_000), CALM | {"431", "stream PROTOCOL_ERROR", "stream REFUSED_STREAM"}),
        Case("100,000 empty CONTINUATION", continuation(0, 100_000), CALM | {"431"}),
        Case("a head of 1.9 GB in 500 KB", bomb, CALM | {"431", "stream PROTOCOL_ERROR"}),
        Case("500,000 PING whose answers are not read", unread(frame(PING, 0, 0, bytes(8)), 500_000), backs_off | {"ignored"}),
        Case("500,000 SETTINGS whose answers are not read", unread(frame(SETTINGS, 0, 0, setting(4, 65_535)), 500_000), backs_off | {"ignored"}),
        Case("500,000 PRIORITY", unread(frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 1)), 500_000), backs_off | {"ignored"}),
        Case("100,000 empty DATA", empty_data, CALM | {"408", "stream PROTOCOL_ERROR", "stream ENHANCE_YOUR_CALM", "ignored"}),
        Case("a head that never ends", trickle, {"closed"}, with_probe=False),
    ]
