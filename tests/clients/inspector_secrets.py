"""No secret of the proxy, of a caller or of an answer comes out of the inspector, and no text of a request is more than text.

    python inspector_secrets.py PATH-OF-APIG-PROXY
"""

import base64
import http.client
import json
import re
import secrets
import socket
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from checks import Checks
from gateway import Request
from inspected import PATIENCE, Inspected, Middlebox, ProgramsGateway, wait_for
from inspector_page import TABS, InspectorPage, chromium

MODES = {"aksk": "", "token": "iam", "app-code": "code", "api-key": "key", "temporary": "temporary"}
HOSTILE = {
    "HTML": "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>",
    "JS": "'\"`;window.hacked=1;//${window.hacked=1}",
    "ANSI": "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "bidi": "\u202egnp.exe\u2066\u200b\ufeff",
}
# What a terminal or a browser would act on, instead of showing it.
ACTIVE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
CONFIG = """
[access]
token_file = "{folder}/caller-token"
[credentials.iam]
source = "file"
file = "{gateway}/credentials.csv"
iam_endpoint = "{iam}"
iam_user_file = "{gateway}/iam_user"
iam_password_file = "{gateway}/iam_password"
iam_domain_file = "{gateway}/iam_domain"
[credentials.code]
app_code_file = "{gateway}/app_code"
[credentials.key]
api_key_file = "{gateway}/api_key"
[credentials.temporary]
source = "file"
file = "{folder}/temporary"
"""


