"""The proxies that are compared: how each is configured and started."""

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import envoy, wire
from .processes import Process
from .upstream import Upstream

CONFIGURATIONS = Path(__file__).parents[1] / "configurations"
# Access to the upstream without a proxy.
DIRECT = "direct"
OURS = "apig-proxy"
ENVOYS = {"envoy": "no", "envoy-signing": "hashed", "envoy-unsigned-payload": "unsigned"}
PACKAGES = {"nginx": "nginx", "haproxy": "haproxy", **dict.fromkeys(ENVOYS, "envoy")}


@dataclass
class Place:
    """Folders and upstreams of a run."""

    work: Path
    folder: Path
    http1: Upstream
    http2: Upstream

    def write(self, template: str, name: str, **values: object) -> Path:
        """Writes a configuration, with the values in place of the names between @."""
        values |= {"WORK": self.folder, "CERTIFICATES": self.work / "certificates"}
        text = (CONFIGURATIONS / template).read_text()
        path = self.folder / name
        path.write_text(re.sub(r"@([A-Z0-9_]+)@", lambda match: str(values[match[1]]), text))
        return path


@dataclass
class Proxy:
    """A program to compare; without a command, it is the upstream itself."""

    name: str
    upstream: Upstream
    port: int
    # That of prior knowledge, if it is another.
    http2_port: int
    command: list[str] = field(default_factory=list)
    process: Process | None = None

    @property
    def is_direct(self) -> bool:
        return not self.command

    def spawn(self, place: Place, cpu: int | None = None) -> Process:
        """Starts the program; the caller waits until it serves."""
        self.process = Process(self.command, place.folder / f"{self.name}.log", cpu)
        return self.process

    def start(self, place: Place, cpu: int | None = None) -> None:
        if self.is_direct:
            return
        self.spawn(place, cpu)
        if not wire.wait_until_served(self.port):
            self.stop()
            raise SystemExit(f"{self.name} did not start; see {place.folder}/{self.name}.log")

    def stop(self) -> None:
        if self.process:
            self.process.stop()
            self.process = None

    def serves_http2(self) -> bool:
        return self.is_direct or wire.serves_http2(self.http2_port)


def configure(place: Place, name: str, binaries: dict[str, str], http2: str) -> Proxy:
    """Writes the configuration of a proxy. `binaries` are those of apig-proxy, by the names that they have here."""
    if name == DIRECT:
        # This one speaks both, as the client asks for.
        return Proxy(name, place.http2, place.http2.port, place.http2.port)
    if name in binaries:
        return apig_proxy(place, name, binaries[name], http2)
    peers: dict[str, Callable[[Place], Proxy]] = {"nginx": nginx, "haproxy": haproxy}
    peers |= {name: lambda place, name=name: envoy_proxy(place, name) for name in ENVOYS}
    return peers[name](place)


def apig_proxy(place: Place, name: str, binary: str, http2: str) -> Proxy:
    port = wire.free_port()
    # A key that opens nothing, made for this run.
    credentials = place.folder / "credentials.csv"
    if not credentials.exists():
        credentials.touch(mode=0o600)
        key = f"BENCH{secrets.token_hex(8)},{secrets.token_hex(20)}"
        credentials.write_text(f"User Name,Access Key Id,Secret Access Key\nbench,{key}\n")
    config = place.write("apig-proxy.toml", f"{name}.toml", PORT=port, UPSTREAM=place.http2.port, HTTP2=http2)
    return Proxy(name, place.http2, port, port, [binary, "serve", "--config", str(config)])


def nginx(place: Place) -> Proxy:
    port, http2_port = wire.free_port(), wire.free_port()
    config = place.write("nginx.conf", "nginx.conf", PORT=port, HTTP2_PORT=http2_port, UPSTREAM=place.http1.port)
    return Proxy("nginx", place.http1, port, http2_port, ["nginx", "-c", str(config)])


def haproxy(place: Place) -> Proxy:
    port = wire.free_port()
    config = place.write("haproxy.cfg", "haproxy.cfg", PORT=port, UPSTREAM=place.http1.port)
    return Proxy("haproxy", place.http1, port, port, ["haproxy", "-db", "-f", str(config)])


def envoy_proxy(place: Place, name: str) -> Proxy:
    ports = {"HTTP1": wire.free_port(), "HTTP2": wire.free_port()}
    ca_file = str(place.work / "certificates/ca.pem")
    config = place.folder / f"{name}.json"
    config.write_text(json.dumps(envoy.configuration(ports, place.http1.port, ca_file, ENVOYS[name]), indent=1))
    command = [str(place.work / "envoy"), "-c", str(config), "--concurrency", "2", "-l", "error", "--disable-hot-restart"]
    return Proxy(name, place.http1, ports["HTTP1"], ports["HTTP2"], command)
