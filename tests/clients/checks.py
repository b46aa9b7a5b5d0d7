"""Counts what held and what did not."""


class Checks:
    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def check(self, holds: object, what: str) -> bool:
        self.passed += bool(holds)
        self.failed += not holds
        if not holds:
            print(f"FAILED {what}", flush=True)
        return bool(holds)
