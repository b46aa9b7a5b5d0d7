"""Counts the lines of the product and of its unit tests, and the lengths of files and functions. Fails above the limits,
and if something has a name that only this project would understand.

Items under `#[cfg(test)]` are found by reading the tokens of each file, so a test is counted as a test
wherever it stands, and a module is followed into its file.
"""

import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<comment>//[^\n]*)|(?P<block>/\*)
    |(?P<raw>(?:br|cr|r)(?P<hashes>\#*)")|(?P<string>[bc]?"(?:\\.|[^"\\])*")
    |(?P<char>b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\\n])')|(?P<word>'?[A-Za-z_]\w*|\d[\w.]*)|(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
OPEN, CLOSE = "([{", ")]}"
# Limits: lines of the product, lines of tests inside src, lines of a file, lines of a function, the median function,
# and the least share of comments in percent.
PRODUCT, TESTS, FILE, FUNCTION, MEDIAN, COMMENTS = 36_745, 8_010, 400, 60, 10, 14
# Words that were names here and told a reader of hyper, tower or nginx nothing.
PRIVATE_WORDS = set(
    """keyring Ring proof Proof renewals Hope lockout Pass Verdict Flight take_off land Meter Tally Series Observed Reply
    Exchange Round Mended loops presence pulse Heart beat Desk Door passed Terms Gone End Ended Writing Sending spare blocks
    visible is_as of of_process errand crowd occupancy cork speaks drive begun Session Sessions Alone Shared Way Carrier Usage
    Choice Offer distrust retire judge Judge said Said Usual bounds lack posture Feed Supply Need Issued keeper keep wiped
    described mood drawing known judgement reading respelt PATIENCE LONGEST PAUSE""".split()
)


def tokens(text):
    """The tokens of a file without space and comments: (text, line of its begin, line of its end)."""
    found, at, line = [], 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        kind, end = match.lastgroup, match.end()
        if match["block"]:
            depth, kind = 1, "block"
            while depth:
                mark = re.compile(r"/\*|\*/").search(text, end)
                depth += 1 if mark.group() == "/*" else -1
                end = mark.end()
        elif match["raw"] is not None:
            kind = "raw"
            end = text.index('"' + match["hashes"], end) + 1 + len(match["hashes"])
        piece = text[at:end]
        if kind not in ("space", "comment", "block"):
            found.append((piece, line, line + piece.count("\n")))
        line += piece.count("\n")
        at = end
    return found


def closing(found, at):
    """The index of the bracket that closes the one at `at`."""
    depth = 0
    for index in range(at, len(found)):
        depth += (found[index][0] in OPEN) - (found[index][0] in CLOSE)
        if depth == 0:
            return index
    raise SystemExit("a bracket is never closed")


def item_end(found, at):
    """The index of the last token of the item that begins at `at`."""
    index = at
    while found[index][0] not in (";", "{"):
        index = closing(found, index) + 1 if found[index][0] in "([" else index + 1
        if found[index - 1][0] == "," or (found[index][0] in CLOSE):
            return index - 1  # a field or a variant
    if found[index][0] == ";":
        return index
    end = closing(found, index)
    follows = found[end + 1][0] if end + 1 < len(found) else ""
    return item_end(found, end + 1) if follows in (".", "=", "else") else end


class File:
    """One source file: its lines, those of its tests, and the modules that are tests."""

    def __init__(self, path, with_tests=False):
        self.path = path
        self.with_tests = with_tests
        self.lines = path.read_text().splitlines()
        self.found = tokens(path.read_text())
        self.test_lines, self.test_modules, self.modules, self.functions = set(), [], [], []
        self.bodies, self.names = [], []
        self.read()

    def read(self):
        at, words = 0, [token[0] for token in self.found]
        while at < len(words):
            if words[at : at + 2] == ["#", "["] or words[at : at + 3] == ["#", "!", "["]:
                bracket = at + words[at:].index("[")
                end = closing(self.found, bracket)
                if not self.with_tests and words[bracket + 1 : bracket + 5] == ["cfg", "(", "test", ")"]:
                    at = self.skip_test(at, end + 1, words)
                    continue
                at = end + 1
                continue
            if words[at] == "mod" and words[at + 2 : at + 3] == [";"]:
                self.modules.append(words[at + 1])
            if words[at] in ("fn", "struct", "enum", "trait", "mod", "type", "const", "static"):
                self.names.append((words[at + 1], self.found[at][1]))
            if words[at] == "struct":
                self.fields(at, words)
            if words[at] == "fn" and at + 2 < len(words) and words[at + 2] in "(<":
                self.function(at)
            at += 1

    def skip_test(self, start, at, words):
        while words[at] == "#":
            at = closing(self.found, at + 1) + 1
        end = item_end(self.found, at)
        for line in range(self.found[start][1], self.found[end][2] + 1):
            self.test_lines.add(line)
        if "mod" in words[at:end][:5] and words[end] == ";":
            self.test_modules.append(words[end - 1])
        return end + 1

    def fields(self, at, words):
        while words[at] not in ("{", ";"):
            at = closing(self.found, at) + 1 if words[at] == "(" else at + 1
        if words[at] == ";":
            return
        for index in range(at + 1, closing(self.found, at)):
            if words[index + 1] == ":" and words[index + 2] != ":" and words[index - 1] != ":":
                self.names.append((words[index], self.found[index][1]))

    def function(self, at):
        index = at + 2
        while self.found[index][0] not in (";", "{"):
            index = closing(self.found, index) + 1 if self.found[index][0] in "([" else index + 1
        if self.found[index][0] == "{":
            end = closing(self.found, index)
            self.bodies.append((self.found[at + 1][0], {token[0] for token in self.found[index:end]}))
            self.functions.append((self.found[end][2] - self.found[at][1] + 1, self.found[at + 1][0], self.found[at][1]))

    def child(self, name):
        folder = self.path.parent
        if self.path.name not in ("mod.rs", "lib.rs", "main.rs"):
            folder = folder / self.path.stem
        options = [folder / f"{name}.rs", folder / name / "mod.rs"]
        return next((option for option in options if option.exists()), None)


def read_all():
    files = {path: File(path) for path in sorted((ROOT / "src").rglob("*.rs"))}
    if (ROOT / "build.rs").exists():
        files[ROOT / "build.rs"] = File(ROOT / "build.rs")
    tests, waiting = set(), []
    for file in files.values():
        waiting += [file.child(name) for name in file.test_modules]
    while waiting:
        path = waiting.pop()
        if path is None or path in tests:
            continue
        tests.add(path)
        waiting += [files[path].child(name) for name in files[path].modules]
    return files, tests


def room(path):
    parts = path.relative_to(ROOT).parts
    return parts[1] if len(parts) > 1 else parts[0]


def main():
    files, tests = read_all()
    rooms, functions, comments, long_files = {}, [], 0, []
    for path, file in files.items():
        inside = len(file.lines) if path in tests else len(file.test_lines)
        product = len(file.lines) - inside
        count = rooms.setdefault(room(path), [0, 0])
        count[0] += product
        count[1] += inside
        if len(file.lines) > 300:
            long_files.append((len(file.lines), path.relative_to(ROOT)))
        if path in tests:
            continue
        functions += [(length, name, f"{path.relative_to(ROOT)}:{line}") for length, name, line in file.functions]
        comments += sum(
            line.lstrip().startswith("//") for number, line in enumerate(file.lines, 1) if number not in file.test_lines
        )
    product, inside = (sum(count[index] for count in rooms.values()) for index in (0, 1))
    print(f"{'':16}{'product':>8}{'tests':>8}")
    for name, count in sorted(rooms.items()):
        print(f"{name:16}{count[0]:8}{count[1]:8}")
    print(f"{'together':16}{product:8}{inside:8}")
    lengths = sorted(length for length, _, _ in functions)
    share, median = 100 * comments / product, statistics.median(lengths)
    print(f"comments {share:.1f} %, functions: median {median:g} lines, longest {lengths[-1]}")
    for length, name, place in sorted(functions, reverse=True):
        if length > 40:
            print(f"  function of {length} lines: {name} {place}")
    for length, path in sorted(long_files, reverse=True):
        print(f"  file of {length} lines: {path}")
    private = [
        f"{path.relative_to(ROOT)}:{line}: {name}" for path, file in files.items() for name, line in file.names if name in PRIVATE_WORDS
    ]
    for place in private:
        print(f"  private word {place}")
    checks = [
        (product <= PRODUCT, f"at most {PRODUCT} lines of product"),
        (inside <= TESTS, f"at most {TESTS} lines of tests in src"),
        (share >= COMMENTS, f"at least {COMMENTS} % comments"),
        (median <= MEDIAN, f"a median function of at most {MEDIAN} lines"),
        (lengths[-1] <= FUNCTION, f"functions of at most {FUNCTION} lines"),
        (all(length <= FILE for length, _ in long_files), f"files of at most {FILE} lines"),
        (not private, "no private words"),
    ]
    for holds, what in checks:
        if not holds:
            print(f"FAILED {what}")
    return all(holds for holds, _ in checks)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
