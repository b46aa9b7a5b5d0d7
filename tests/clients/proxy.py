"""The proxy under test: a process of its own, with a configuration and a log in a folder."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from gateway import Gateway

CONFIG = """
listen = {listen}
admin = "{admin}"
upstream = "https://127.0.0.1:{gateway.port}"
methods = ["*"]
[credentials]
source = "file"
file = "credentials.csv"
{credential_keys}[upstream_tls]
ca_file = "{gateway.ca_file}"
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Proxy:
    def __init__(self, binary: str, folder: Path, gateway: Gateway, level: str = "trace", more: str = "",
                 variables: dict[str, str] | None = None, with_tls: bool = False,
                 credential_keys: str = "", admin: str = "off") -> None:
        self.port = free_port()
        listen = [f"127.0.0.1:{self.port}"]
        if with_tls:
            self.tls_port = free_port()
            listen.append(f"https://127.0.0.1:{self.tls_port}")
            more += f'[tls]\ncert_file = "{gateway.certificate[0]}"\nkey_file = "{gateway.certificate[1]}"\n'
        credentials = folder / "credentials.csv"
        credentials.touch(mode=0o600)
        credentials.write_text(f'User Name,Access Key Id,Secret Access Key\n"test",{gateway.access_key},{gateway.secret_key}\n')
        config = folder / "apig-proxy.toml"
        config.write_text(CONFIG.format(listen=json.dumps(listen), gateway=gateway, credential_keys=credential_keys, admin=admin) + more)
        self.log_file = folder / "log"
        with self.log_file.open("wb") as log:
            command = [binary, "serve", "--config", str(config), "--log-level", level]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(variables or {})})
        self._wait_until_it_listens()

    def _wait_until_it_listens(self) -> None:
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        self.process.kill()
        raise RuntimeError(self.log)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def command_line(self) -> str:
        return Path(f"/proc/{self.process.pid}/cmdline").read_text()

    def memory(self, which: str) -> float:
        """Resident memory in MiB: `VmRSS` now, `VmHWM` at its peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{which}:\s+(\d+) kB", status)[1]) / 1024

    def stop(self) -> int:
        """Ends it in good order; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return -1
