"""A gRPC server on loopback that verifies the signature of each call, as a gateway does.

Messages are raw bytes, so that no code is generated.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from gateway import make_certificate

PATIENCE = 20
LARGEST = 4 << 20

Metadata = list[tuple[str, str | bytes]]


class Server(grpc.GenericRpcHandler):
    """Answers every call of the service test.Echo that is signed with its key, over TLS."""

    def __init__(self, folder: Path) -> None:
        self.access_key = "AK" + secrets.token_hex(9).upper()
        self.secret_key = "MARKER" + secrets.token_hex(17)
        self.ca_file = folder / "ca.pem"
        self.calls: list[str] = []
        # A call that hangs has begun, and has ended. One that is cancelled before it began never does either.
        self.hanging = threading.Event()
        self.cancelled = threading.Event()
        self.metadata: Metadata = []
        self.server = grpc.server(ThreadPoolExecutor(64), handlers=[self], options=[
            ("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)])
        certificate, key = (path.read_bytes() for path in make_certificate(folder))
        self.port = self.server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
        self.server.start()

    def signed(self, method: str) -> Metadata:
        """The metadata of a call that is signed now."""
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {"x-sdk-content-sha256": "UNSIGNED-PAYLOAD", "x-sdk-date": date, "x-stage": "RELEASE"}
        return [*headers.items(), ("authorization", self._authorization(method, headers))]

    def _authorization(self, method: str, metadata: dict[str, str | bytes]) -> str:
        headers = {"host": f"127.0.0.1:{self.port}"}
        headers |= {name: metadata.get(name, "") for name in ("x-sdk-content-sha256", "x-sdk-date", "x-stage")}
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        names = ";".join(headers)
        canonical = f"POST\n{method}/\n\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        to_sign = f"SDK-HMAC-SHA256\n{headers['x-sdk-date']}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self.secret_key.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
        return f"SDK-HMAC-SHA256 Access={self.access_key}, SignedHeaders={names}, Signature={signature}"

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        metadata = dict(details.invocation_metadata)
        is_signed = metadata.get("authorization") == self._authorization(details.method, metadata)
        if not is_signed or metadata["x-stage"] != "RELEASE":
            return grpc.stream_stream_rpc_method_handler(self.refuse)
        self.calls.append(details.method)
        self.metadata = list(details.invocation_metadata)
        kinds = {
            "Unary": (grpc.unary_unary_rpc_method_handler, self.unary),
            "Count": (grpc.stream_unary_rpc_method_handler, self.count),
            "Repeat": (grpc.unary_stream_rpc_method_handler, self.repeat),
            "PingPong": (grpc.stream_stream_rpc_method_handler, self.ping_pong),
            "Metadata": (grpc.unary_unary_rpc_method_handler, self.with_metadata),
            "Fail": (grpc.unary_unary_rpc_method_handler, self.fail),
            "FailLate": (grpc.unary_stream_rpc_method_handler, self.fail_late),
            "Hang": (grpc.unary_unary_rpc_method_handler, self.hang),
            "HangLate": (grpc.unary_stream_rpc_method_handler, self.hang_late),
        }
        service, _, method = details.method.removeprefix("/").rpartition("/")
        if service != "test.Echo" or method not in kinds:
            return None
        make, handler = kinds[method]
        return make(handler)

    def refuse(self, _, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "the signature is wrong, or the stage")
        yield b""

    def unary(self, message: bytes, _) -> bytes:
        return message

    def count(self, messages: Iterator[bytes], _) -> bytes:
        sizes = [len(message) for message in messages]
        return f"{len(sizes)} {sum(sizes)}".encode()

    def repeat(self, message: bytes, _) -> Iterator[bytes]:
        times, size = map(int, message.split())
        for index in range(times):
            yield bytes([index % 256]) * size

    def ping_pong(self, messages: Iterator[bytes], _) -> Iterator[bytes]:
        for message in messages:
            yield message[::-1]

    def with_metadata(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        context.send_initial_metadata((("x-early", "1"), ("x-early", "2"), ("x-bytes-bin", bytes(range(256)))))
        context.set_trailing_metadata((("x-late", "end"), ("x-late-bin", b"\xff\x00")))
        return message

    def fail(self, _, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-why", "because"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: 100 % \u4e2d\u6587")
        return b""

    def fail_late(self, _, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield b"one"
        context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    def hang(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        self._ended(context).wait(PATIENCE)
        return message

    def hang_late(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        # Before the message: after it, a call that has been cancelled does not come back here.
        ended = self._ended(context)
        yield message
        ended.wait(PATIENCE)

    def _ended(self, context: grpc.ServicerContext) -> threading.Event:
        """Set when the call ends, which is told to the test as well."""
        ended = threading.Event()

        def end() -> None:
            self.cancelled.set()
            ended.set()

        # False if it has ended already.
        if not context.add_callback(end):
            end()
        self.hanging.set()
        return ended
