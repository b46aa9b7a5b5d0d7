"""Makes tables of what was measured by compare.py.

    python tests/bench/table.py RUNS.jsonl [BASE]

Each number is the median over the rounds. Ratios are taken within a round, in which one proxy was measured
right after the other, so that what else the machine does falls on both; they are followed by the least and
the most.
"""

import json
import statistics
import sys
from pathlib import Path

from harness.proxies import DIRECT
from harness.scenarios import FOOTPRINTS, SCENARIOS
from measured import spread, table

NOTHING = "–"


def rows(runs: list[dict], base: str) -> list[list[str]]:
    found = []
    for scenario in dict.fromkeys(run["scenario"] for run in runs):
        of_base = {run["round"]: run for run in of(runs, scenario, base) if run["served"]}
        for name in dict.fromkeys(run["proxy"] for run in runs):
            own = of(runs, scenario, name)
            if not own:
                continue
            served = [run for run in own if run["served"]]
            cells = numbers(served, of_base, of(runs, scenario, DIRECT)) if served else ["not served", *[NOTHING] * 8]
            found.append([SCENARIOS[scenario].title, name, *cells])
    return found


def of(runs: list[dict], scenario: str, name: str) -> list[dict]:
    return [run for run in runs if run["scenario"] == scenario and run["proxy"] == name]


def numbers(own: list[dict], base: dict[int, dict], direct: list[dict]) -> list[str]:
    def median(what: str) -> float:
        return statistics.median(run[what] for run in own)

    def ratio(what: str) -> str:
        ratios = [run[what] / base[run["round"]][what] for run in own if base.get(run["round"], {}).get(what)]
        return spread(ratios, 2) if ratios else NOTHING

    added = NOTHING
    if direct and own[0]["proxy"] != DIRECT:
        added = f"{median('p50') - statistics.median(run['p50'] for run in direct):+,.0f}"
    cpu = f"{median('cpu_per_100k'):.2f} ({median('user_per_100k'):.2f} + {median('kernel_per_100k'):.2f})"
    return [f"{median('requests_per_second'):,.0f}", ratio("requests_per_second"), cpu, ratio("cpu_per_100k"), f"{median('p50'):,.0f}",
            added, f"{median('p99'):,.0f}", f"{median('foreign_cores'):.2f}", str(sum(run["errors"] for run in own))]


def footprints(runs: list[dict]) -> list[list[str]]:
    """Memory in MiB, and the start: of each proxy one line."""
    paths = [("S6", "fresh", "pss"), ("S6", "idle", "pss"), ("S6", "kib_per_connection"), ("S7multipart", "peak", "pss"),
             ("S7json", "peak", "pss"), ("S7json", "after", "pss"), ("S8", "start_ms")]

    def number(name: str, scenario: str, *path: str) -> str:
        found = next(iter(of(runs, scenario, name)), None)
        for step in path:
            found = found[step] if found else None
        return NOTHING if found is None else f"{found:,.1f}"

    return [[name, *(number(name, *path) for path in paths)] for name in dict.fromkeys(run["proxy"] for run in runs)]


def report(runs: list[dict], base: str) -> str:
    """All tables, in Markdown."""
    alone = [run for run in runs if run["scenario"] in FOOTPRINTS]
    runs = [run for run in runs if run["scenario"] in SCENARIOS]
    tables = []
    if runs:
        rounds = len({run["round"] for run in runs})
        columns = ["scenario", "proxy", "req/s", f"of {base}'s", "CPU s per 100,000 (user + kernel)", f"of {base}'s", "p50, µs", "over direct",
                   "p99, µs", "cores of others", "errors"]
        tables.append(table(f"Side by side, {rounds} {'round' if rounds == 1 else 'rounds'}", columns, rows(runs, base)))
    if alone:
        columns = ["proxy", "fresh, MiB", "1,000 idle connections", "KiB for each", "64 uploads, streamed", "64 uploads, JSON",
                   "3 s after them", "start, ms"]
        tables.append(table("Memory and start", columns, footprints(alone)))
    return "\n".join(tables)


def main() -> int:
    lines = Path(sys.argv[1]).read_text().splitlines()
    print(report([json.loads(line) for line in lines], sys.argv[2] if len(sys.argv) > 2 else "nginx"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