class Canaries:
    """Secrets, each of them with the place where it was used."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def new(self, place: str) -> str:
        value = "MARKER" + secrets.token_hex(12)
        self.places[value] = place
        return value

    def found_in(self, content: bytes) -> list[str]:
        return [place for value, place in self.places.items() if any(form in content for form in forms(value))]


def forms(value: str) -> list[bytes]:
    """A text as it is, and as parts of Base64 and of hexadecimal digits."""
    raw = value.encode()
    encoded = [base64.b64encode(b"\0" * by + raw)[4 if by else 0:-4] for by in range(3)]
    return [raw, raw.hex().encode(), *encoded]


class Answers(Middlebox):
    """Answers below `/answers/` and `/hostile/` by itself."""

    canaries: Canaries

    def _answer(self, request: Request) -> bytes:
        kind = request.target.partition("?")[0].rsplit("/", 1)[-1]
        if "/answers/" in request.target:
            self.arrived.append(request)
            return self.answers(kind)
        if "/hostile/" in request.target:
            return self.hostile(kind)
        return super()._answer(request)

    def answers(self, kind: str) -> bytes:
        new = self.canaries.new
        content = {
            "json": ("application/json", json.dumps({"access_token": new("answer, JSON"), "list": [{"client_secret": new("answer, nested JSON")}]})),
            "form": ("application/x-www-form-urlencoded", f"a=1&refresh_token={new('answer, form')}"),
            "events": ("text/event-stream", f'event: x\ndata: {{"password": "{new("answer, event")}"}}\n\n'),
        }
        content_type, text = content[kind]
        fields = {"content-type": content_type, "content-length": str(len(text)), "x-session-id": new("answer, header"),
                  "set-cookie": f"sid={new('answer, cookie')}; Path=/; HttpOnly", "x-my-token": new("answer, header of the name token"),
                  "location": f"https://login.example/?code=1&id_token={new('answer, Location')}"}
        return f"HTTP/1.1 200 OK\r\n{''.join(f'{name}: {value}{chr(13)}{chr(10)}' for name, value in fields.items())}\r\n{text}".encode()

    @staticmethod
    def hostile(kind: str) -> bytes:
        text = HOSTILE[kind]
        in_head = re.sub("[\x00-\x1f\x7f]", "", text)
        body = json.dumps({"error_code": f"APIG.0301{text}", "error_msg": f"canonicalRequest:GET|/{text}|", "request_id": text, "x": text}, ensure_ascii=False)
        if kind == "ANSI":
            body = text
        elif kind == "bidi":
            body = f"event: {text}\ndata: {text}\n\n"
        content_type = "text/event-stream" if kind == "bidi" else "text/html"
        head = f"HTTP/1.1 401 {in_head}\r\ncontent-type: {content_type}\r\nx-request-id: {in_head}\r\nx-hostile: {in_head}\r\n" \
               f"content-length: {len(body.encode())}\r\n\r\n"
        return head.encode() + body.encode()


def prepare(binary: str, folder: Path, behind: ProgramsGateway, gateway: Answers, canaries: Canaries) -> Inspected:
    """The proxy with a route for each kind of credential, all of whose secrets are canaries."""
    named = {"caller-token": canaries.new("caller token"), "temporary": ""}
    temporary = {"sk": canaries.new("temporary secret key"), "security_token": canaries.new("security token")}
    named["temporary"] = f"[basic]\nak = {behind.access_key}\nsk = {temporary['sk']}\nsecurity_token = {temporary['security_token']}\n"
    for name, content in named.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(content)
    canaries.places[behind.secret_key] = "secret key"
    for name in ("app_code", "api_key", "iam_password"):
        canaries.places[(behind.folder / name).read_text().strip()] = name
    iam = re.search(r'^iam_endpoint = "(.*)"$', (behind.folder / "apig-proxy.toml").read_text(), re.M)[1]
    more = CONFIG.format(folder=folder, gateway=behind.folder, iam=iam)
    for mode, credentials in MODES.items():
        auth = "aksk" if mode == "temporary" else mode
        more += f'[[route]]\npath = "/{mode}"\nupstream = "https://127.0.0.1:{gateway.port}/v1"\nauth = "{auth}"\n'
        more += f'credentials = "{credentials}"\n' if credentials else ""
    proxy = Inspected(binary, folder, gateway, more)
    proxy.caller_token = named["caller-token"]
    return proxy


def send_secrets(proxy: Inspected, gateway: Answers, canaries: Canaries) -> int:
    """Requests with secrets in every place, to every route; their number."""
    new, count = canaries.new, 0
    for mode in MODES:
        fields = {"x-apig-proxy-token": proxy.caller_token, "cookie": f"sid={new('cookie')}; other={new('second cookie')}",
                  "apikey": new("apikey"), "x-auth-token": new("x-auth-token"), "x-my-secret": new("x-my-secret"), "x-session": new("x-session"),
                  "proxy-authorization": f"Basic {new('proxy-authorization')}", "x-security-token": new("x-security-token"),
                  "x-api-key": new("x-api-key"), "x-signature": new("x-signature"), "x-apig-appcode": new("x-apig-appcode")}
        query = f"?a=b&password={new('query')}&api_key={new('query, api_key')}&X-Access-Token={new('query, X-Access-Token')}"
        bodies = {
            "application/json": json.dumps({"user": {"password": new("JSON"), "clientSecret": [new("JSON, list")]}, "a": 1, "own": proxy.caller_token}),
            "application/x-www-form-urlencoded": f"a=1&password={new('form')}&client%5Fsecret={new('form, escaped name')}",
            # Exact secrets of the proxy are hidden in any body.
            "application/octet-stream": b"\xff\xfe" + gateway.behind.secret_key.encode() if mode == "aksk" else b"\xff",
        }
        for content_type, body in bodies.items():
            content = body if isinstance(body, bytes) else body.encode()
            proxy.send("POST", f"/{mode}/x{query}", content, {**fields, "content-type": content_type, "authorization": f"Bearer {new('authorization')}"})
            count += 1
        for kind in ("json", "form", "events"):
            proxy.send("GET", f"/{mode}/answers/{kind}", headers={"x-apig-proxy-token": proxy.caller_token})
            count += 1
    for request in gateway.arrived:
        for name in ("x-auth-token", "x-apig-appcode", "x-security-token"):
            for value in request.all(name):
                canaries.places.setdefault(value, f"sent {name}")
        for signature in re.findall(r"Signature=(\w+)", " ".join(request.all("authorization"))):
            canaries.places[signature] = "signature"
    return count


def send_hostile(proxy: Inspected) -> int:
    """Requests with hostile texts wherever HTTP allows them; their number."""
    for kind, text in HOSTILE.items():
        in_head = re.sub("[\x00-\x1f\x7f]", "", text)
        body = json.dumps({"text": text, text: 1}, ensure_ascii=False).encode()
        head = f"POST /aksk/hostile/{kind}?q=%1b%5B31m%E2%80%AE&x='();window.hacked=1 HTTP/1.1\r\nhost: localhost\r\nx-apig-proxy-token: {proxy.caller_token}\r\n" \
               f"x-hostile: {in_head}\r\nuser-agent: {in_head}\r\ncontent-type: application/json; x={in_head}\r\ncontent-length: {len(body)}\r\n" \
               "connection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", proxy.proxy.port), timeout=PATIENCE) as stream:
            stream.sendall(head.encode() + body)
            answer = stream.makefile("rb").read()
        if b" 401 " not in answer.partition(b"\r\n")[0]:
            raise RuntimeError(f"{kind}: {answer[-300:]!r}")
    return len(HOSTILE)


def feed(proxy: Inspected) -> bytes:
    """What the feed begins with."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.admin_port, timeout=PATIENCE)
    connection.request("GET", "/inspect/v1/feed?after=0", headers={"authorization": f"Bearer {proxy.token}"})
    answer, content = connection.getresponse(), b""
    while b"event: ended" not in content:
        content += answer.read1(1 << 20)
    connection.close()
    return content


