"""Web pages in a real browser (Chromium, headless) that try to use the proxy: nothing of theirs may reach the gateway.

    python pages.py PATH-OF-APIG-PROXY
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from gateway import Gateway
from proxy import Proxy

PATIENCE = 30
SETTLING = 0.5

# What each page does; PROXY and PAGES are ports. It says `done()` when it has tried.
ATTACKS = {
    "GET without CORS": "fetch('http://localhost:PROXY/v1', {mode: 'no-cors'}).finally(done)",
    "simple POST": "fetch('http://127.0.0.1:PROXY/v1', {method: 'POST', mode: 'no-cors', body: 'a=1', headers: {'content-type': 'text/plain'}}).finally(done)",
    "form": "frame('<form method=post enctype=multipart/form-data action=http://localhost:PROXY/v1><input name=a value=1></form>"
            "<script>document.forms[0].submit()</scr' + 'ipt>')",
    "JSON with preflight": "fetch('http://localhost:PROXY/v1', {method: 'POST', body: '{}', headers: {'content-type': 'application/json'}}).finally(done)",
    "WebSocket": "const socket = new WebSocket('ws://localhost:PROXY/v1'); socket.onerror = socket.onopen = done",
    "sandboxed frame": "frame('<script>fetch(\"http://localhost:PROXY/v1\", {method: \"POST\", body: \"{}\"}).finally(() => parent.postMessage(1, \"*\"))</scr' + 'ipt>', 'allow-scripts')",
    "another port of localhost": "fetch('http://localhost:PROXY/v1', {method: 'POST', mode: 'no-cors', body: '{}'}).finally(done)",
    "rebound name": "location = 'http://rebound.test:PROXY/v1'",
    "rebound name, POST": "frame('<form method=post action=http://rebound.test:PROXY/v1><input name=a value=1></form>"
                          "<script>document.forms[0].submit()</scr' + 'ipt>')",
    "0.0.0.0": "frame('<script>location = \"http://0.0.0.0:PROXY/v1\"</scr' + 'ipt>'); fetch('http://0.0.0.0:PROXY/v1', {mode: 'no-cors'}).finally(done)",
}
# Where a page comes from, if it is not from somewhere foreign.
ORIGINS = {"another port of localhost": "localhost"}
LISTED = "fetch('http://localhost:PROXY/v1', {method: 'POST', body: '{}', headers: {'content-type': 'application/json'}}).then(a => a.json()).finally(done)"

PAGE = """<!doctype html><meta charset=utf-8><script>
const done = () => navigator.sendBeacon('/done');
const frame = (text, sandbox) => {
  const inner = document.createElement('iframe');
  if (sandbox) inner.sandbox = sandbox;
  inner.srcdoc = text;
  inner.onload = () => setTimeout(done, 1000);
  document.documentElement.append(inner);
};
onmessage = done;
ATTACK;
setTimeout(done, 4000);
</script>"""


class Pages:
    """A server of one page, of which the name may be any."""

    def __init__(self) -> None:
        self.page = ""
        self.done = threading.Event()
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(pages.page.encode())

            def do_POST(self) -> None:
                self.send_response(204)
                self.end_headers()
                pages.done.set()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def visit(self, host: str, script: str, proxy: Proxy) -> bool:
        """Shows a page to the browser until it says that it has tried; whether it came to that."""
        self.page = PAGE.replace("ATTACK", script).replace("PROXY", str(proxy.port))
        self.done.clear()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            browser = subprocess.Popen(
                ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                 "--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}",
                 "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP rebound.test 127.0.0.1",
                 "--remote-debugging-port=0", f"http://{host}:{self.port}/"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            try:
                refused = proxy.log.count("refused: ")
                until = time.monotonic() + PATIENCE
                # A page that has left for the proxy cannot say so; the proxy can.
                while not self.done.is_set() and proxy.log.count("refused: ") == refused and time.monotonic() < until:
                    time.sleep(0.05)
                time.sleep(SETTLING)
                return time.monotonic() < until
            finally:
                # With all of its processes.
                os.killpg(browser.pid, signal.SIGKILL)
                browser.wait()


def main() -> int:
    passed = failed = 0

    def check(holds: bool, what: str) -> None:
        nonlocal passed, failed
        passed, failed = passed + holds, failed + (not holds)
        if not holds:
            print(f"FAILED {what}", flush=True)

    pages = Pages()
    with tempfile.TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        gateway.start()
        proxy = Proxy(sys.argv[1], Path(name), gateway, "info")
        try:
            for attack, script in ATTACKS.items():
                before = proxy.log.count("refused: ")
                tried = pages.visit(ORIGINS.get(attack, "evil.test"), script, proxy)
                refused = proxy.log.count("refused: ") - before
                check(tried and refused > 0, f"{attack}: the browser sent nothing that could have been refused")
                check(gateway.requests == 0, f"{attack}: {gateway.requests} requests reached the gateway")
                print(f"{attack}: {refused} refused, {gateway.requests} reached the gateway", flush=True)
        finally:
            proxy.stop()
    with tempfile.TemporaryDirectory() as name:
        # The same browser, from an origin that is listed: so it is the guard that refused the others.
        gateway = Gateway(Path(name))
        gateway.start()
        proxy = Proxy(sys.argv[1], Path(name), gateway, "info", f'[access]\norigins = ["http://evil.test:{pages.port}"]\n')
        try:
            pages.visit("evil.test", LISTED, proxy)
            check(gateway.requests == 1 and gateway.refused == 0, f"a listed origin: {gateway.requests} requests, log: {proxy.log}")
            print(f"a listed origin: {gateway.requests} reached the gateway", flush=True)
        finally:
            proxy.stop()
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
