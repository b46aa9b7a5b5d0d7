"""The embedded gateway in front of a gRPC server, the proxy in front of that, and what signs calls to the gateway alone."""

import hashlib
import hmac
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from grpc_server import Metadata
from proxy import free_port

# Shorter than the pause of the quiet stream: a stream is not slow because it has nothing to say.
PROXY_CONFIG = """
admin = "off"
listen = "127.0.0.1:{port}"
[credentials]
source = "file"
file = "credentials.csv"
[upstream_tls]
ca_file = "ca.pem"
[timeouts]
body_idle = "1s"
[[route]]
path = "/test.Echo"
upstream = "https://127.0.0.1:{gateway}/test.Echo"
[[route]]
path = "/test.Unpublished"
upstream = "https://127.0.0.1:{gateway}/test.Unpublished"
stage = "TEST"
[[route]]
path = "/test.Nowhere"
upstream = "https://127.0.0.1:{nowhere}/test.Nowhere"
[[route]]
path = "/test.Narrow"
upstream = "https://127.0.0.1:{gateway}/test.Echo"
paths = ["/test.Narrow/Unary"]
"""

# What signs a call to this method; nothing if the proxy does.
Signing = Callable[[str], Metadata]


class Process:
    """A command of the program, until it is stopped."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(arguments, stdout=output, stderr=output)

    def wait_for_port(self, port: int) -> None:
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        self.process.kill()
        raise RuntimeError(self.log.read_text())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return -1


def signing_for(folder: Path, port: int) -> Signing:
    """Signs as the proxy does, for the gateway alone."""
    _, access_key, secret_key = (folder / "credentials.csv").read_text().splitlines()[1].split(",")

    def sign(method: str) -> Metadata:
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {"host": f"127.0.0.1:{port}", "x-sdk-content-sha256": "UNSIGNED-PAYLOAD", "x-sdk-date": date, "x-stage": "RELEASE"}
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        names = ";".join(headers)
        canonical = f"POST\n{method}/\n\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        to_sign = f"SDK-HMAC-SHA256\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(secret_key.strip().encode(), to_sign.encode(), hashlib.sha256).hexdigest()
        authorization = f"SDK-HMAC-SHA256 Access={access_key}, SignedHeaders={names}, Signature={signature}"
        del headers["host"]
        return [*headers.items(), ("authorization", authorization)]

    return sign


def start_gateway(binary: str, folder: Path, backend: int) -> tuple[Process, int]:
    port = free_port()
    gateway = Process([binary, "gateway", "--listen", f"127.0.0.1:{port}", "--dir", str(folder), "--backend", f"http://127.0.0.1:{backend}"],
                      folder.parent / "gateway.log")
    gateway.wait_for_port(port)
    # Written last of all.
    for _ in range(500):
        if (folder / "apig-proxy.toml").exists():
            break
        time.sleep(0.02)
    return gateway, port


def start_proxy(binary: str, folder: Path, gateway: int) -> tuple[Process, int]:
    port = free_port()
    config = folder / "grpc.toml"
    config.write_text(PROXY_CONFIG.format(port=port, gateway=gateway, nowhere=free_port()))
    proxy = Process([binary, "serve", "--config", str(config), "--log-level", "debug"], folder.parent / "proxy.log")
    proxy.wait_for_port(port)
    return proxy, port
