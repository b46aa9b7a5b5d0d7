"""Prints for each number of docs/faults.md the tests that show it. Fails if a number has none, or if a test asserts nothing.

    python3 tests/faults.py

A test shows a number when its name begins with `fault_NN_` or `fault_NNN_`. It asserts something if it uses an
`assert` macro, or calls a function of the tests that does.
"""

import re
import sys
from pathlib import Path

from size import File

ROOT = Path(__file__).parent.parent
# The hour of load is tests/clients/soak.py, which .ci/nightly runs.
ELSEWHERE = {80}
NUMBERED = re.compile(r"fault_(\d{2,3})_(\w+)")


def documented() -> set[int]:
    return {int(number) for number in re.findall(r"^(\d+)\. ", (ROOT / "docs/faults.md").read_text(), re.MULTILINE)}


def functions() -> dict[str, list[tuple[Path, set[str]]]]:
    """Every function of src and tests: where it is, and the words of its body."""
    found: dict[str, list[tuple[Path, set[str]]]] = {}
    for path in sorted([*ROOT.glob("tests/*/**/*.rs"), *ROOT.glob("src/**/*.rs")]):
        file = File(path, with_tests=True)
        for name, words in file.bodies:
            found.setdefault(name, []).append((path.relative_to(ROOT), words))
    return found


def asserting(found: dict[str, list[tuple[Path, set[str]]]]) -> set[str]:
    """The names of functions that assert, by themselves or by what they call."""
    names: set[str] = set()
    while True:
        more = {
            name
            for name, bodies in found.items()
            if any(word.startswith("assert") or word in names for _, words in bodies for word in words - {name})
        }
        if more == names:
            return names
        names = more


def main() -> int:
    found = functions()
    asserts = asserting(found)
    tests: dict[int, list[tuple[str, Path, bool]]] = {}
    for name, bodies in found.items():
        if match := NUMBERED.fullmatch(name):
            for path, _ in bodies:
                tests.setdefault(int(match[1]), []).append((match[2].replace("_", " "), path, name in asserts))
    required = documented() - ELSEWHERE
    empty = 0
    for number in sorted(required | set(tests)):
        for at, (sentence, path, holds) in enumerate(tests.get(number, [("MISSING", Path(), True)])):
            empty += not holds
            print(f"{number if at == 0 else '':>3}  {sentence} ({path}){'' if holds else ' ASSERTS NOTHING'}")
    missing = len(required - set(tests)) + len(set(tests) - required) + empty
    print(f"{len(required & set(tests))} passed, {missing} failed")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
