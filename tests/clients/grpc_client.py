"""A real gRPC client and server, with the proxy between them.

    python grpc_client.py PATH-OF-APIG-PROXY [--without-proxy]

The server is behind TLS and verifies signatures, as a gateway does. The same calls are made twice: to the server, signed here, and
to the proxy. What fails only there is the proxy's fault. --without-proxy makes the first half only.
"""

import os
import queue
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from checks import Checks
from grpc_server import LARGEST, PATIENCE, Metadata, Server
from grpc_setup import start_proxy

# Signs a call to this method; empty if the proxy does.
Signing = Callable[[str], Metadata]


class Calls:
    """A channel, and what signs its calls."""

    def __init__(self, channel: grpc.Channel, signing: Signing) -> None:
        self.channel = channel
        self.signing = signing

    def unary(self, method: str, message: bytes, more: Metadata | None = None, timeout: float = PATIENCE):
        """The response and the call, or the error."""
        call = self.channel.unary_unary(method)
        return call.with_call(message, timeout=timeout, metadata=[*self.signing(method), *(more or [])])

    def error(self, method: str, message: bytes = b"x", timeout: float = PATIENCE) -> grpc.RpcError | None:
        try:
            self.unary(method, message, timeout=timeout)
            return None
        except grpc.RpcError as error:
            return error

    def metadata(self, method: str) -> Metadata:
        return self.signing(method)


def attempt(group: Callable, check: Callable[[bool, str], None], *arguments) -> None:
    """Runs a group of checks. A call that fails and should not ends the group, not the others."""
    try:
        group(check, *arguments)
    except grpc.RpcError as error:
        check(False, f"{group.__name__} broke off: {told(error)}")


def told(error: grpc.RpcError | None) -> str:
    return f"{error.code()}: {error.details()}" if error else "no error"


def is_status(error: grpc.RpcError | None, *allowed: grpc.StatusCode) -> bool:
    return error is not None and error.code() in allowed


def successes(check: Callable[[bool, str], None], calls: Calls, server: Server) -> None:
    """Every kind of call that ends well."""
    for message in (b"hello", b"", os.urandom(1 << 20)):
        response, call = calls.unary("/test.Echo/Unary", message)
        check(response == message and call.code() == grpc.StatusCode.OK, f"unary of {len(message)} bytes")

    method = "/test.Echo/Count"
    messages = [os.urandom(size) for size in (1, 0, 70_000, 300_000, 5)]
    response = calls.channel.stream_unary(method)(iter(messages), timeout=PATIENCE, metadata=calls.metadata(method))
    check(response == b"5 370006", f"client streaming: {response!r}")

    method = "/test.Echo/Repeat"
    for times, size in ((200, 1_000), (5, 1 << 20), (0, 0)):
        stream = calls.channel.unary_stream(method)(f"{times} {size}".encode(), timeout=PATIENCE, metadata=calls.metadata(method))
        expected = [bytes([index % 256]) * size for index in range(times)]
        check(list(stream) == expected, f"server streaming, {times} messages of {size} bytes")

    for pause, messages in ((0, [os.urandom(size) for size in (1, 10, 100_000, 0, 7)]), (2.5, [b"before", b"after"])):
        wrong = ping_pong(calls, messages, pause)
        check(not wrong, f"both ways, each message answered before the next, {pause} s between: {wrong}")

    sent: Metadata = [("x-one", "1"), ("x-one", "2"), ("x-some-bin", bytes(range(256)))]
    response, call = calls.unary("/test.Echo/Metadata", b"m", sent)
    arrived = [(name, value) for name, value in server.metadata if name in ("x-one", "x-some-bin")]
    check(joined(arrived) == joined(sent), f"metadata to the server: {arrived}")
    early = [(name, value) for name, value in call.initial_metadata() if name in ("x-early", "x-bytes-bin")]
    check(joined(early) == joined([("x-early", "1"), ("x-early", "2"), ("x-bytes-bin", bytes(range(256)))]), f"initial metadata: {early}")
    late = dict(call.trailing_metadata())
    check(late.get("x-late") == "end" and late.get("x-late-bin") == b"\xff\x00", f"trailing metadata: {late}")

    with ThreadPoolExecutor(50) as pool:
        bodies = [os.urandom(2_000) for _ in range(200)]
        responses = list(pool.map(lambda body: calls.unary("/test.Echo/Unary", body)[0], bodies))
    check(responses == bodies, "200 calls over one connection, 50 at once")


def joined(metadata: Metadata) -> dict[str, str | bytes]:
    """Metadata by name. Text values of one name may arrive as one."""
    found: dict[str, str | bytes] = {}
    for name, value in metadata:
        found[name] = f"{found[name]},{value}".replace(", ", ",") if name in found else value
    return found


def ping_pong(calls: Calls, messages: list[bytes], pause: float) -> str:
    """Sends each message after the one before has come back; what went wrong."""
    method = "/test.Echo/PingPong"
    to_send: queue.Queue[bytes | None] = queue.Queue()
    stream = calls.channel.stream_stream(method)(iter(to_send.get, None), timeout=PATIENCE, metadata=calls.metadata(method))
    try:
        for index, message in enumerate(messages):
            if index:
                time.sleep(pause)
            to_send.put(message)
            if (response := next(stream)) != message[::-1]:
                return f"message {index} is {response[:20]!r}"
        to_send.put(None)
        return "" if next(stream, None) is None and stream.code() == grpc.StatusCode.OK else "the stream does not end"
    except grpc.RpcError as error:
        return f"{error.code()}: {error.details()}"
    finally:
        to_send.put(None)


