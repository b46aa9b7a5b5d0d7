"""Whoever has no token reads nothing of the inspector and changes nothing: web pages in Chromium and Firefox, pages of other
local ports, callers of the proxy, other users of the machine.

    python inspector_attacks.py PATH-OF-APIG-PROXY
"""

import http.client
import secrets
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from browsers import Browser, Chromium, Firefox
from checks import Checks
from inspected import Inspected, Middlebox, inspected, wait_for
from inspector_page import InspectorPage, chromium
from pages import ATTACKS, LOCAL, PAGE, PATIENCE, SETTLING, SILENT, Pages

PAGES = ["", "a/main.js", "a/page.css"]
READ = ["state", "requests", "requests/ID", "requests/ID/body/in", "requests/ID/body/out", "requests/ID/copy/curl",
        "requests/ID/copy/python", "requests/ID/copy/raw", "feed", "har"]
ACTIONS = ["requests/ID/replay", "send", "clear", "pause", "resume"]
# What a page that leaves itself tries, one page for each.
ALONE = ["", "v1/requests", "v1/har", "v1/clear", "v1/requests/ID/replay"]
# What a page tries that has got hold of the token.
WITH_TOKEN = {
    "GET with the token": "fetch('URL', {headers: {authorization: 'Bearer TOKEN'}})",
    "POST with the token": "fetch('URL', {method: 'POST', body: '{\"confirm\": true}', headers: {authorization: 'Bearer TOKEN', 'content-type': 'application/json'}})",
}
NOBODY = "65534"


@dataclass
class Exchange:
    request: bytearray = field(default_factory=bytearray)
    answer: bytearray = field(default_factory=bytearray)

    @property
    def path(self) -> str:
        parts = self.request.split(b" ", 2)
        return parts[1].decode("latin-1") if len(parts) == 3 else ""

    @property
    def status(self) -> int:
        return int(self.answer.split(b" ", 2)[1]) if self.answer.startswith(b"HTTP/") else 0


