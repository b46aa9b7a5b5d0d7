"""Runs the demo, and every command line that it prints, as it is.

    python demo.py PATH-OF-APIG-PROXY
"""

import json
import subprocess
import sys


def run() -> tuple[int, int]:
    """How many command lines there were, with the end of the demo as one more, and how many failed."""
    demo = subprocess.Popen([sys.argv[1], "demo"], stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in demo.stdout:
            if line.startswith("  ") and "curl " in line:
                lines.append(line.strip())
            if "Ctrl-C" in line:
                break
        answers = [subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=60) for line in lines]
    finally:
        demo.terminate()
        code = demo.wait(timeout=30)
    failed = 0
    expected = [("auth", "aksk"), ("auth", "aksk"), ("error_code", "APIG.0301")]
    for line, answer, (key, value) in zip(lines, answers, expected, strict=True):
        holds = json.loads(answer.stdout or "{}").get(key) == value
        failed += not holds
        print(f"{'ok    ' if holds else 'FAILED'} {line}")
        if not holds:
            print(answer.stdout, answer.stderr)
    return len(lines) + 1, failed + (code != 0)


def main() -> int:
    count, failed = run()
    print(f"{count - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
