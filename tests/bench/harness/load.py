"""Load: wrk for HTTP/1.1, h2load for HTTP/2 and for a steady rate."""

import json
import os
import re
import resource
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .scenarios import Scenario

SCRIPT = Path(__file__).parents[1] / "load.lua"
PATH = "/v1/items?limit=10"


class LoadFailed(Exception):
    """The load generator gave no result."""


@dataclass
class Load:
    """What a load generator saw; times in microseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int
    # Seconds of processor time of the generator itself.
    cpu: float = 0.0


def send(scenario: Scenario, port: int, *, tls: bool, seconds: float, threads: int = 1, cpu: int | None = None) -> Load:
    """Loads the server at the port."""
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{PATH}"
    pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
    generate = h2load if scenario.streams or scenario.rate else wrk
    before = children_cpu()
    load = generate(scenario, url, seconds, threads, pinned)
    load.cpu = children_cpu() - before
    return load


def wrk(scenario: Scenario, url: str, seconds: float, threads: int, pinned: list[str]) -> Load:
    threads = min(threads, scenario.connections)
    command = ["wrk", f"-t{threads}", f"-c{scenario.connections}", f"-d{round(seconds)}s", "--timeout=20s", f"--script={SCRIPT}", url]
    output = run(pinned + command, seconds, BENCH_BODY=scenario.body, BENCH_SIZE=str(scenario.size))
    match = re.search(r"^JSON (.*)$", output, re.M)
    if not match:
        raise LoadFailed(output)
    return Load(**json.loads(match[1]))


def h2load(scenario: Scenario, url: str, seconds: float, threads: int, pinned: list[str]) -> Load:
    threads = min(threads, scenario.connections)
    command = ["h2load", f"-t{threads}", f"-c{scenario.connections}", f"--duration={round(seconds)}"]
    command.append(f"--max-concurrent-streams={scenario.streams}" if scenario.streams else "--h1")
    if scenario.rate:
        command.append(f"--rps={scenario.rate}")
    with tempfile.NamedTemporaryFile() as log:
        output = run([*pinned, *command, f"--log-file={log.name}", url], seconds)
        # Of each request: when it began, its status, and how long it took.
        rows = [line.split("\t") for line in Path(log.name).read_text().splitlines()]
    finished = re.search(r"finished in ([\d.]+)(ms|s), ", output)
    times = sorted(float(row[2]) for row in rows if row[1] == "200")
    if not finished or len(times) < 2:
        raise LoadFailed(output)
    took = float(finished[1]) / (1000 if finished[2] == "ms" else 1)
    return Load(len(times), took, statistics.median(times), times[len(times) * 99 // 100], len(rows) - len(times))


def run(command: list[str], seconds: float, **environment: str) -> str:
    try:
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=seconds + 40)
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(str(error)) from error
    if done.returncode:
        raise LoadFailed(done.stdout + done.stderr)
    return done.stdout


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