def failures(check: Callable[[bool, str], None], calls: Calls, server: Server) -> None:
    """Every kind of call that ends otherwise; what the server and the client see of it."""
    error = calls.error("/test.Echo/Fail")
    check(is_status(error, grpc.StatusCode.FAILED_PRECONDITION) and error.details() == "not now: 100 % \u4e2d\u6587"
          and ("x-why", "because") in error.trailing_metadata(), f"a status of the server: {told(error)}")
    error = calls.error("/test.Echo/Unknown")
    check(is_status(error, grpc.StatusCode.UNIMPLEMENTED), f"an unknown method: {told(error)}")

    method = "/test.Echo/FailLate"
    stream = calls.channel.unary_stream(method)(b"", timeout=PATIENCE, metadata=calls.metadata(method))
    first, error = b"", None
    try:
        first = next(stream)
        next(stream)
    except grpc.RpcError as raised:
        error = raised
    check(first == b"one" and is_status(error, grpc.StatusCode.DATA_LOSS), f"a status after a message: {told(error)}")

    server.cancelled.clear()
    error = calls.error("/test.Echo/Hang", timeout=0.7)
    check(is_status(error, grpc.StatusCode.DEADLINE_EXCEEDED), f"a deadline: {told(error)}")
    check(server.cancelled.wait(PATIENCE / 2), "the server does not learn of the deadline")

    for method, reads in (("/test.Echo/Hang", 0), ("/test.Echo/HangLate", 1)):
        server.cancelled.clear()
        server.hanging.clear()
        stream = calls.channel.unary_stream(method)(b"x", timeout=PATIENCE, metadata=calls.metadata(method))
        for _ in range(reads):
            next(stream)
        check(server.hanging.wait(PATIENCE / 2), f"{method}: the call does not begin")
        stream.cancel()
        check(stream.code() == grpc.StatusCode.CANCELLED, f"{method}: cancelled, and it is {stream.code()}")
        check(server.cancelled.wait(PATIENCE / 2), f"{method}: the server does not learn that the call was cancelled")
    response, _ = calls.unary("/test.Echo/Unary", b"after")
    check(response == b"after", "a call after those that failed")


def own_errors(check: Callable[[bool, str], None], calls: Calls, port: int, server: Server) -> None:
    """Errors of the proxy itself, and refusals of the server, reach a gRPC client as a status with a message."""
    before = len(server.calls)
    for method, allowed in {
        "/test.NoRoute/Unary": {grpc.StatusCode.UNIMPLEMENTED},
        "/test.Narrow/Other": {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED},
        "/test.Nowhere/Unary": {grpc.StatusCode.UNAVAILABLE},
    }.items():
        error = calls.error(method)
        check(is_status(error, *allowed) and says_why(error), f"{method}: {told(error)}")
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.default_authority", "evil.example")]) as channel:
        error = Calls(channel, lambda _: []).error("/test.Echo/Unary")
        check(is_status(error, grpc.StatusCode.PERMISSION_DENIED) and says_why(error), f"a foreign authority: {told(error)}")
    check(len(server.calls) == before, f"refused calls reached the server: {server.calls[before:]}")
    # A message of 13 MiB is refused before it ends.
    error = calls.error("/test.Echo/Unary", b" " * (13 << 20))
    check(is_status(error, grpc.StatusCode.RESOURCE_EXHAUSTED), f"13 MiB: {told(error)}")
    error = calls.error("/test.Unpublished/Unary")
    check(is_status(error, grpc.StatusCode.UNAUTHENTICATED), f"a refusal of the server: {told(error)}")
    response, _ = calls.unary("/test.Echo/Unary", b"after")
    check(response == b"after", "a call after the refused ones")


def says_why(error: grpc.RpcError) -> bool:
    """Whether the message is the proxy's, and not made by the client of an HTTP status."""
    return bool(error.details()) and "http2 header with status" not in error.details()


def main() -> int:
    binary, *options = sys.argv[1:]
    checks = Checks()

    def named(name: str) -> Callable[[bool, str], None]:
        return lambda holds, what: checks.check(holds, f"{name}: {what}")

    limits = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", 16 << 20), ("grpc.enable_http_proxy", 0)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(folder)
        try:
            credentials = grpc.ssl_channel_credentials(server.ca_file.read_bytes())
            with grpc.secure_channel(f"127.0.0.1:{server.port}", credentials, limits) as channel:
                calls = Calls(channel, server.signed)
                attempt(successes, named("server"), calls, server)
                attempt(failures, named("server"), calls, server)
                error = Calls(channel, lambda _: []).error("/test.Echo/Unary")
                checks.check(error is not None, "the server accepts a call that is not signed")
            if "--without-proxy" not in options:
                through_proxy(binary, folder, server, limits, checks)
        finally:
            server.server.stop(0)
    print(f"{len(server.calls)} calls reached the server")
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed or not checks.passed else 0


def through_proxy(binary: str, folder: Path, server: Server, limits: list, checks: Checks) -> None:
    proxy, port = start_proxy(binary, folder, server)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", limits) as channel:
            calls = Calls(channel, lambda _: [])

            def check(holds: bool, what: str) -> None:
                checks.check(holds, f"proxy: {what}")

            attempt(successes, check, calls, server)
            attempt(failures, check, calls, server)
            attempt(own_errors, check, calls, port, server)
    finally:
        code = proxy.stop()
    checks.check(code == 0, f"the proxy ended with {code}")
    checks.check(server.secret_key not in proxy.log.read_text(), "the secret key is in the log")


if __name__ == "__main__":
    sys.exit(main())
