"""How many instructions and allocations a request takes, compared with what it took when that was recorded.

    python tests/bench/instructions.py                 measures, and fails when something is more than 3 % above
    python tests/bench/instructions.py --record        measures, and writes instructions.json
    python tests/bench/instructions.py --where FOLDER  leaves profiles there, for callgrind_annotate to show
                                                       which lines the instructions are in

Counted by Valgrind, so that neither the speed of the machine nor what else it does matters, in a build with the
settings of the static binary, but without PGO, whose profile differs from one training to the next. What does matter is recorded too: the compiler, Valgrind, the C library
and what the processor can do. If one of them is another, the numbers are only shown and nothing fails.

Valgrind has no SHA instructions to offer, so that hashing takes many times what it takes elsewhere. It is
counted by itself for that reason.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

RECORD = Path(__file__).with_suffix(".json")
ROOT = Path(__file__).parents[2]
KINDS = ("get", "post")
FEW, MANY = 200, 1200
TOLERANCE = 0.03
HASHING = re.compile(r"sha256|sha2::")
ALLOCATORS = ("malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc")


def build(profile: str) -> str:
    """Builds the program that sends requests; its path."""
    command = ["deploy/cargo-static.sh", "bench", "--locked", "--profile", profile, "--bench", "instructions", "--no-run", "--message-format=json"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    messages = [json.loads(line) for line in output.splitlines()]
    return next(message["executable"] for message in messages
                if message["reason"] == "compiler-artifact" and message["target"]["name"] == "instructions")


@dataclass
class Costs:
    """What requests took."""

    instructions: int = 0
    instructions_of_hashing: int = 0
    allocations: int = 0


def profile(program: str, kind: str, count: int, file: Path) -> None:
    """Leaves in a file where the instructions of so many requests are."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={file}", program, kind, str(count)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")


def costs(program: str, kind: str, count: int) -> Costs:
    """What so many requests take, with the start."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "callgrind.out"
        profile(program, kind, count, file)
        return read(file.read_text())


def read(text: str) -> Costs:
    """Adds up a profile of Callgrind's: of each function the costs of its lines, and how often it calls others."""
    found = Costs()
    names: dict[str, str] = {}
    function, called, is_call = "", "", False
    for line in text.splitlines():
        if match := re.match(r"(c?)fn=(\(\d+\))(?: (.*))?", line):
            name = names.setdefault(match[2], match[3] or "")
            function, called = (function, name) if match[1] else (name, called)
        elif line.startswith("calls="):
            if called in ALLOCATORS and function not in ALLOCATORS:
                found.allocations += int(line[6:].split()[0])
            is_call = True
        elif re.match(r"[+\-*\d]", line):
            # The line after a call has the costs of what was called, which are counted there.
            cost = 0 if is_call else int(line.split()[1])
            if HASHING.search(function):
                found.instructions_of_hashing += cost
            else:
                found.instructions += cost
            is_call = False
    return found


def measure(program: str, kind: str) -> dict[str, float]:
    """What one request of this kind takes: what many take more than few, so that the start does not count."""
    few, many = (asdict(costs(program, kind, count)) for count in (FEW, MANY))
    # Now and then something takes one allocation more, so their part after the point says nothing.
    return {what: round((many[what] - few[what]) / (MANY - FEW)) for what in many}


def conditions() -> dict[str, str]:
    """What the numbers depend on beside the program."""
    def version(program: str) -> str:
        return subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()

    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    vectors = "avx2" if flags and "avx2" in flags[1].split() else "no avx2"
    return {
        "rustc": version("rustc"),
        "valgrind": version("valgrind"),
        "libc": " ".join(platform.libc_ver()),
        "machine": f"{platform.machine()}, {vectors}",
    }


def compare(measured: dict, recorded: dict) -> list[str]:
    """Shows all that was measured; what of it is more than it was."""
    more = []
    for kind in KINDS:
        for what, count in measured[kind].items():
            before = recorded[kind][what]
            change = count / before - 1 if before else float(count > 0)
            print(f"{kind:4} {what:23} {count:>8} per request, {before:>8} recorded, {change:+.2%}")
            if change > TOLERANCE:
                more.append(f"{kind}: {what} rose by {change:.1%}")
            elif change < -TOLERANCE:
                print(f"     that is {-change:.1%} less; record it with --record, so that it stays so")
    return more


def check(measured: dict) -> int:
    """Compares with the record; the exit code."""
    recorded = json.loads(RECORD.read_text())
    more = compare(measured, recorded)
    others = [name for name in conditions() if measured[name] != recorded.get(name)]
    for name in others:
        print(f"{name} is {measured[name]}, and was {recorded.get(name)} when the numbers were recorded")
    if others:
        print("so they cannot be compared, and nothing fails; record them anew with --record")
        return 0
    for what in more:
        print(f"FAILED {what}, more than {TOLERANCE:.0%}; make it less, or say in the commit why it is worth it and record it with --record")
    return 1 if more else 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--where", type=Path)
    options = parser.parse_args()
    if options.where:
        program = build("profiling")
        options.where.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            profile(program, kind, MANY, options.where / f"callgrind.out.{kind}")
        return 0
    program = build("bench")
    measured = {**conditions(), **{kind: measure(program, kind) for kind in KINDS}}
    if options.record:
        RECORD.write_text(json.dumps(measured, indent=2) + "\n")
        print(RECORD.read_text(), end="")
        return 0
    return check(measured)


if __name__ == "__main__":
    sys.exit(main())