def outputs(proxy: Inspected) -> dict[str, bytes]:
    """All that the inspector tells in its API, in a terminal, and in the log."""
    told = {path: proxy.ask(path)[1] for path in ("state", "requests", "har")}
    told |= {"feed": feed(proxy), "log": proxy.proxy.log_file.read_bytes()}
    for one in proxy.ended():
        for part in ("", "/body/in", "/body/out", "/copy/curl", "/copy/python", "/copy/raw"):
            told[f"{one['number']} {one['path']} {part}"] = proxy.ask(f"requests/{one['id']}{part}")[1]
    commands = [["--once"], ["--once", "--json"], ["--har", "-"], *([one["id"]] for one in proxy.ended())]
    for arguments in commands:
        ended = proxy.command(*arguments)
        told[f"apig-proxy inspect {arguments}"] = (ended.stdout + ended.stderr).encode()
        if ended.returncode:
            raise RuntimeError(f"{arguments}: {ended.stderr}")
    return told


def shown(proxy: Inspected, browser: Browser, checks: Checks) -> dict[str, bytes]:
    """All that the page shows, as text and in the tree of its elements."""
    told, opened = {}, InspectorPage(browser, proxy)
    page, requests = opened.page, proxy.ended()
    opened.rows(len(requests))
    told["page, list"] = (page.inner_text("body") + page.content()).encode()
    for one in requests:
        opened.open(one["id"])
        opened.text_has("#detail-title", one["path"])
        for tab in TABS:
            text = opened.tab(tab)
            told[f"page, {tab} of {one['number']} {one['path']}"] = (text + page.content()).encode()
            if "/hostile/" in one["path"]:
                checks.check(not ACTIVE.search(page.inner_text("body")), f"page, {tab} of {one['path']}: {ACTIVE.findall(page.inner_text('body'))}")
    checks.check(page.evaluate("window.hacked === undefined && !document.querySelector('#app img, #app script, #app iframe')"), "a text became an element")
    opened.is_silent(checks, "the page with hostile texts")
    opened.close()
    return told


def hostile_texts(checks: Checks, told: dict[str, bytes]) -> None:
    """In a terminal, in commands to copy and in the log there are no active characters; the page shows HTML as text."""
    for what, content in told.items():
        if what.startswith("apig-proxy inspect") and "--har" not in what or what.endswith(("/copy/curl", "/copy/python")) or what == "log":
            found = ACTIVE.findall(content.decode(errors="replace"))
            checks.check(not found, f"{what}: {found[:5]}")
    everything = b"".join(content for what, content in told.items() if what.startswith("page, answer of ") and "/hostile/" in what)
    for expected in (b"onerror=window.hacked=1", rb"\u{202e}", rb"\u{1b}"):
        checks.check(expected in everything, f"the page does not show {expected!r}")


def main() -> int:
    checks, canaries = Checks(), Canaries()
    with tempfile.TemporaryDirectory() as name:
        behind = ProgramsGateway(sys.argv[1], Path(name))
        try:
            gateway = Answers(Path(name), behind)
            gateway.canaries = canaries
            gateway.start()
            proxy = prepare(sys.argv[1], Path(name), behind, gateway, canaries)
            try:
                count = send_secrets(proxy, gateway, canaries) + send_hostile(proxy)
                checks.check(wait_for(lambda: len(proxy.ended()) == count), f"{len(proxy.ended())} of {count} requests are kept")
                with chromium() as browser:
                    told = outputs(proxy) | shown(proxy, browser, checks)
            finally:
                proxy.proxy.stop()
        finally:
            behind.stop()
    used = {mode: sum(one.target.startswith("/v1/") for one in gateway.arrived) for mode in MODES}
    checks.check(all(used.values()), f"{used}")
    for what, content in told.items():
        found = canaries.found_in(content)
        checks.check(not found, f"{what} has: {found}")
    hostile_texts(checks, told)
    print(f"{len(canaries.places)} secrets, {len(told)} answers, pages and outputs of {sum(map(len, told.values())) >> 10} KiB")
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
