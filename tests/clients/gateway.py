"""A second gateway, independent of the program: it recomputes each signature with the signer of
Huawei's own Python SDK, from the bytes that came over the wire.

Gateways read `+` and `;` in a query differently, so a signature must be right under every reading.
"""

import base64
import hashlib
import itertools
import json
import re
import secrets
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

GRAMMAR = re.compile(r"SDK-HMAC-SHA256\s+Access=([^,]+),\s?SignedHeaders=([^,]+),\s?Signature=(\w+)")
# What belongs to one connection, or is answered by the proxy, has no business here.
NEVER = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect", "forwarded"}
PATIENCE = 60
# What a server adds to the key of a WebSocket (RFC 6455).
WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Refused(Exception):
    """A request that this gateway does not accept, and why."""


@dataclass
class Request:
    """A request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    def only(self, name: str) -> str:
        values = self.all(name)
        if len(values) != 1:
            raise Refused(f"{len(values)} headers {name}")
        return values[0]


@dataclass
class Gateway:
    """The gateway; `start` makes its certificate and listens on a free loopback port."""

    folder: Path
    access_key: str = field(default_factory=lambda: "AK" + secrets.token_hex(9).upper())
    secret_key: str = field(default_factory=lambda: "MARKER" + secrets.token_hex(17))
    # Whether it also serves the APIs of cloud services, which are called for a project and have no stages.
    has_services: bool = False
    requests: int = 0
    refused: int = 0
    connections: int = 0
    # What arrived with a right signature, in order.
    targets: list[str] = field(default_factory=list)

    def start(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate = make_certificate(self.folder)
        context.load_cert_chain(*self.certificate)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, args=(context,), daemon=True).start()

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def _accept(self, context: ssl.SSLContext) -> None:
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self._serve, args=(context, connection), daemon=True).start()

    def _serve(self, context: ssl.SSLContext, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.connections += 1
        try:
            with context.wrap_socket(connection, server_side=True) as stream:
                reader = stream.makefile("rb", buffering=1 << 16)
                while (request := read_request(reader)) is not None:
                    stream.sendall(self._answer(request))
                    if is_websocket(request):
                        # Until the other side has closed, too.
                        reader.read()
                        return
        except (OSError, EOFError):
            return

    def _answer(self, request: Request) -> bytes:
        try:
            signed = self.verify(request)
            self.targets.append(request.target)
            if (answer := self.special(request)) is not None:
                with self.lock:
                    self.requests += 1
                return answer
            status, body = 200, received(request, signed)
        except Refused as refusal:
            status, body = 401, {"error_code": "APIG.0301", "error_msg": str(refusal), "request_id": "0"}
        with self.lock:
            self.requests += 1
            self.refused += status != 200
        content = b"" if request.method == "HEAD" else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        return head.encode() + content

    def special(self, request: Request) -> bytes | None:
        """The answer to a request that is not answered with what arrived: a WebSocket gets one message."""
        if not is_websocket(request):
            return None
        accept = base64.b64encode(hashlib.sha1((request.only("sec-websocket-key") + WEBSOCKET).encode()).digest()).decode()
        head = f"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
        return head.encode() + b"\x81\x05hello" + b"\x88\x02\x03\xe8"

    def verify(self, request: Request) -> list[str]:
        """The signed headers of a request whose signature is right under all readings."""
        for name in NEVER - ({"connection", "upgrade"} if is_websocket(request) else set()):
            if request.all(name):
                raise Refused(f"header {name} should have ended at the proxy")
        stages = request.all("x-stage")
        is_service = self.has_services and not stages and request.all("x-project-id")
        if stages != ["RELEASE"] and not is_service:
            raise Refused("x-stage is not RELEASE")
        date = datetime.strptime(request.only("x-sdk-date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        now = datetime.now(timezone.utc)
        if abs(now.timestamp() - date.timestamp()) > 900:
            shown = [moment.strftime("%Y%m%dT%H%M%SZ") for moment in (date, now)]
            raise Refused("Incorrect IAM authentication information: calc aksk signature fail:signature expired, "
                          f"signature time:{shown[0]},server time:{shown[1]}")
        match = GRAMMAR.fullmatch(request.only("authorization"))
        if not match or match[1] != self.access_key:
            raise Refused("authorization is malformed, or of another key")
        signed = match[2].split(";")
        for name in ("host", "x-sdk-date", "x-project-id" if is_service else "x-stage"):
            if name not in signed:
                raise Refused(f"{name} is not signed")
        for plus, semicolon in itertools.product(("space", "itself"), ("itself", "drops the pair")):
            if self._signature(request, signed, plus, semicolon) != match[3]:
                raise Refused(f"signature differs when + is {plus} and ; {semicolon}")
        return signed

    def _signature(self, request: Request, signed: list[str], plus: str, semicolon: str) -> str:
        """The signature that the SDK makes of what came."""
        path, _, query = request.target.partition("?")
        sdk_request = SdkRequest(
            method=request.method,
            host=request.only("host"),
            resource_path=path,
            query_params=pairs(query, plus, semicolon),
            header_params={name: request.only(name) for name in signed},
            body=request.body,
        )
        Signer(SimpleNamespace(ak=self.access_key, sk=self.secret_key)).sign(sdk_request)
        return GRAMMAR.fullmatch(sdk_request.header_params["Authorization"])[3]


def is_websocket(request: Request) -> bool:
    return [value.lower() for value in request.all("upgrade")] == ["websocket"]


def pairs(query: str, plus: str, semicolon: str) -> list[tuple[str, str]]:
    """What a decoder reads in a query."""
    found = []
    for pair in query.split("&"):
        if not pair or (semicolon == "drops the pair" and ";" in pair):
            continue
        if plus == "space":
            pair = pair.replace("+", " ")
        name, _, value = pair.partition("=")
        found.append((unquote(name, errors="strict"), unquote(value, errors="strict")))
    return found


def received(request: Request, signed: list[str]) -> dict:
    return {
        "method": request.method,
        "target": request.target,
        "headers": request.headers,
        "body_sha256": hashlib.sha256(request.body).hexdigest(),
        "body_bytes": len(request.body),
        "signed_headers": signed,
    }


def read_request(reader) -> Request | None:
    """Reads one request; None if the connection ends before one begins."""
    line = reader.readline(1 << 17)
    if not line:
        return None
    method, target, version = line.decode("latin-1").rstrip("\r\n").split(" ")
    if version != "HTTP/1.1":
        raise EOFError(version)
    headers = []
    while (line := reader.readline(1 << 17)) != b"\r\n":
        if not line.endswith(b"\r\n"):
            raise EOFError("a header line is not ended by CRLF")
        name, _, value = line.decode("latin-1").rstrip("\r\n").partition(":")
        headers.append((name, value.strip(" \t")))
    request = Request(method, target, headers)
    if request.all("transfer-encoding"):
        request.body = read_chunks(reader)
    elif lengths := request.all("content-length"):
        request.body = exactly(reader, int(lengths[0]))
    return request


def read_chunks(reader) -> bytes:
    body = bytearray()
    while size := int(reader.readline(1 << 10) or cut_off(), 16):
        body += exactly(reader, size)
        exactly(reader, 2)
    exactly(reader, 2)
    return bytes(body)


def cut_off() -> bytes:
    raise EOFError("the body ends early")


def exactly(reader, size: int) -> bytes:
    data = reader.read(size)
    if len(data) != size:
        raise EOFError("the body ends early")
    return data


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Certificate and key of 127.0.0.1, signed by a root in `ca.pem`."""
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test root",
            "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", *new_key, "-keyout", "gateway.key", "-out", "gateway.csr", "-subj", "/CN=gateway")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl("x509", "-req", "-in", "gateway.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "gateway.pem", "-days", "2", "-extfile", "names")
    return folder / "gateway.pem", folder / "gateway.key"
