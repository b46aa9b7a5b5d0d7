"""Prints for each number of the table of faults the tests that show it, and fails if one has none.

    python tests/faults.py

The numbers are those of the module documentation in tests/proxy/faults: 1 to 33 are faults of callers,
34 to 43 of connections, 44 to 61 of answers, 62 to 80 of the machine, 81 to 89 of HTTP/2 callers, 90 to 92
of what the gateway reads differently, 93 to 103 attacks and misuse. A test shows a number when its name
begins with `fault_NN_` or `fault_NNN_`.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# 80 takes an hour; the others belong to parts that are not built yet.
EXCLUDED = {80, *range(90, 93)}
REQUIRED = [number for number in range(1, 104) if number not in EXCLUDED]
TEST = re.compile(r"#\[(?:tokio::)?test[^\n]*\]\n(?:\s*#\[[^\n]*\]\n)*\s*(?:async )?fn fault_(\d{2,3})_(\w+)\(")


def found() -> dict[int, list[str]]:
    tests: dict[int, list[str]] = {}
    for file in sorted([*ROOT.glob("tests/*/**/*.rs"), *ROOT.glob("src/**/*.rs")]):
        for number, sentence in TEST.findall(file.read_text()):
            tests.setdefault(int(number), []).append(f"{sentence.replace('_', ' ')} ({file.relative_to(ROOT)})")
    return tests


def main() -> int:
    tests = found()
    for number in sorted({*REQUIRED, *tests}):
        for at, sentence in enumerate(tests.get(number, ["MISSING"])):
            print(f"{number if at == 0 else '':>3}  {sentence}")
    missing = [number for number in REQUIRED if number not in tests]
    print(f"{len(REQUIRED) - len(missing)} passed, {len(missing)} failed")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
