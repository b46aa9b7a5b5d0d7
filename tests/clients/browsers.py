"""Chromium and Firefox without a window, each with a profile of its own. `open` does what typing an address does."""

import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import websocket

PATIENCE = 30
# Names that both browsers resolve to this machine.
NAMES = ["evil.test", "rebound.test", "proxy.test"]
PREFERENCES = {
    "network.dns.localDomains": ",".join(NAMES),
    # So that pages may open what they want, and nothing else asks the network.
    "dom.disable_open_during_load": False,
    "remote.prefs.recommended": False,
    "network.prefetch-next": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.update.disabledForTesting": True,
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.aboutwelcome.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}


class Browser:
    """A browser that runs until it is closed."""

    name = ""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.profile = Path(self._folder.name)
        self.prepare()
        self._process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                         start_new_session=True, env={**os.environ, "HOME": self._folder.name})
        try:
            self.connect()
        except BaseException:
            self.close()
            raise

    def prepare(self) -> None:
        pass

    def command(self) -> list[str]:
        raise NotImplementedError

    def connect(self) -> None:
        raise NotImplementedError

    def open(self, url: str) -> None:
        """Opens an address in a new tab, and closes the one before."""
        raise NotImplementedError

    def file(self, name: str) -> str:
        """A file of the profile that says where the browser listens."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            path = self.profile / name
            if path.exists() and (text := path.read_text()):
                return text
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not start")

    def close(self) -> None:
        # With all of its processes.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._folder.cleanup()


class Chromium(Browser):
    name = "Chromium"
    tab = ""

    def command(self) -> list[str]:
        rules = ", ".join(f"MAP {name} 127.0.0.1" for name in NAMES)
        return ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                "--disable-component-update", "--disable-popup-blocking", f"--user-data-dir={self.profile}",
                f"--host-resolver-rules={rules}", "--remote-debugging-port=0", "about:blank"]

    def connect(self) -> None:
        self.port = int(self.file("DevToolsActivePort").split()[0])

    def ask(self, method: str, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path)
        return connection.getresponse().read().decode()

    def open(self, url: str) -> None:
        before, self.tab = self.tab, json.loads(self.ask("PUT", f"/json/new?{quote(url, safe=':/')}"))["id"]
        if before:
            self.ask("GET", f"/json/close/{before}")


class Firefox(Browser):
    name = "Firefox"
    tab = ""
    count = 0

    def prepare(self) -> None:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
        (self.profile / "user.js").write_text("".join(lines))

    def command(self) -> list[str]:
        return ["firefox", "--headless", "--no-remote", "--profile", str(self.profile), "--remote-debugging-port=0", "about:blank"]

    def connect(self) -> None:
        server = json.loads(self.file("WebDriverBiDiServer.json"))
        url = f"ws://{server['ws_host']}:{server['ws_port']}/session"
        self.socket = websocket.create_connection(url, timeout=PATIENCE, suppress_origin=True)
        self.call("session.new", capabilities={})

    def call(self, method: str, **parameters: object) -> dict:
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.count:
            pass
        if answer["type"] != "success":
            raise RuntimeError(answer)
        return answer["result"]

    def open(self, url: str) -> None:
        before, self.tab = self.tab, self.call("browsingContext.create", type="tab")["context"]
        self.call("browsingContext.navigate", context=self.tab, url=url, wait="none")
        if before:
            self.call("browsingContext.close", context=before)
