"""Counts the lines of the product and of its unit tests, and the lengths of files and functions.

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

    def __init__(self, path):
        self.path = path
        self.lines = path.read_text().splitlines()
        self.found = tokens(path.read_text())
        self.test_lines, self.test_modules, self.modules, self.functions = set(), [], [], []
        self.read()

    def read(self):
        at, words = 0, [token[0] for token in self.found]
        while at < len(words):
            if words[at : at + 2] == ["#", "["] or words[at : at + 3] == ["#", "!", "["]:
                bracket = at + words[at:].index("[")
                end = closing(self.found, bracket)
                if words[bracket + 1 : bracket + 5] == ["cfg", "(", "test", ")"]:
                    at = self.skip_test(at, end + 1, words)
                    continue
                at = end + 1
                continue
            if words[at] == "mod" and words[at + 2 : at + 3] == [";"]:
                self.modules.append(words[at + 1])
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

    def function(self, at):
        index = at + 2
        while self.found[index][0] not in (";", "{"):
            index = closing(self.found, index) + 1 if self.found[index][0] in "([" else index + 1
        if self.found[index][0] == "{":
            end = closing(self.found, index)
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
    print(f"comments {100 * comments // product} %, functions: median {statistics.median(lengths):g}, longest {lengths[-1]}")
    for length, name, place in sorted(functions, reverse=True):
        if length > 40:
            print(f"  function of {length} lines: {name} {place}")
    for length, path in sorted(long_files, reverse=True):
        print(f"  file of {length} lines: {path}")
    return product, inside, lengths, long_files


if __name__ == "__main__":
    main()
    sys.exit(0)
