"""Huawei's SDKs, unmodified, through the proxy: every operation of three services, with hostile values.

    python sdks.py PATH-OF-APIG-PROXY

Each parameter of a path, a query, a header and a body gets the same value in turn: Unicode, blanks, `+`, `%`, `//`, none,
and a long one. The SDK signs for the proxy, with a key that the gateway does not know; the gateway verifies what the proxy
has signed, and the target, the headers and the body have to be those that the SDK has sent.
"""

import importlib
import re
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import requests
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import SdkException
from urllib3.util.url import _encode_target

from checks import Checks
from gateway import Gateway, Refused, Request
from proxy import Proxy
from run import normalized

SERVICES = {"ecs": "Ecs", "smn": "Smn", "functiongraph": "FunctionGraph"}
OPERATIONS = {"ecs": 106, "smn": 71, "functiongraph": 92}
LONG = "l" * 700
HOSTILE = ["h\u00e9llo \u4e2d\u6587 \U0001f600", "a b  c", "1+1=2&x;y", "100%", "%2F%zz%", "//a//", "", LONG, "'\"<>\\|^`{}[]#?"]
# Values of HTTP headers: the SDK can send ASCII only.
HOSTILE_HEADER = ["plain", "a b  c", "1+1=2&x;y", "100%", "%2F%zz%", "//a//", "", LONG, "'\"<>\\|^`{}[]#?"]
PROJECT = "0123456789abcdef0123456789abcdef"
DEPTH = 5


class Recorder(Gateway):
    """A gateway that keeps what it has accepted, and answers with an empty object."""

    def special(self, request: Request) -> bytes:
        self.accepted.append(request)
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

    def verify(self, request: Request) -> list[str]:
        signed = super().verify(request)
        if request.all("x-project-id") != [PROJECT] or "x-project-id" not in signed:
            raise Refused("x-project-id is not the caller's, or not signed")
        return signed


def sent_requests() -> list[requests.PreparedRequest]:
    """What the SDK hands to its HTTP library from now on."""
    sent: list[requests.PreparedRequest] = []
    send = requests.adapters.HTTPAdapter.send

    def recording(adapter, request, *arguments, **more):
        sent.append(request)
        return send(adapter, request, *arguments, **more)

    requests.adapters.HTTPAdapter.send = recording
    return sent


def value_of(kind: str, models, value: str, depth: int):
    """A value of a type of the SDK, made of texts like this one."""
    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        return [value_of(inner[1], models, value, depth)] if depth else []
    if inner := re.fullmatch(r"dict\((\w+), (.*)\)", kind):
        return {value or "key": value_of(inner[2], models, value, depth)} if depth else {}
    plain = {"str": value, "int": 7, "float": 1.5, "bool": True, "object": {"key": value}, "datetime": datetime(2026, 1, 2),
             "date": date(2026, 1, 2), "bytearray": "", "file": "", "Object": {"key": value}}
    if kind in plain:
        return plain[kind]
    return instance(getattr(models, kind), models, value, depth - 1) if depth and hasattr(models, kind) else None


def instance(model, models, value: str, depth: int = DEPTH):
    """An object of the SDK whose attributes all have values."""
    made = model()
    for name, kind in model.openapi_types.items():
        setattr(made, name, value_of(kind, models, value, depth))
    return made


def operations(client, models) -> Iterator[tuple[str, type]]:
    """The operations of a client, with the type of their request."""
    for name in dir(client):
        if operation := re.fullmatch("_(.+)_http_info", name):
            request_type = re.search(r":class:`[\w.]+\.(\w+Request)`", getattr(client, operation[1]).__doc__)
            yield operation[1], getattr(models, request_type[1])


def hostile_request(client, name: str, request_type: type, models, at: int):
    """A request with the hostile value of this number in each place; headers get one that they can hold."""
    request = instance(request_type, models, HOSTILE[at])
    info = getattr(client, f"_{name}_http_info")(request)
    in_headers = {key.lower() for key in info["header_params"]}
    for attribute, key in request.attribute_map.items():
        if key.lower() in in_headers and isinstance(getattr(request, attribute), str):
            setattr(request, attribute, HOSTILE_HEADER[at])
    return request


def difference(sent: requests.PreparedRequest, arrived: Request) -> str:
    """What did not arrive as the SDK has sent it; nothing if all did."""
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body or b""
    ours = (sent.method, normalized(_encode_target(sent.path_url)), body)
    theirs = (arrived.method, arrived.target, arrived.body)
    if ours != theirs:
        return f"{theirs} arrived of {ours}"
    replaced = {"authorization", "x-sdk-date", "content-length", "host", "connection", "x-sdk-content-sha256"}
    for name, value in sent.headers.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if name.lower() not in replaced and arrived.all(name.lower()) != [text.strip(" \t")]:
            return f"{name} is {arrived.all(name.lower())} and not {text!r}"
    more = {name for name, _ in arrived.headers} - {name.lower() for name in sent.headers} - {"x-stage", "apig-proxy-hop"}
    return f"more arrived: {more}" if more else ""


def service(checks: Checks, name: str, endpoint: str, gateway: Recorder, sent: list) -> None:
    models = importlib.import_module(f"huaweicloudsdk{name}.v2")
    builder = getattr(models, f"{SERVICES[name]}Client").new_builder()
    credentials = BasicCredentials("SDKKEY0000000000TEST", "MARKER-of-the-sdk", PROJECT)
    client = builder.with_credentials(credentials).with_endpoint(endpoint).build()
    found = list(operations(client, models))
    checks.check(len(found) == OPERATIONS[name], f"{name} has {len(found)} operations")
    for operation, request_type in found:
        for at in range(len(HOSTILE)):
            sent.clear()
            gateway.accepted.clear()
            try:
                getattr(client, operation)(hostile_request(client, operation, request_type, models, at))
                failure = ""
            except SdkException as error:
                failure = str(error)
            what = f"{name}.{operation} with {HOSTILE[at]:.20}"
            if not checks.check(not failure and len(sent) == len(gateway.accepted) == 1, f"{what}: {failure:.300}"):
                continue
            wrong = difference(sent[0], gateway.accepted[0])
            checks.check(not wrong, f"{what}: {wrong:.300}")
    print(f"{name}: {len(found)} operations", flush=True)


def main() -> int:
    checks = Checks()
    sent = sent_requests()
    with tempfile.TemporaryDirectory() as folder:
        gateway = Recorder(Path(folder))
        gateway.accepted = []
        gateway.start()
        proxy = Proxy(sys.argv[1], Path(folder), gateway, level="info", credential_keys='project_id = "caller"\n')
        try:
            for name in SERVICES:
                service(checks, name, f"http://127.0.0.1:{proxy.port}", gateway, sent)
        finally:
            checks.check(proxy.stop() == 0, "the proxy ends in good order")
        checks.check("MARKER" not in proxy.log, "a secret key was logged")
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
