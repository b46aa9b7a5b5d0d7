"""Many uploads at once: what is accepted arrives and is verified, the rest is refused, and memory stays within its bounds
and comes back.

    python loads.py PATH-OF-APIG-PROXY
"""

import hashlib
import json
import resource
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from gateway import Gateway
from proxy import Proxy

MIB = 1 << 20
PATIENCE = 120
# How much more than before a load, in MiB, may stay in use, and how long giving the rest back may take, in seconds.
KEPT = 4
REST = 20


def upload(port: int, content_type: str, body: bytes, results: list) -> None:
    """Sends one body and keeps status, code and what the gateway says that it received."""
    head = f"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as stream:
            stream.sendall(head.encode())
            stream.sendall(body)
            answer = stream.makefile("rb").read()
        status = int(answer.split(b" ", 2)[1])
        results.append((status, json.loads(answer.partition(b"\r\n\r\n")[2])))
    except (OSError, ValueError, IndexError) as error:
        results.append((0, {"error_code": repr(error)}))


def settled(proxy: Proxy, idle: float) -> float:
    """The memory of the proxy in MiB once it has given back what it does not need, or has not after a while."""
    for _ in range(2 * REST):
        after = proxy.memory("VmRSS")
        if after <= idle + KEPT:
            break
        time.sleep(0.5)
    return after


def run(binary: str, count: int, content_type: str, body: bytes) -> tuple[Counter, float, float, float]:
    """Statuses of `count` uploads at once, and the memory of the proxy in MiB before them, at its peak, and afterwards."""
    with tempfile.TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        gateway.start()
        proxy = Proxy(binary, Path(name), gateway, "warn")
        try:
            warm_up: list = []
            upload(proxy.port, content_type, b"x", warm_up)
            time.sleep(0.2)
            idle = proxy.memory("VmRSS")
            results: list = []
            threads = [threading.Thread(target=upload, args=(proxy.port, content_type, body, results)) for _ in range(count)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            peak = proxy.memory("VmHWM")
            # Nothing that was refused stands in the way of what comes later.
            upload(proxy.port, content_type, body, results)
            after = settled(proxy, idle)
        finally:
            code = proxy.stop()
    expected = hashlib.sha256(body).hexdigest()
    outcomes = Counter()
    for status, answer in results:
        if status == 200:
            outcomes["verified" if answer["body_sha256"] == expected else "altered"] += 1
        else:
            outcomes[f"{status} {answer['error_code']}"] += 1
    outcomes["last verified"] = results[-1][0] == 200
    outcomes["refused by the gateway"] = gateway.refused
    outcomes["arrived"] = gateway.requests
    outcomes["exit code"] = code
    return outcomes, idle, peak, after


def many_connections(binary: str, count: int) -> tuple[Counter, float, float, float]:
    """What becomes of so many connections at once, of which one in ten sends a request; memory as for `run`."""
    request = b"GET /v1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with tempfile.TemporaryDirectory() as name:
        gateway = Gateway(Path(name))
        gateway.start()
        proxy = Proxy(binary, Path(name), gateway, "warn", f"[limits]\nconnections = {count + 10}\n")
        streams: list[socket.socket] = []
        outcomes: Counter = Counter()
        try:
            idle = proxy.memory("VmRSS")
            for at in range(count):
                streams.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE))
                # They are taken as fast as they come, and none has to be sent to the back of the queue.
                if at % 500 == 0:
                    time.sleep(0.05)
            for stream in streams[::10]:
                stream.sendall(request)
                outcomes["answered"] += stream.recv(4096).startswith(b"HTTP/1.1 200")
            peak = proxy.memory("VmHWM")
            for stream in streams:
                stream.close()
            results: list = []
            upload(proxy.port, "text/plain", b"x", results)
            outcomes["last verified"] = results[-1][0] == 200
            after = settled(proxy, idle)
        finally:
            outcomes["exit code"] = proxy.stop()
    return outcomes, idle, peak, after


def main() -> int:
    checks: list[tuple[bool, str]] = []
    # Sockets of both sides, of which each has a process to itself.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

    count = 200
    outcomes, idle, peak, after = run(sys.argv[1], count, "application/json", b" " * (12 * MIB))
    shed = outcomes["503 PROXY.overloaded"]
    print(f"{count} uploads of 12 MiB, hashed: {outcomes['verified']} verified, {shed} shed; {idle:.0f} MiB idle, {peak:.0f} MiB at the peak, {after:.1f} MiB afterwards")
    checks += [
        (outcomes["verified"] + shed == count + 1, f"{dict(outcomes)}"),
        (outcomes["verified"] >= 20, "the budget has room for more"),
        (outcomes["arrived"] == outcomes["verified"] + 1 and not outcomes["refused by the gateway"], "what arrived was verified"),
        (outcomes["last verified"] == 1, "a later upload is served"),
        (peak <= 320, f"{peak:.0f} MiB are more than the budget of 256 MiB and 64 MiB"),
        (after <= idle + KEPT, f"{after:.1f} MiB afterwards are more than {idle:.1f} MiB before and {KEPT} MiB"),
        (outcomes["exit code"] == 0, "the proxy ends in good order"),
    ]

    count = 64
    outcomes, idle, peak, after = run(sys.argv[1], count, "multipart/form-data; boundary=x", b"x" * (11 * MIB))
    print(f"{count} uploads of 11 MiB, streamed: {outcomes['verified']} verified; {idle:.0f} MiB idle, {peak:.0f} MiB at the peak, {after:.1f} MiB afterwards")
    checks += [
        (outcomes["verified"] == count + 1 and not outcomes["refused by the gateway"], f"{dict(outcomes)}"),
        (peak - idle <= 32, f"{peak - idle:.0f} MiB over idle are more than 32 MiB"),
        (after <= idle + KEPT, f"{after:.1f} MiB afterwards are more than {idle:.1f} MiB before and {KEPT} MiB"),
        (outcomes["exit code"] == 0, "the proxy ends in good order"),
    ]

    count = 10_000
    outcomes, idle, peak, after = many_connections(sys.argv[1], count)
    print(f"{count} connections: {outcomes['answered']} requests answered; {idle:.0f} MiB idle, {peak:.0f} MiB at the peak, {after:.1f} MiB afterwards")
    checks += [
        (outcomes["answered"] == count // 10, f"{dict(outcomes)}"),
        (outcomes["last verified"] == 1, "a later request is served"),
        (peak <= 320, f"{peak:.0f} MiB are more than the budget of 256 MiB and 64 MiB"),
        (after <= idle + KEPT, f"{after:.1f} MiB afterwards are more than {idle:.1f} MiB before and {KEPT} MiB"),
        (outcomes["exit code"] == 0, "the proxy ends in good order"),
    ]
    failed = [what for holds, what in checks if not holds]
    for what in failed:
        print(f"FAILED {what}")
    print(f"{len(checks) - len(failed)} passed, {len(failed)} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
