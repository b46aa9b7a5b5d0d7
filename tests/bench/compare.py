"""Compares proxies under the same load, each in turn, and writes tables. Run it with tests/bench/run.sh.

In each round every proxy is measured once, and each round begins with another one. Ratios are taken within a
round, so that what else the machine does falls on all. Everything runs on this machine and over loopback.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness import footprint, measurement
from harness.load import LoadFailed
from harness.measurement import Conditions
from harness.proxies import DIRECT, OURS, PACKAGES, Place, Proxy, configure
from harness.scenarios import FOOTPRINTS, SCENARIOS
from harness.upstream import Upstream
from table import report

ROOT = Path(__file__).parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
DEFAULT_PROXIES = [DIRECT, "nginx", "envoy-signing", OURS]
DEFAULT_SCENARIOS = ["S1", "S2", "S3", "S4", "S5", "H2", *FOOTPRINTS]
# With a processor each for proxy and load.
PROXY_CPU, LOAD_CPU = 0, 1


def arguments() -> argparse.Namespace:
    names = "; ".join(f"{name}: {scenario.title}" for name, scenario in SCENARIOS.items())
    names += "; " + "; ".join(f"{name}: {title}" for name, title in FOOTPRINTS.items())
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description="Compares apig-proxy with other proxies under the same load.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dur", type=float, default=5, help="seconds of each measurement (default: %(default)s)")
    parser.add_argument("--warm", type=float, default=1, help="seconds of load before the first measurement; 0 for none (default: %(default)s)")
    parser.add_argument("--scenarios", default=",".join(DEFAULT_SCENARIOS), help=f"{names} (default: %(default)s)")
    parser.add_argument("--only", default=",".join(DEFAULT_PROXIES),
                        help=f"proxies to compare: {', '.join([DIRECT, *PACKAGES, OURS])} (default: %(default)s)")
    parser.add_argument("--add", action="append", default=[], metavar="NAME=BINARY", help="another build of apig-proxy to compare")
    parser.add_argument("--base", default="nginx", help="the proxy that ratios are to (default: %(default)s)")
    parser.add_argument("--binary", help="an apig-proxy that is built already (default: build it)")
    parser.add_argument("--http2", choices=["auto", "off"], default="auto", help="pool.http2 of apig-proxy (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=TARGET / "bench/RESULT.md", help="(default: %(default)s)")
    parser.add_argument("--pin", action="store_true", help="give the proxy one processor, and load and upstream another")
    parser.add_argument("--foreign", type=float, default=0.25,
                        help="repeat a measurement, twice at most, if other processes used more cores than this (default: %(default)s)")
    parser.add_argument("--load-threads", type=int, default=1)
    parser.add_argument("--upstream-threads", type=int)
    options = parser.parse_args()
    options.scenarios, options.only = options.scenarios.split(","), options.only.split(",")
    options.add = dict(added.split("=", 1) for added in options.add)
    unknown = set(options.scenarios) - set(SCENARIOS) - set(FOOTPRINTS) | set(options.only) - set(DEFAULT_PROXIES) - set(PACKAGES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return options


def build() -> str:
    """Builds what is shipped, without PGO; its path."""
    subprocess.run([ROOT / "deploy/cargo-static.sh", "build", "--profile", "dist", "--locked", "--bin", OURS], check=True)
    version = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = version.partition("host: ")[2].split()[0]
    return str(TARGET / host / "dist" / OURS)


def compare(place: Place, proxies: list[Proxy], options: argparse.Namespace, runs: Path) -> int:
    """Measures everything; each result becomes a line of `runs`. Returns how many measurements failed."""
    failed = 0
    conditions = Conditions(options.dur, options.warm, options.load_threads, LOAD_CPU if options.pin else None, options.foreign)

    def record(name: str, proxy: Proxy, found: dict) -> None:
        with runs.open("a") as file:
            file.write(json.dumps({"scenario": name, "proxy": proxy.name, **found}) + "\n")

    scenarios = [name for name in options.scenarios if name in SCENARIOS]
    for proxy in proxies if scenarios else []:
        proxy.start(place, PROXY_CPU if options.pin else None)
        print(f"{proxy.name} forwards requests, {measurement.check(proxy)}", file=sys.stderr)
    for name in scenarios:
        for at in range(options.rounds):
            first = at % len(proxies)
            for proxy in proxies[first:] + proxies[:first]:
                try:
                    found = measurement.measure(proxy, SCENARIOS[name], conditions, is_first=at == 0)
                except (LoadFailed, OSError) as error:
                    print(f"{name}, {proxy.name}, round {at + 1} failed: {error}", file=sys.stderr)
                    failed += 1
                    continue
                record(name, proxy, {"round": at, **found})
                print(progress(name, proxy, at, found), file=sys.stderr)
    for proxy in proxies:
        proxy.stop()
    for name in (name for name in options.scenarios if name in FOOTPRINTS):
        for proxy in (proxy for proxy in proxies if not proxy.is_direct):
            try:
                record(name, proxy, footprint.measure(place, proxy, name))
                print(f"{name}, {proxy.name}: done", file=sys.stderr)
            except (LoadFailed, OSError) as error:
                print(f"{name}, {proxy.name} failed: {error}", file=sys.stderr)
                failed += 1
    return failed


def progress(name: str, proxy: Proxy, at: int, found: dict) -> str:
    what = f"{found['requests_per_second']:,.0f} requests a second" if found["served"] else "not served"
    return f"{name}, {proxy.name}, round {at + 1}: {what}"


def run(options: argparse.Namespace, binaries: dict[str, str], runs: Path) -> int:
    work, folder = TARGET / "bench", TARGET / "bench/run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    threads = options.upstream_threads or (1 if options.pin else 2)
    upstreams: list[Upstream] = []
    proxies: list[Proxy] = []
    try:
        for alpn in ("h1", "h2"):
            upstreams.append(Upstream(work, folder, alpn, threads, LOAD_CPU if options.pin else None))
        place = Place(work, folder, *upstreams)
        names = [*options.only, *options.add]
        proxies += [configure(place, name, binaries, options.http2) for name in names]
        return compare(place, proxies, options, runs)
    finally:
        for proxy in proxies:
            proxy.stop()
        for upstream in upstreams:
            upstream.stop()


def main() -> int:
    options = arguments()
    packages = sorted({PACKAGES[name] for name in options.only if name in PACKAGES})
    subprocess.run([ROOT / "tests/bench/prepare.sh", TARGET / "bench", *packages], check=True)
    binaries = dict(options.add)
    if OURS in options.only:
        binaries[OURS] = options.binary or build()
    binaries = {name: str(Path(binary).resolve()) for name, binary in binaries.items()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    runs = options.out.with_suffix(".jsonl")
    runs.unlink(missing_ok=True)
    failed = run(options, binaries, runs)
    table = report([json.loads(line) for line in runs.read_text().splitlines()], options.base)
    options.out.write_text(table)
    print(table)
    print(f"written to {options.out}; every measurement is in {runs.name} beside it", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
