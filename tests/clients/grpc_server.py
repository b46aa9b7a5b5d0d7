"""A gRPC server on loopback whose messages are raw bytes, so that no code is generated."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

PATIENCE = 20
LARGEST = 4 << 20

Metadata = list[tuple[str, str | bytes]]


class Server(grpc.GenericRpcHandler):
    """Answers every call of the service test.Echo."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        # A call that hangs has begun, and has ended. One that is cancelled before it began never does either.
        self.hanging = threading.Event()
        self.cancelled = threading.Event()
        self.metadata: Metadata = []
        self.server = grpc.server(ThreadPoolExecutor(64), handlers=[self], options=[
            ("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
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
