"""The upstream behind all proxies: one process with HTTP/1.1 only, and one that offers HTTP/2 too."""

import json
import ssl
from pathlib import Path

from . import wire
from .processes import Process


class Upstream(Process):
    def __init__(self, work: Path, logs: Path, alpn: str, threads: int, cpu: int | None) -> None:
        certificates = work / "certificates"
        self.port = wire.free_port()
        self.tls = ssl.create_default_context(cafile=certificates / "ca.pem")
        program = work / "upstream/release/bench-upstream"
        command = [str(program), f"--address=127.0.0.1:{self.port}", f"--certificates={certificates}", f"--alpn={alpn}", f"--threads={threads}"]
        super().__init__(command, logs / f"upstream-{alpn}.log", cpu)
        if not wire.wait_until_served(self.port, self.tls):
            self.stop()
            raise SystemExit(f"the upstream did not start; see {logs}/upstream-{alpn}.log")

    def statistics(self) -> dict[str, int]:
        """What has arrived so far. This is a request and a connection too."""
        return json.loads(wire.request(self.port, b"GET /__stats HTTP/1.1\r\nHost: localhost\r\n\r\n", self.tls)[1])
