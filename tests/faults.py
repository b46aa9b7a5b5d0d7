"""Prints for each number of the table of faults the tests that show it, and fails if one has none.

    python tests/faults.py

The numbers are those of the module documentation in tests/proxy/faults: 1 to 33 are faults of callers,
34 to 43 of connections, 44 to 61 of answers, the others of the machine. A test shows a number when its
name begins with `fault_NN_`.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
REQUIRED = [*range(1, 63), 67, 74, 75, 76, 77, 78, 79]
TEST = re.compile(r"#\[(?:tokio::)?test[^\n]*\]\n(?:\s*#\[[^\n]*\]\n)*\s*(?:async )?fn fault_(\d\d)_(\w+)\(")


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
