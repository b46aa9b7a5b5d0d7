"""Counts what held and what did not, and runs commands."""

import subprocess
from collections.abc import Sequence

PATIENCE = 120


class Checks:
    def __init__(self, what: str) -> None:
        self.what = what
        self.passed = 0
        self.failed = 0

    def check(self, holds: bool, what: str, more: str = "") -> bool:
        self.passed += holds
        self.failed += not holds
        print(f"{'ok' if holds else 'FAILED'}  {what}" + ("" if holds or not more else f": {more}"), flush=True)
        return holds

    def equal(self, found: object, expected: object, what: str) -> bool:
        return self.check(found == expected, what, f"{found!r} and not {expected!r}")

    def succeeds(self, command: Sequence[str], what: str, **more) -> str:
        """Its standard output, if the command ends with 0."""
        ended = run(command, **more)
        self.check(ended.returncode == 0, what, f"exit code {ended.returncode}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
        return ended.stdout

    def close(self) -> int:
        """Says how it went; the exit code."""
        print(f"{self.what}: {self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def run(command: Sequence[str], **more) -> subprocess.CompletedProcess:
    """Runs a command to its end, and keeps what it said."""
    more = {"timeout": PATIENCE, **more}
    return subprocess.run(list(command), text=True, stdin=subprocess.DEVNULL, capture_output=True, **more)


def output(command: Sequence[str], **more) -> str:
    """What a command said, which has to succeed."""
    ended = run(command, **more)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ended.returncode}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return ended.stdout