class Relay:
    """A port before the admin listener, as that of `kubectl port-forward`, which keeps what passes."""

    def __init__(self, port: int) -> None:
        self.behind = port
        self.exchanges: list[Exchange] = []
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            stream, _ = self.socket.accept()
            other = socket.create_connection(("127.0.0.1", self.behind))
            exchange = Exchange()
            self.exchanges.append(exchange)
            for source, target, kept in ((stream, other, exchange.request), (other, stream, exchange.answer)):
                threading.Thread(target=self._pass, args=(source, target, kept), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
        try:
            while piece := source.recv(1 << 16):
                kept += piece
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def paths(self) -> set[str]:
        return {exchange.path for exchange in self.exchanges} - {""}


@dataclass
class Victim:
    """A proxy that has kept one request, with a marker that nobody else may read."""

    proxy: Inspected
    gateway: Middlebox
    relay: Relay
    marker: str
    id: str = ""

    def keep_one(self) -> None:
        self.proxy.send("POST", f"/v1/{self.marker}", b'{"a": 1}', {"content-type": "application/json"})
        self.proxy.wait_for_ended(1)
        self.id = self.proxy.ended()[0]["id"]

    def paths(self, names: list[str], prefix: str = "/inspect/v1/") -> list[str]:
        return [prefix + name.replace("ID", self.id) for name in names]

    def is_untouched(self, checks: Checks, what: str) -> None:
        """Nothing was read, sent again, cleared or stopped, and no longer is meanwhile."""
        leaked = [exchange.path for exchange in self.relay.exchanges if self.marker.encode() in exchange.answer]
        let_in = {(exchange.path, exchange.status) for exchange in self.relay.exchanges if exchange.status and exchange.status < 400}
        checks.check(not leaked, f"{what}: the marker was in the answers to {leaked}")
        # The page itself holds nothing, and a person who types an address may see it.
        allowed = what.endswith(("302", "307")) and all("/v1" not in path for path, _ in let_in)
        checks.check(not let_in or allowed, f"{what}: let in {let_in}")
        state = self.proxy.json("state")
        checks.check(state["is_recording"] and [one["id"] for one in self.proxy.ended()] == [self.id], f"{what}: stopped, or cleared")
        checks.check(len(self.gateway.arrived) == 1, f"{what}: something was sent to the gateway")


def show(browser: Browser, pages: Pages, victim: Victim, attack: str, script: str, paths: list[str]) -> None:
    """Has the browser show a page that tries all paths."""
    port = victim.relay.port
    pages.redirect = f"http://localhost:{port}{paths[0]}"

    def one(path: str) -> str:
        filled = script.replace("URL", f"http://localhost:{port}{path}").replace("PORT", str(port)).replace("PATH", path)
        return f"try {{ {filled.replace('TOKEN', victim.proxy.token)} }} catch {{}}"

    pages.page = PAGE.replace("SCRIPT", "; ".join(map(one, paths)))
    name = "localhost" if attack in LOCAL else "evil.test"
    browser.open(f"http://{name}:{pages.port}/{script if script.isdigit() else 'page'}")


def web_pages(checks: Checks, browser: Browser, pages: Pages, victim: Victim) -> None:
    everything = victim.paths(PAGES, "/inspect/") + victim.paths(READ + ACTIONS)
    for attack, script in {**ATTACKS, **WITH_TOKEN}.items():
        leaves = script.isdigit() or "location" in script or "window.open" in script or "serviceWorker" in script
        rounds = [[path] for path in victim.paths(ALONE, "/inspect/")] if leaves else [everything]
        silent, what = attack in SILENT[browser.name], f"{browser.name}: {attack}"
        count = 0
        for paths in rounds:
            victim.relay.exchanges.clear()
            show(browser, pages, victim, attack, script, paths)
            sent = wait_for(lambda: set(paths) <= victim.relay.paths(), 0.5 if silent else PATIENCE)
            time.sleep(SETTLING)
            count += len(victim.relay.paths())
            victim.is_untouched(checks, what + (f" {script}" if script.isdigit() else ""))
            if not leaves:
                checks.check(sent or silent or victim.relay.paths(), f"{what}: the browser sent nothing that could have been refused")
        print(f"{what}: {count} paths asked for", flush=True)


def another_local_port(checks: Checks, pages: Pages, victim: Victim) -> None:
    """While the page is open with its token, a page of another port of the same host shares nothing with it."""
    pages.page = "<!doctype html><title>other</title>"
    with chromium() as browser:
        shown = InspectorPage(browser, victim.proxy)
        shown.rows(1)
        other = shown.context.new_page()
        other.goto(f"http://127.0.0.1:{pages.port}/page")
        stored = other.evaluate("[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]")
        checks.check(stored == ["{}", "{}", ""], f"another port sees {stored}")
        read = """async ([url, token]) => { try {
            return await (await fetch(url, {headers: token ? {authorization: `Bearer ${token}`} : {}})).text();
          } catch (error) { return null; } }"""
        for path in victim.paths(PAGES, "/inspect/") + victim.paths(READ):
            for token in ("", victim.proxy.token):
                got = other.evaluate(read, [f"http://127.0.0.1:{victim.proxy.admin_port}{path}", token])
                checks.check(got is None, f"another port reads {path}: {got!r}")
        checks.check(shown.page.context.cookies() == [], "the page sets no cookie")
        shown.is_silent(checks, "the page beside another port")


def without_a_token(checks: Checks, victim: Victim) -> None:
    proxy = victim.proxy
    wrong = [{}, {"authorization": "Bearer"}, {"authorization": f"Basic {proxy.token}"}, {"cookie": f"token={proxy.token}"},
             {"authorization": f"Bearer {proxy.token[:-1]}"}, {"x-apig-proxy-token": proxy.token}]
    for method, names in (("GET", READ), ("HEAD", READ), ("POST", ACTIONS)):
        for path in victim.paths(names, ""):
            for headers in wrong:
                for query in ("", f"?token={proxy.token}&t={proxy.token}"):
                    status, content = proxy.ask(path + query, method, b"{}" if method == "POST" else b"", headers)
                    refused = status in (401, 429) and victim.marker.encode() not in content
                    checks.check(refused, f"{method} {path} with {list(headers)}: {status} {content[:100]!r}")
    victim.is_untouched(checks, "without a token")


def through_the_proxy(checks: Checks, victim: Victim) -> None:
    """The port of the callers is no way in: what it gets goes to the gateway, or nowhere."""
    proxy, authorization = victim.proxy, f"Bearer {victim.proxy.token}"
    admin = f"127.0.0.1:{proxy.admin_port}"
    for target in victim.paths(READ):
        before = len(victim.gateway.arrived)
        for name, value in {"x-own": "1", "host": admin}.items():
            for shown in (target, f"http://{admin}{target}"):
                connection = http.client.HTTPConnection("127.0.0.1", proxy.proxy.port, timeout=30)
                connection.request("GET", shown, headers={"authorization": authorization, name: value})
                answer = connection.getresponse()
                # What the gateway says, or the proxy's refusal, names the path at most.
                content = answer.read()
                checks.check(b'"requests":' not in content and b"requests_limit" not in content, f"{shown} by {name}: {content[:200]!r}")
                connection.close()
        checks.check(len(victim.gateway.arrived) > before, f"{target} goes to the gateway")
    config = Path(proxy.folder / "apig-proxy.toml").read_text()
    for upstream in (f"http://{admin}", f"http://localhost:{proxy.admin_port}/inspect"):
        own = proxy.folder / "own.toml"
        own.write_text(config.replace(f"https://127.0.0.1:{victim.gateway.port}", upstream, 1))
        route = proxy.folder / "route.toml"
        route.write_text(config + f'\n[[route]]\npath = "/x"\nupstream = "{upstream}"\n')
        for file in (own, route):
            ended = subprocess.run([proxy.binary, "serve", "--config", str(file)], capture_output=True, text=True, timeout=30)
            checks.check(ended.returncode != 0 and "requests would loop" in ended.stderr, f"{upstream} in {file.name}: {ended.returncode} {ended.stderr}")


def other_users(checks: Checks, victim: Victim) -> None:
    proxy, file = victim.proxy, victim.proxy.token_file
    # Only the folder and the file of the proxy protect it.
    proxy.folder.chmod(0o755)
    as_nobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
    for command in (["cat", str(file)], ["ls", str(file.parent)], ["cat", f"/proc/{proxy.proxy.process.pid}/environ"]):
        ended = subprocess.run([*as_nobody, *command], capture_output=True, text=True, timeout=30)
        checks.check(ended.returncode != 0 and proxy.token not in ended.stdout, f"another user: {command}: {ended.stdout!r}")
    checks.check(file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700, "file and folder are private")
    for place in ("cmdline", "environ"):
        content = Path(f"/proc/{proxy.proxy.process.pid}/{place}").read_bytes()
        checks.check(proxy.token.encode() not in content, f"the token is in {place}")
    checks.check(proxy.token not in proxy.proxy.log, "the token is in the log")


def main() -> int:
    checks, pages = Checks(), Pages()
    with inspected(sys.argv[1], more='[access]\nhosts = ["proxy.test"]\n') as (proxy, gateway):
        victim = Victim(proxy, gateway, Relay(proxy.admin_port), f"marker-{secrets.token_hex(8)}")
        victim.keep_one()
        another_local_port(checks, pages, victim)
        for kind in (Chromium, Firefox):
            browser = kind()
            try:
                web_pages(checks, browser, pages, victim)
            finally:
                browser.close()
        without_a_token(checks, victim)
        other_users(checks, victim)
        through_the_proxy(checks, victim)
        proxy.proxy.stop()
        checks.check(not proxy.token_file.exists(), "the file with the token is removed at the end")
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
