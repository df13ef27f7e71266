"""What people see: aligned tables and facts, colour only on a terminal that wants it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

_COLOURS = {"good": "32", "bad": "31"}


def colour_wanted() -> bool:
    """Colour is for terminals, and not where NO_COLOR says no (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class Painted(str):
    """A text with colour around it; `plain` is what it shows."""

    plain: str


def paint(text: str, colour: str, wanted: bool) -> str:
    """The text in a colour that means something: good or bad."""
    if not wanted:
        return text
    painted = Painted(f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m")
    painted.plain = text
    return painted


def safe(text: str) -> str:
    """A text that is nothing but text to a terminal, and one line: names and properties are users'."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def table(legend: Sequence[str], rows: Sequence[Sequence[str]], show_legend: bool, widths: Sequence[int] = ()) -> str:
    """Columns as wide as their widest cell, or as `widths` where that is more, two blanks between them."""
    lines = [legend, *rows] if show_legend else list(rows)
    if not lines:
        return ""
    least = [*widths, *[0] * (len(legend) - len(widths))]
    widths = [max(least[column], *(_width(line[column]) for line in lines)) for column in range(len(legend))]
    return "\n".join("  ".join(map(_padded, line, widths)).rstrip() for line in lines)


def _width(cell: str) -> int:
    return len(cell.plain if isinstance(cell, Painted) else cell)


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names on the left, aligned to their colons as systemctl does, what they are on the right."""
    width = max(len(name) for name, _text in pairs)
    return "\n".join(f"{name.rjust(width)}: {text}" for name, text in pairs)


def diff(before: str, after: str, names: tuple[str, str] = ("before", "after")) -> str:
    """A unified diff; empty where there is none."""
    import difflib

    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, n=2, lineterm="")
    return "\n".join(safe(line.replace("\t", "    ")) for line in lines)


def span(seconds: float | None) -> str:
    """A duration of a request."""
    if seconds is None:
        return "-"
    return f"{seconds * 1e6:.0f} µs" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"


def moment(seconds: float | None) -> str:
    """A time as people on the host read their clocks."""
    return "never" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
