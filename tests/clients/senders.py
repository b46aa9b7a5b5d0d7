"""The clients: each sends a case, and says which target it put on the wire and what came back."""

import asyncio
import json
import random
import socket
import subprocess
from pathlib import Path

import aiohttp
import httpx
import requests
import yarl
from urllib3.util.url import _encode_target

from cases import Case

PATIENCE = 60
# What one process of Node gets at once: all of it is held as JSON, in which most bytes take six.
NODE_BATCH = 200
HERE = Path(__file__).parent
# Target on the wire, status, and the answer's JSON.
Result = tuple[str, int, dict]


def header_list(case: Case) -> list[tuple[str, str]]:
    return ([("content-type", case.content_type)] if case.content_type else []) + case.headers


def pieces(body: bytes):
    """A body of unknown length, in pieces."""
    for start in range(0, len(body), 50_000):
        yield body[start:start + 50_000]


def by_requests(port: int, cases: list[Case]) -> list[Result]:
    results = []
    with requests.Session() as session:
        session.trust_env = False
        for case in cases:
            data = pieces(case.body) if case.chunked else case.body or None
            prepared = session.prepare_request(
                requests.Request(case.method, f"http://localhost:{port}/", headers=dict(header_list(case)), data=data))
            prepared.url = f"http://localhost:{port}{case.target}"
            answer = session.send(prepared, timeout=PATIENCE)
            # urllib3 has its own spelling of some targets, and this is it.
            results.append((_encode_target(case.target), answer.status_code, answer.json()))
    return results


def by_httpx(port: int, cases: list[Case]) -> list[Result]:
    results = []
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        for case in cases:
            url = httpx.URL(f"http://localhost:{port}{case.target}")
            headers = [(name.encode(), value.encode("latin-1")) for name, value in header_list(case)]
            content = pieces(case.body) if case.chunked else case.body
            answer = client.request(case.method, url, headers=headers, content=content)
            results.append((url.raw_path.decode(), answer.status_code, answer.json()))
    return results


def by_aiohttp(port: int, cases: list[Case]) -> list[Result]:
    async def stream(body: bytes):
        for piece in pieces(body):
            yield piece

    async def run() -> list[Result]:
        results = []
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        skipped = {"content-type"}
        async with aiohttp.ClientSession(timeout=timeout, skip_auto_headers=skipped) as session:
            for case in cases:
                url = yarl.URL(f"http://localhost:{port}{case.target}", encoded=True)
                data = stream(case.body) if case.chunked else case.body or None
                headers = header_list(case)
                async with session.request(case.method, url, headers=headers, data=data) as answer:
                    results.append((case.target, answer.status, await answer.json()))
        return results

    return asyncio.run(run())


def by_curl(port: int, cases: list[Case]) -> list[Result]:
    results = []
    for case in cases:
        command = ["curl", "-sS", "--path-as-is", "-g", "--max-time", str(PATIENCE), "-w", "\n%{http_code}", "-X", case.method,
                   f"http://localhost:{port}{case.target}"]
        # curl adds a type to every body, and an empty value takes it away.
        for name, value in header_list(case) if case.content_type else [("content-type", ""), *case.headers]:
            command += ["-H", f"{name}:" if not value else f"{name}: {value}"]
        if case.chunked:
            command += ["-H", "transfer-encoding: chunked"]
        if case.body:
            command += ["--data-binary", "@-"]
        done = subprocess.run(command, input=case.body, capture_output=True, timeout=PATIENCE + 5, check=True)
        text, _, status = done.stdout.decode().rpartition("\n")
        results.append((case.target, int(status), json.loads(text)))
    return results


def by_fetch(port: int, cases: list[Case]) -> list[Result]:
    """Node's fetch."""
    return by_node("fetch.mjs", [{"method": case.method, "url": f"http://localhost:{port}{case.target}", "headers": header_list(case),
                                  "body": case.body.decode("latin-1"), "chunked": case.chunked} for case in cases])


