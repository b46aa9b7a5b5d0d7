"""The clients that speak HTTP/2: with prior knowledge on the plain port, and by ALPN on the TLS port.

Each sends a case as those of `senders.py` do. What HTTP/2 cannot express is left out by the generator of cases.
"""

import json
import random
import socket
import subprocess
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx

import senders
from cases import Case
from senders import PATIENCE, Result, header_list, pieces

AT_ONCE = 8


def by_httpx(port: int, cases: list[Case]) -> list[Result]:
    results = []
    with httpx.Client(http1=False, http2=True, trust_env=False, timeout=PATIENCE) as client:
        for case in cases:
            url = httpx.URL(f"http://localhost:{port}{case.target}")
            headers = [(name.encode(), value.encode("latin-1")) for name, value in header_list(case)]
            content = pieces(case.body) if case.chunked else case.body
            answer = client.request(case.method, url, headers=headers, content=content)
            if answer.http_version != "HTTP/2":
                raise RuntimeError(f"answered with {answer.http_version}")
            results.append((url.raw_path.decode(), answer.status_code, answer.json()))
    return results


def by_node(port: int, cases: list[Case]) -> list[Result]:
    """Node's http2, several requests at once over one connection."""
    return senders.by_node("http2.mjs", [
        {"origin": f"http://localhost:{port}", "method": case.method, "target": case.target, "headers": header_list(case),
         "body": case.body.decode("latin-1"), "chunked": case.chunked} for case in cases])


def by_curl(port: int, cases: list[Case]) -> list[Result]:
    return curl([f"http://localhost:{port}", "--http2-prior-knowledge"], cases)


def by_curl_with_alpn(port: int, cases: list[Case], ca_file: Path) -> list[Result]:
    return curl([f"https://localhost:{port}", "--http2", "--cacert", str(ca_file)], cases)


def curl(origin_and_options: list[str], cases: list[Case]) -> list[Result]:
    origin, *options = origin_and_options
    results = []
    for case in cases:
        command = ["curl", "-sS", "--path-as-is", "-g", "--max-time", str(PATIENCE), "-w", "\n%{http_version} %{http_code}", *options,
                   "-X", case.method, f"{origin}{case.target}"]
        # curl adds a type to every body, and an empty value takes it away.
        for name, value in header_list(case) if case.content_type else [("content-type", ""), *case.headers]:
            command += ["-H", f"{name}:" if not value else f"{name}: {value}"]
        if case.body:
            # An upload has no length, other bodies have.
            command += ["-T", "-"] if case.chunked else ["--data-binary", "@-"]
        done = subprocess.run(command, input=case.body, capture_output=True, timeout=PATIENCE + 5, check=False)
        if done.returncode:
            results.append((case.target, 0, {"error_code": done.stderr.decode()}))
            continue
        text, _, versions = done.stdout.decode().rpartition("\n")
        version, status = versions.split()
        if version != "2":
            raise RuntimeError(f"answered with HTTP/{version}")
        results.append((case.target, int(status), json.loads(text)))
    return results


def by_frames(port: int, cases: list[Case]) -> list[Result]:
    """Frames over one connection: every byte as it is, several streams at once, whose frames are mixed at random."""
    results: list[Result] = []
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as stream:
        caller = FrameCaller(stream, random.Random(len(cases)))
        while len(results) < len(cases):
            batch = cases[len(results):len(results) + caller.chance.randrange(1, AT_ONCE + 1)]
            results += caller.send(batch)
    return results


class FrameCaller:
    """An HTTP/2 connection that is driven frame by frame."""

    def __init__(self, stream: socket.socket, chance: random.Random) -> None:
        self.stream = stream
        self.chance = chance
        # Nothing is checked or changed on the way out: the proxy has to cope with what HTTP/2 allows.
        config = h2.config.H2Configuration(client_side=True, header_encoding=None, validate_outbound_headers=False,
                                           normalize_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.connection.increment_flow_control_window(1 << 24)
        self.flush()

    def flush(self) -> None:
        self.stream.sendall(self.connection.data_to_send())

    def send(self, batch: list[Case]) -> list[Result]:
        """Sends these at once."""
        bodies: dict[int, memoryview] = {}
        answers: dict[int, tuple[int, bytearray]] = {}
        ids = []
        for case in batch:
            number = self.connection.get_next_available_stream_id()
            ids.append(number)
            answers[number] = (0, bytearray())
            self.connection.send_headers(number, http2_head(case), end_stream=not case.body)
            if case.body:
                bodies[number] = memoryview(case.body)
        self.flush()
        open_streams = set(ids)
        while open_streams:
            self.send_some(bodies)
            if not self.is_blocked(bodies):
                continue
            data = self.stream.recv(1 << 16)
            if not data:
                raise EOFError("the connection ended")
            for event in self.connection.receive_data(data):
                self.take(event, answers, open_streams)
                if event_stream(event) not in open_streams:
                    # What is answered early is not sent to its end.
                    bodies.pop(event_stream(event), None)
            self.flush()
        return [(case.target, answers[number][0], json.loads(answers[number][1])) for case, number in zip(batch, ids)]

    def is_blocked(self, bodies: dict[int, memoryview]) -> bool:
        return not any(self.connection.local_flow_control_window(number) > 0 for number in bodies)

    def send_some(self, bodies: dict[int, memoryview]) -> None:
        """One frame of each body, of any size, now and then with padding."""
        for number in list(bodies):
            window = self.connection.local_flow_control_window(number)
            padding = self.chance.choice([None, None, 0, 5])
            room = min(window, self.connection.max_outbound_frame_size) - (0 if padding is None else padding + 1)
            size = min(room, self.chance.choice([1, 700, 16_384, 16_384]), len(bodies[number]))
            if size <= 0:
                continue
            piece, bodies[number] = bodies[number][:size], bodies[number][size:]
            is_last = not bodies[number]
            self.connection.send_data(number, bytes(piece), end_stream=is_last, pad_length=padding)
            if is_last:
                del bodies[number]
        self.flush()

    def take(self, event: h2.events.Event, answers: dict[int, tuple[int, bytearray]], open_streams: set[int]) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            status = int(dict(event.headers)[b":status"])
            answers[event.stream_id] = (status, answers[event.stream_id][1])
        elif isinstance(event, h2.events.DataReceived):
            answers[event.stream_id][1].extend(event.data)
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            open_streams.discard(event.stream_id)
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise EOFError(f"GOAWAY {event.error_code}")


def event_stream(event: h2.events.Event) -> int:
    return getattr(event, "stream_id", 0) or 0


def http2_head(case: Case) -> list[tuple[bytes, bytes]]:
    head = [(":method", case.method), (":scheme", "http"), (":authority", "localhost"), (":path", case.target), *header_list(case)]
    if not case.chunked:
        head.append(("content-length", str(len(case.body))))
    return [(name.encode(), value.encode("latin-1")) for name, value in head]


def refused(port: int, body: bytes) -> dict[str, list[tuple[int, str]]]:
    """What each client reads when its body is refused: status and code, with a declared length and without."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name, sender in {"curl, HTTP/2": by_curl, "node, HTTP/2": by_node, "frames": by_frames}.items():
        for content_type in ("application/json", "multipart/form-data; boundary=x"):
            for chunked in (False, True):
                try:
                    answers = sender(port, [Case("POST", "/v1", body, content_type, chunked=chunked)])
                except (RuntimeError, OSError, EOFError) as error:
                    answers = [("", 0, {"error_code": repr(error)})]
                found.setdefault(name, []).extend((status, answer["error_code"]) for _, status, answer in answers)
    return found
