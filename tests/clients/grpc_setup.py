"""The proxy in front of a gRPC server."""

import signal
import socket
import subprocess
import time
from pathlib import Path

from grpc_server import Server
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


def start_proxy(binary: str, folder: Path, server: Server) -> tuple[Process, int]:
    port = free_port()
    credentials = folder / "credentials.csv"
    credentials.touch(mode=0o600)
    credentials.write_text(f'User Name,Access Key Id,Secret Access Key\n"test",{server.access_key},{server.secret_key}\n')
    config = folder / "grpc.toml"
    config.write_text(PROXY_CONFIG.format(port=port, gateway=server.port, nowhere=free_port()))
    proxy = Process([binary, "serve", "--config", str(config), "--log-level", "debug"], folder / "proxy.log")
    proxy.wait_for_port(port)
    return proxy, port
