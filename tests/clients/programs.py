"""Programs through the proxy with its default configuration: the guard takes none of them for a browser.

    python programs.py PATH-OF-APIG-PROXY FOLDER-OF-NODE-MODULES
"""

import asyncio
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import aiohttp
import httpx
import requests
import websocket

from gateway import Gateway
from proxy import Proxy

PATIENCE = 30
POWERSHELL = "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1"
NODE_FETCH = "fetch(process.argv[1]).then(answer => console.log(answer.status))"
NODE_WS = """
const { WebSocket } = require('ws');
const socket = new WebSocket(process.argv[1], { origin: process.argv[2] || undefined });
socket.on('message', message => { console.log(String(message)); socket.close(); });
socket.on('error', error => { console.log(String(error)); process.exit(1); });
"""


def output(*command: str, folder: str | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.stdout.strip() or done.stderr.strip()


async def by_aiohttp(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status


def by_websocket_client(url: str, **options: object) -> str:
    socket = websocket.create_connection(url, timeout=PATIENCE, **options)
    try:
        return socket.recv()
    finally:
        socket.close()


def programs(address: str, modules: str) -> dict[str, tuple[Callable[[str], object], object]]:
    """What each program gets of a path, and what it should be."""
    http, ws = f"http://{address}", f"ws://{address}"

    def curl(path: str, *more: str) -> str:
        return output("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", str(PATIENCE), *more, http + path)

    return {
        "curl": (curl, "200"),
        "curl, POST": (lambda path: curl(path, "-d", "a=b"), "200"),
        "PowerShell's User-Agent": (lambda path: curl(path, "-A", POWERSHELL), "200"),
        "wget": (lambda path: '"method": "GET"' in output("wget", "-q", "-O", "-", "--timeout", str(PATIENCE), "--tries", "1", http + path), True),
        "requests": (lambda path: requests.get(http + path, timeout=PATIENCE).status_code, 200),
        "httpx": (lambda path: httpx.get(http + path, timeout=PATIENCE).status_code, 200),
        "aiohttp": (lambda path: asyncio.run(by_aiohttp(http + path)), 200),
        "urllib": (lambda path: urllib.request.urlopen(http + path, timeout=PATIENCE).status, 200),
        "Node's fetch": (lambda path: output("node", "-e", NODE_FETCH, http + path), "200"),
        "websocket-client": (lambda path: by_websocket_client(ws + path), "hello"),
        "websocket-client without Origin": (lambda path: by_websocket_client(ws + path, suppress_origin=True), "hello"),
        "ws": (lambda path: output("node", "-e", NODE_WS, ws + path, folder=modules), "hello"),
        "ws with the proxy's own Origin": (lambda path: output("node", "-e", NODE_WS, ws + path, http, folder=modules), "hello"),
    }


def main() -> int:
    binary, modules = sys.argv[1], sys.argv[2]
    passed = failed = 0
    with tempfile.TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        gateway.start()
        proxy = Proxy(binary, Path(name), gateway, "info")
        try:
            for host in ("localhost", "127.0.0.1"):
                for number, (program, (ask, expected)) in enumerate(programs(f"{host}:{proxy.port}", modules).items()):
                    path = f"/{host}/{number}"
                    answer = ask(path)
                    holds = answer == expected and gateway.targets == [path]
                    print(f"{program} by {host}: {'served' if holds else f'FAILED: {answer}, arrived: {gateway.targets}'}", flush=True)
                    passed, failed = passed + holds, failed + (not holds)
                    gateway.targets.clear()
        finally:
            proxy.stop()
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
