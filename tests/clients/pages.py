"""Web pages in real browsers (Chromium and Firefox) that try to use the proxy: nothing of theirs may reach the gateway.
With `access.browser = true`, a web UI that is served through the proxy works.

    python pages.py PATH-OF-APIG-PROXY
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from browsers import Browser, Chromium, Firefox
from checks import Checks
from gateway import Gateway, Request
from proxy import Proxy

# How long a case may take to send what is to be refused, and how long something more is waited for after that.
PATIENCE = 4
SETTLING = 0.3

# What each page does. URL is the address of the proxy by the name of localhost, PORT its port, PATH the path of the case.
ATTACKS = {
    "GET without CORS": "fetch('URL', {mode: 'no-cors'})",
    "simple POST": "fetch('http://127.0.0.1:PORTPATH', {method: 'POST', mode: 'no-cors', body: 'a=1', headers: {'content-type': 'text/plain'}})",
    "form": "frame('<form method=post enctype=multipart/form-data action=URL><input name=a value=1></form>' + SUBMIT)",
    "JSON with preflight": "fetch('URL', {method: 'POST', body: '{}', headers: {'content-type': 'application/json'}})",
    "WebSocket": "new WebSocket('ws://localhost:PORTPATH')",
    "EventSource": "new EventSource('URL')",
    "sandboxed frame": "frame('<script>fetch(\"URL\", {method: \"POST\", body: \"{}\"})</scr' + 'ipt>', 'allow-scripts')",
    "frame": "const inner = document.createElement('iframe'); inner.src = 'URL'; document.body.append(inner)",
    "navigation": "location = 'URL'",
    "window": "window.open('URL')",
    "image": "new Image().src = 'URL'",
    "another port of localhost": "fetch('URL', {method: 'POST', mode: 'no-cors', body: '{}'})",
    "another port of localhost, navigation": "location = 'URL'",
    "service worker": "navigator.serviceWorker.register('/worker.js?URL')",
    "rebound name": "location = 'http://rebound.test:PORTPATH'",
    "rebound name, POST": "frame('<form method=post action=http://rebound.test:PORTPATH><input name=a value=1></form>' + SUBMIT)",
    "0.0.0.0": "frame('<script>location = \"http://0.0.0.0:PORTPATH\"</scr' + 'ipt>'); fetch('http://0.0.0.0:PORTPATH', {mode: 'no-cors'})",
    "image by a plain-HTTP name": "new Image().src = 'http://proxy.test:PORTPATH'",
    "form by a plain-HTTP name": "frame('<form action=http://proxy.test:PORTPATH><input name=a value=1></form>' + SUBMIT)",
    "POST by a plain-HTTP name": "frame('<form method=post action=http://proxy.test:PORTPATH><input name=a value=1></form>' + SUBMIT)",
    "navigation by a plain-HTTP name": "location = 'http://proxy.test:PORTPATH'",
    "speculation rules, prefetch": "rules('prefetch', {urls: ['URL'], eagerness: 'immediate'})",
    "speculation rules, prerender": "rules('prerender', {urls: ['URL'], eagerness: 'immediate'})",
    "speculation rules, the page that was prefetched": "rules('prefetch', {urls: ['URL'], eagerness: 'immediate'}); setTimeout(() => location = 'URL', 800)",
    "document rules": "link('a', 'URL'); rules('prefetch', {source: 'document', where: {href_matches: 'http://localhost:*/*'}, eagerness: 'immediate'})",
    "link prefetch": "link('link', 'URL', 'prefetch')",
    "link prefetch of a document": "link('link', 'URL', 'prefetch', 'document')",
    "link prerender": "link('link', 'URL', 'prerender')",
    "link preload": "link('link', 'URL', 'preload', 'image')",
    "link preconnect": "link('link', 'URL', 'preconnect')",
    "link dns-prefetch": "link('link', 'URL', 'dns-prefetch')",
    "typed link, redirected with 302": "302",
    "typed link, redirected with 307": "307",
}
LOCAL = {"another port of localhost", "another port of localhost, navigation", "service worker"}
# What a browser sends no request for. A later version may.
SILENT = {
    "Chromium": {"link preconnect", "link dns-prefetch", "link prerender"},
    "Firefox": {"link preconnect", "link dns-prefetch", "link prerender", "0.0.0.0", "document rules", "speculation rules, prefetch",
                "speculation rules, prerender"},
}

PAGE = """<!doctype html><meta charset=utf-8><link rel=icon href="data:,"><body><script>
const SUBMIT = '<script>document.forms[0].submit()</scr' + 'ipt>';
const frame = (text, sandbox) => {
  const inner = document.createElement('iframe');
  if (sandbox) inner.sandbox = sandbox;
  inner.srcdoc = text;
  document.body.append(inner);
};
const rules = (kind, rule) => {
  const script = document.createElement('script');
  script.type = 'speculationrules';
  script.textContent = JSON.stringify({[kind]: [rule]});
  document.body.append(script);
};
const link = (tag, href, rel, as) => {
  const element = document.createElement(tag);
  Object.assign(element, {href, textContent: 'x'}, rel && {rel}, as && {as});
  document.body.append(element);
};
SCRIPT;
</script>"""

WEB_UI = """<!doctype html><meta charset=utf-8><link rel=icon href="data:,"><body><script>
const first = (source, close) => new Promise((done, failed) => {
  source.onmessage = event => { source.close(); done(event.data); };
  source.onerror = () => failed('failed');
});
const settled = promise => Promise.race([promise, new Promise(done => setTimeout(done, 3000, 'late'))]).catch(String);
(async () => {
  const post = await settled(fetch('/ui/post', {method: 'POST', body: '{}', headers: {'content-type': 'application/json'}}).then(answer => answer.status));
  const socket = await settled(first(new WebSocket(`ws://${location.host}/ui/socket`)));
  const events = await settled(first(new EventSource('/ui/events')));
  await fetch('/ui/results', {method: 'POST', body: JSON.stringify({post, socket, events})});
})();
</script>"""


class WebUi(Gateway):
    """A gateway with a web UI behind it, which reports what of it works."""

    results: dict | None = None

    def special(self, request: Request) -> bytes | None:
        if request.target == "/ui/results":
            self.results = json.loads(request.body)
        content = {"/ui": ("text/html", WEB_UI), "/ui/events": ("text/event-stream", "data: hello\n\n"),
                   "/page": ("text/html", PAGE.replace("SCRIPT", "link('link', '/own-prefetch', 'prefetch'); rules('prerender', {urls: ['/own-prerender'], eagerness: 'immediate'})"))}
        if request.target not in content:
            return super().special(request)
        content_type, text = content[request.target]
        return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode()


class Pages:
    """A server of pages, of which the name may be any."""

    def __init__(self) -> None:
        self.page = ""
        self.redirect = ""
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                is_redirect = path in ("/302", "/307")
                self.send_response(int(path[1:]) if is_redirect else 200)
                if is_redirect:
                    self.send_header("location", pages.redirect)
                self.send_header("content-type", "text/javascript" if path == "/worker.js" else "text/html")
                self.send_header("cache-control", "no-store")
                self.end_headers()
                worker = f"oninstall = event => event.waitUntil(fetch('{query}', {{mode: 'no-cors'}}).catch(() => 0))"
                self.wfile.write((worker if path == "/worker.js" else pages.page).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def attack(self, browser: Browser, attack: str, path: str, proxy: Proxy) -> None:
        """Has the browser show the page of an attack."""
        script = ATTACKS[attack]
        self.redirect = f"http://localhost:{proxy.port}{path}"
        script = script.replace("URL", self.redirect).replace("PORT", str(proxy.port)).replace("PATH", path)
        self.page = PAGE.replace("SCRIPT", script)
        name = "localhost" if attack in LOCAL else "evil.test"
        browser.open(f"http://{name}:{self.port}/{script if script.isdigit() else 'page'}")


def wait_for(holds: Callable[[], object], patience: float) -> bool:
    until = time.monotonic() + patience
    while not (held := holds()) and time.monotonic() < until:
        time.sleep(0.05)
    return bool(held)


@contextmanager
def serving(binary: str, access: str, kind: type[Gateway] = Gateway):
    """A gateway and the proxy in front of it."""
    with tempfile.TemporaryDirectory() as name:
        gateway = kind(Path(name))
        gateway.start()
        proxy = Proxy(binary, Path(name), gateway, "info", f"[access]\n{access}\n")
        try:
            yield gateway, proxy
        finally:
            proxy.stop()


def nothing_gets_through(checks: Checks, browser: Browser, pages: Pages, gateway: Gateway, proxy: Proxy, attacks: list[str]) -> None:
    for number, attack in enumerate(attacks):
        path, what = f"/attack/{number}", f"{browser.name}: {attack}"
        silent = attack in SILENT[browser.name]
        pages.attack(browser, attack, path, proxy)
        sent = wait_for(lambda: f"{path} " in proxy.log, 1 if silent else PATIENCE)
        time.sleep(SETTLING)
        checks.check(sent or silent, f"{what}: the browser sent nothing that could have been refused")
        checks.check(not gateway.targets, f"{what}: {gateway.targets} reached the gateway")
        gateway.targets.clear()
        print(f"{what}: {'refused' if sent else 'nothing sent'}", flush=True)


def listed_origin(checks: Checks, browser: Browser, pages: Pages, gateway: Gateway, proxy: Proxy) -> None:
    """The same page from an origin that is listed: so it is the guard that refused the others."""
    pages.attack(browser, "JSON with preflight", "/listed", proxy)
    arrived = wait_for(lambda: gateway.targets, PATIENCE)
    checks.check(arrived and gateway.targets == ["/listed"] and not gateway.refused, f"{browser.name}: a listed origin: {gateway.targets}")
    print(f"{browser.name}: a listed origin: served", flush=True)


def web_ui(checks: Checks, browser: Browser, pages: Pages, gateway: WebUi, proxy: Proxy) -> None:
    """With access.browser, a web UI works through the proxy, and a prefetch is refused all the same."""
    browser.open(f"http://localhost:{proxy.port}/ui")
    wait_for(lambda: gateway.results, 5 * PATIENCE)
    expected = {"post": 200, "socket": "hello", "events": "hello"}
    checks.check(gateway.results == expected, f"{browser.name}: the web UI: {gateway.results}")
    gateway.results = None
    browser.open(f"http://localhost:{proxy.port}/page")
    wait_for(lambda: "/own-prefetch " in proxy.log, PATIENCE)
    time.sleep(2 * SETTLING)
    own = [target for target in gateway.targets if target.startswith("/own")]
    checks.check("/page" in gateway.targets and not own, f"{browser.name}: its own prefetches reached the gateway: {own}")
    print(f"{browser.name}: a web UI works, and its prefetches are refused", flush=True)
    gateway.targets.clear()


def control(checks: Checks, browser: Browser, pages: Pages, gateway: Gateway, proxy: Proxy) -> None:
    """What remains possible with access.browser, and shows that these cases notice what gets through."""
    pages.attack(browser, "typed link, redirected with 302", "/control", proxy)
    wait_for(lambda: "/control" in gateway.targets, PATIENCE)
    checks.check("/control" in gateway.targets, f"{browser.name}: the control did not reach the gateway: {gateway.targets}")
    print(f"{browser.name}: a redirected typed link with access.browser: {gateway.targets}", flush=True)


def main() -> int:
    binary = sys.argv[1]
    checks, pages = Checks(), Pages()
    with_browser = 'hosts = ["proxy.test"]\nbrowser = true'
    redirected = [attack for attack in ATTACKS if attack.startswith("typed link")]
    for kind in (Chromium, Firefox):
        browser = kind()
        try:
            with serving(binary, 'hosts = ["proxy.test"]') as (gateway, proxy):
                nothing_gets_through(checks, browser, pages, gateway, proxy, list(ATTACKS))
            with serving(binary, f'origins = ["http://evil.test:{pages.port}"]') as (gateway, proxy):
                listed_origin(checks, browser, pages, gateway, proxy)
            with serving(binary, with_browser, WebUi) as (gateway, proxy):
                web_ui(checks, browser, pages, gateway, proxy)
                others = [attack for attack in ATTACKS if attack not in redirected and attack not in SILENT[browser.name]]
                nothing_gets_through(checks, browser, pages, gateway, proxy, others)
                control(checks, browser, pages, gateway, proxy)
        finally:
            browser.close()
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
