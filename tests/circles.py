"""Fails if modules of src use each other in a circle, other than parent and child. Tests are left out."""

import re
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
USE = re.compile(r"\buse\s+((?:crate|super|self)\b[^;]*);|\b((?:crate|super)(?:::\w+)+)")


def modules():
    """Each module, as the tuple of its names, and its file."""
    found = {}
    for file in SOURCE.rglob("*.rs"):
        *folders, name = file.relative_to(SOURCE).with_suffix("").parts
        if name != "tests" and "tests" not in folders:
            found[(*folders, name) if name not in ("mod", "lib", "main") else tuple(folders)] = file
    return found


def paths(tree):
    """The paths of a use tree: `a::{b, c::d}` has `a::b` and `a::c::d`."""
    prefix, brace, inner = re.sub(r"\s+|\bas\b\s*\w+", "", tree).partition("{")
    if not brace:
        yield prefix
        return
    depth, item = 0, ""
    for char in inner.removesuffix("}") + ",":
        if char == "," and depth == 0:
            if item:
                yield from paths(prefix + item)
            item = ""
            continue
        depth += (char == "{") - (char == "}")
        item += char


def resolve(path, module, known):
    """The module that a path leads to."""
    at, names = list(module), path.split("::")
    if names[0] == "crate":
        at, names = [], names[1:]
    while names and names[0] in ("super", "self"):
        at = at[:-1] if names[0] == "super" else at
        names = names[1:]
    for name in names:
        if (*at, name) not in known:
            break
        at.append(name)
    return tuple(at)


def is_family(one, other):
    return one[: len(other)] == other or other[: len(one)] == one


def main():
    known = modules()
    used = {}
    for module, file in known.items():
        code = re.split(r"#\[cfg\(test\)\]\s*mod \w+ \{", file.read_text())[0]
        trees = [tree or path for tree, path in USE.findall(code)]
        targets = {resolve(path, module, known) for tree in trees for path in paths(tree)}
        used[module] = {target for target in targets if not is_family(target, module)}

    def reached(start):
        seen, rest = set(), list(used[start])
        while rest:
            module = rest.pop()
            if module not in seen:
                seen.add(module)
                rest.extend(used[module])
        return seen

    reachable = {module: reached(module) for module in known}
    circles = {frozenset(other for other in reachable[module] if module in reachable[other]) for module in known}
    circles.discard(frozenset())
    for circle in circles:
        print("FAILED these use each other:", ", ".join(sorted("/".join(module) for module in circle)))
    return not circles and len(known) > 100


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
