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


def rows(runs: list[dict], base: str) -> list[list[str]]:
    found = []
    for scenario in dict.fromkeys(run["sc"] for run in runs):
        of_base = {run["round"]: run for run in runs if run["sc"] == scenario and run["name"] == base}
        for name in dict.fromkeys(run["name"] for run in runs):
            own = [run for run in runs if run["sc"] == scenario and run["name"] == name]
            if own:
                found.append([SCENARIOS.get(scenario, scenario), name, *numbers(own, of_base)])
    return found


def numbers(own: list[dict], base: dict[int, dict]) -> list[str]:
    def median(what: str) -> float:
        return statistics.median(run[what] for run in own)

    def ratio(what: str) -> str:
        ratios = [run[what] / base[run["round"]][what] for run in own if base.get(run["round"], {}).get(what)]
        return spread(ratios, 2) if ratios else "–"

    return [f"{median('rps'):,.0f}", ratio("rps"), f"{median('cpu100k'):.2f}", ratio("cpu100k"), f"{median('p50'):,.0f}",
            str(sum(run["err"] for run in own))]


def main() -> int:
    base = sys.argv[2] if len(sys.argv) > 2 else "nginx"
    lines = Path(sys.argv[1]).read_text().splitlines()
    # Scenarios without rounds are in tables of the harness's own.
    runs = [run for run in map(json.loads, lines) if "round" in run]
    columns = ["scenario", "proxy", "req/s", f"of {base}'s", "CPU s per 100,000", f"of {base}'s", "p50, µs", "errors"]
    rounds = len({run["round"] for run in runs})
    print(table(f"Side by side, {rounds} {'round' if rounds == 1 else 'rounds'}", columns, rows(runs, base)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
