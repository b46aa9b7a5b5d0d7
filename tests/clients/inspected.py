"""The program with its inspector, the program's own gateway behind a middlebox that alters paths, and a client of the API."""

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway import Gateway, Request
from proxy import Proxy, free_port

PATIENCE = 30
# What the middlebox removes from the beginning of a path.
REMOVED = "/removed"
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def wait_for(holds: Callable[[], object], patience: float = PATIENCE) -> bool:
    until = time.monotonic() + patience
    while not (held := holds()) and time.monotonic() < until:
        time.sleep(0.05)
    return bool(held)


class ProgramsGateway:
    """`apig-proxy gateway`; its folder has the key for it."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.folder, self.port = folder / "gateway", free_port()
        command = [binary, "gateway", "--listen", f"127.0.0.1:{self.port}", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        # Its configuration is written last.
        if not wait_for((self.folder / "apig-proxy.toml").exists):
            self.stop()
            raise RuntimeError("the gateway does not start")
        self.access_key, self.secret_key = re.findall(r",(\w+),(\w+)$", (self.folder / "credentials.csv").read_text(), re.M)[-1]

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=40)


class Middlebox(Gateway):
    """Passes requests on to the program's gateway, some with another path, and keeps them as they came."""

    def __init__(self, folder: Path, behind: ProgramsGateway) -> None:
        super().__init__(folder, behind.access_key, behind.secret_key)
        self.behind = behind
        self.arrived: list[Request] = []

    def _answer(self, request: Request) -> bytes:
        self.arrived.append(request)
        context = ssl.create_default_context(cafile=str(self.behind.ca_file))
        connection = http.client.HTTPSConnection("127.0.0.1", self.behind.port, timeout=PATIENCE, context=context)
        try:
            connection.putrequest(request.method, request.target.removeprefix(REMOVED), skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers:
                if name.lower() != "transfer-encoding":
                    connection.putheader(name, value)
            connection.endheaders(request.body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        fields = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        fields.append(("content-length", str(len(content))))
        head = f"HTTP/1.1 {answer.status} {answer.reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
        return head.encode("latin-1") + b"\r\n" + content


class Inspected:
    """A proxy with its inspector on, and what callers and readers ask of it."""

    def __init__(self, binary: str, folder: Path, gateway: Gateway | ProgramsGateway, more: str = "", **options: object) -> None:
        self.binary, self.folder, self.gateway = binary, folder, gateway
        self.admin_port = free_port()
        self.variables = {"XDG_RUNTIME_DIR": str(folder)}
        self.token_file = folder / "apig-proxy" / f"inspect-{self.admin_port}"
        admin, inspect = f"127.0.0.1:{self.admin_port}", f"[inspect]\nenabled = true\n{more}"
        self.proxy = Proxy(binary, folder, gateway, "info", inspect, self.variables, admin=admin, **options)
        if not wait_for(self.token_file.exists):
            raise RuntimeError(self.proxy.log)
        self.token = self.token_file.read_text().strip()

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}/inspect/"

    def send(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> int:
        """A request of a caller through the proxy; its status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=PATIENCE)
        try:
            connection.request(method, target, body or None, headers or {})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def ask(self, path: str, method: str = "GET", body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """A request to the API, with the token unless there are other headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=PATIENCE)
        try:
            connection.request(method, f"/inspect/v1/{path}", body or None, {"authorization": f"Bearer {self.token}"} if headers is None else headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> dict:
        status, content = self.ask(path)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {content[:300]!r}")
        return json.loads(content)

    def ended(self) -> list[dict]:
        """The requests that have ended, the newest first."""
        return [one for one in self.json("requests?limit=500")["requests"] if one["state"] == "done"]

    def wait_for_ended(self, count: int) -> bool:
        return wait_for(lambda: len(self.ended()) >= count)

    def command(self, *arguments: str) -> subprocess.CompletedProcess:
        """`apig-proxy inspect`."""
        config = str(self.folder / "apig-proxy.toml")
        command = [self.binary, "inspect", *arguments, "--config", config]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, **self.variables})


@contextmanager
def inspected(binary: str, **options: object) -> Iterator[tuple[Inspected, Middlebox]]:
    """A proxy with its inspector, a middlebox, and the program's gateway behind it."""
    with tempfile.TemporaryDirectory() as name:
        behind = ProgramsGateway(binary, Path(name))
        try:
            gateway = Middlebox(Path(name), behind)
            gateway.start()
            proxy = Inspected(binary, Path(name), gateway, **options)
            try:
                yield proxy, gateway
            finally:
                proxy.proxy.stop()
        finally:
            behind.stop()