def by_node(script: str, cases: list[dict]) -> list[Result]:
    """A script of Node's, which gets the cases as lines and prints a line for each answer; a new process now and then."""
    results: list[Result] = []
    for start in range(0, len(cases), NODE_BATCH):
        lines = "\n".join(json.dumps(case) for case in cases[start:start + NODE_BATCH])
        done = subprocess.run(["node", str(HERE / script)], input=lines, text=True, capture_output=True, timeout=3 * PATIENCE, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        results += [(answer["sent"], answer["status"], answer["json"]) for answer in map(json.loads, done.stdout.splitlines())]
    return results


def by_socket(port: int, cases: list[Case]) -> list[Result]:
    """Bytes over one connection: pipelined by up to five, with every byte as it is."""
    chance = random.Random(len(cases))
    results = []
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as stream:
        reader = stream.makefile("rb")
        while len(results) < len(cases):
            batch = cases[len(results):len(results) + chance.randrange(1, 6)]
            data = b"".join(raw_head(case) + raw_body(case, chance) for case in batch)
            # Where one write ends has nothing to do with where a head or a chunk does.
            cut = chance.randrange(len(data))
            stream.sendall(data[:cut])
            stream.sendall(data[cut:])
            results += [(case.target, *read_answer(reader)) for case in batch]
    return results


def by_expecting_socket(port: int, cases: list[Case]) -> list[Result]:
    """Bytes over one connection that is used again; bodies are sent only once they are asked for."""
    chance = random.Random(len(cases))
    results = []
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as stream:
        reader = stream.makefile("rb")
        for case in cases:
            stream.sendall(raw_head(case, "Expect: 100-continue" if case.body else ""))
            if case.body:
                asked = reader.readline(), reader.readline()
                if asked != (b"HTTP/1.1 100 Continue\r\n", b"\r\n"):
                    raise RuntimeError(asked)
            stream.sendall(raw_body(case, chance))
            results.append((case.target, *read_answer(reader)))
    return results


def raw_head(case: Case, more: str = "") -> bytes:
    lines = [f"{case.method} {case.target} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in header_list(case)]
    lines.append("Transfer-Encoding: chunked" if case.chunked else f"Content-Length: {len(case.body)}")
    lines += [more] if more else []
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def raw_body(case: Case, chance: random.Random) -> bytes:
    """The body; if in chunks, of any size, with extensions and trailers now and then."""
    if not case.chunked:
        return case.body
    sent, start = [], 0
    while start < len(case.body):
        size = chance.choice([1, 7, 300, 5_000, 70_000])
        piece = case.body[start:start + size]
        start += size
        extension = chance.choice([b"", b"", b";a=b", b';a="b c";d'])
        sent.append(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece))
        if len(sent) > 500:
            sent.append(b"%X\r\n%b\r\n" % (len(case.body) - start, case.body[start:]) if start < len(case.body) else b"")
            break
    trailers = chance.choice([b"", b"", b"X-Sum: 1\r\n", b"x-stage: evil\r\nX-Empty:\r\n"])
    return b"".join(sent) + b"0\r\n" + trailers + b"\r\n"


def refused(port: int, body: bytes) -> dict[str, list[tuple[int, str]]]:
    """What each client reads when its body is refused: status and code, for each way to send it."""
    url = f"http://localhost:{port}/v1"
    found: dict[str, list[tuple[int, str]]] = {"requests": [], "curl": [], "fetch": []}
    for content_type in ("application/json", "multipart/form-data; boundary=x"):
        headers = {"content-type": content_type}
        for chunked in (False, True):
            answer = requests.post(url, data=pieces(body) if chunked else body, headers=headers, timeout=PATIENCE)
            found["requests"].append((answer.status_code, answer.json()["error_code"]))
            # Without and with waiting to be asked for the body.
            for expect in ("Expect:", "Expect: 100-continue"):
                command = ["curl", "-sS", "--max-time", str(PATIENCE), "-w", "\n%{http_code}", "-H", f"content-type: {content_type}",
                           "-H", expect, "--data-binary", "@-", url, *(["-H", "transfer-encoding: chunked"] if chunked else [])]
                done = subprocess.run(command, input=body, capture_output=True, timeout=PATIENCE + 5, check=True)
                text, _, status = done.stdout.decode().rpartition("\n")
                found["curl"].append((int(status), json.loads(text)["error_code"]))
            case = Case("POST", "/v1", body, content_type, chunked=chunked)
            found["fetch"] += [(status, answer["error_code"]) for _, status, answer in by_fetch(port, [case])]
    return found


def read_answer(reader) -> tuple[int, dict]:
    status = int(reader.readline().split()[1])
    length = 0
    while (line := reader.readline().strip()):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, json.loads(reader.read(length))
