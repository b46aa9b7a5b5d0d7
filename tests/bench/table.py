"""Makes a table of what every run of the harness gave.

    python tests/bench/table.py RUNS.jsonl [BASE]

Each number is the median over the rounds. Ratios are taken within a round, in which one proxy was measured
right after the other, so that what else the machine does falls on both; they are followed by the least and
the most.
"""

import json
import statistics
import sys
from pathlib import Path

from measured import spread, table

# What the harness sends in each scenario.
SCENARIOS = {
    "S1": "GET, 64 connections",
    "S2": "POST, 1 KiB of JSON, 64 connections",
    "S3": "POST, 1 MiB of JSON, 8 connections",
    "S3b": "POST, 11 MiB of JSON, 4 connections",
    "S4": "upload, 11 MiB, streamed, 4 connections",
    "S5": "GET, 1 connection",
    "S5b": "POST, 1 KiB of JSON, 1 connection",
    "S5c": "GET, 1 connection, 500 a second",
}

# What the harness calls access without a proxy.
DIRECT = "direct"


def rows(runs: list[dict], base: str) -> list[list[str]]:
    found = []
    for scenario in dict.fromkeys(run["sc"] for run in runs):
        of_base = {run["round"]: run for run in runs if run["sc"] == scenario and run["name"] == base}
        for name in dict.fromkeys(run["name"] for run in runs):
            own = of(runs, scenario, name)
            if own:
                numbers_of_it = numbers(own, of_base, of(runs, scenario, DIRECT))
                found.append([SCENARIOS.get(scenario, scenario), name, *numbers_of_it])
    return found


def of(runs: list[dict], scenario: str, name: str) -> list[dict]:
    return [run for run in runs if run["sc"] == scenario and run["name"] == name]


def numbers(own: list[dict], base: dict[int, dict], direct: list[dict]) -> list[str]:
    def median(what: str) -> float:
        return statistics.median(run[what] for run in own)

    def ratio(what: str) -> str:
        ratios = [run[what] / base[run["round"]][what] for run in own if base.get(run["round"], {}).get(what)]
        return spread(ratios, 2) if ratios else "–"

    added = "–"
    if direct and own[0]["name"] != DIRECT:
        added = f"{median('p50') - statistics.median(run['p50'] for run in direct):+,.0f}"
    return [f"{median('rps'):,.0f}", ratio("rps"), f"{median('cpu100k'):.2f}", ratio("cpu100k"), f"{median('p50'):,.0f}",
            added, str(sum(run["err"] for run in own))]


def memory(runs: list[dict]) -> list[list[str]]:
    """Memory in MiB, and the start: of each proxy one line."""
    def first(name: str, scenario: str) -> dict:
        return next(iter(of(runs, scenario, name)), {})

    def number(run: dict, *path: str | int) -> str:
        found = run
        for step in path:
            found = found[step] if isinstance(found, list) or step in found else None
            if found is None:
                return "–"
        return f"{found:,.1f}"

    found = []
    for name in dict.fromkeys(run["name"] for run in runs):
        idle, streamed, hashed, start = (first(name, scenario) for scenario in ("S6", "S7multipart", "S7json", "S8"))
        if idle or streamed or hashed or start:
            found.append([name, number(idle, "idle0", 0), number(idle, "idle1000", 0), number(streamed, "peak_pss"),
                          number(hashed, "peak_pss"), number(start, "start_ms")])
    return found


def main() -> int:
    base = sys.argv[2] if len(sys.argv) > 2 else "nginx"
    lines = Path(sys.argv[1]).read_text().splitlines()
    runs = [json.loads(line) for line in lines]
    single = memory([run for run in runs if "round" not in run])
    runs = [run for run in runs if "round" in run]
    columns = ["scenario", "proxy", "req/s", f"of {base}'s", "CPU s per 100,000", f"of {base}'s", "p50, µs", "over direct", "errors"]
    rounds = len({run["round"] for run in runs})
    print(table(f"Side by side, {rounds} {'round' if rounds == 1 else 'rounds'}", columns, rows(runs, base)))
    if single:
        columns = ["proxy", "fresh, MiB", "1,000 idle connections", "64 uploads, streamed", "64 uploads, JSON", "start, ms"]
        print(table("Memory and start", columns, single))
    return 0


if __name__ == "__main__":
    sys.exit(main())
