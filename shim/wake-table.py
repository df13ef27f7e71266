#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Print which properties wake which hook, as the wake table that is compiled into wake.c.

The hooks are parsed, not imported: building the shim must need no library that a hook uses.
"""

import ast
import pathlib
import re
import sys
from collections.abc import Iterator

PROPERTIES_MAX = 63  # of the 64 variables in a request one is vmId


class BadHook(Exception):
    """A declaration that can't be read without running it."""

    def __init__(self, path: pathlib.Path, line: int, what: str) -> None:
        super().__init__(f"{path}:{line}: {what}")


def declarations(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = getattr(function, "id", None) or getattr(function, "attr", None)
            if name == "Hook":
                yield node


def literal(path: pathlib.Path, call: ast.Call, keyword: str) -> object:
    for given in call.keywords:
        if given.arg == keyword:
            try:
                return ast.literal_eval(given.value)
            except ValueError:
                raise BadHook(path, given.value.lineno, f"{keyword} is not a literal") from None
    raise BadHook(path, call.lineno, f"Hook(...) without {keyword}=")


def wake(path: pathlib.Path, call: ast.Call) -> tuple[str, tuple[str, ...]]:
    name = literal(path, call, "name")
    properties = literal(path, call, "properties")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise BadHook(path, call.lineno, f"name={name!r} is not a hook's name")
    if not isinstance(properties, tuple) or len(properties) > PROPERTIES_MAX:
        raise BadHook(path, call.lineno, f"properties is not a tuple of up to {PROPERTIES_MAX}")
    for each in properties:
        if not isinstance(each, str) or not re.fullmatch(r"[A-Za-z0-9_]+", each):
            raise BadHook(path, call.lineno, f"{each!r} is not a property's name")
    if "vmId" in properties or len(set(properties)) < len(properties):
        raise BadHook(path, call.lineno, "a property stands there twice, or is vmId")
    return name, properties


def table(paths: list[pathlib.Path]) -> dict[str, tuple[str, ...]]:
    rows: dict[str, tuple[str, ...]] = {}
    for path in paths:
        if path.name == "__init__.py":
            continue
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except SyntaxError as error:
            raise BadHook(path, error.lineno or 0, f"is not Python: {error.msg}") from None
        for call in declarations(tree):
            name, properties = wake(path, call)
            if name in rows:
                raise BadHook(path, call.lineno, f"there is another hook {name!r}")
            rows[name] = properties
    return rows


def main() -> int:
    try:
        rows = table([pathlib.Path(argument) for argument in sys.argv[1:]])
    except (BadHook, OSError) as error:
        print(f"wake-table: {error}", file=sys.stderr)
        return 1
    print("// made by wake-table.py from the files in hooks/")
    for name in sorted(rows):
        print('"{}\\n"'.format(" ".join([name, "*", *(rows[name] or "*")])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
