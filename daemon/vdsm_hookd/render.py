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


def paint(text: str, colour: str, wanted: bool) -> str:
    """The text in a colour that means something: good or bad."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if wanted else text


def table(legend: Sequence[str], rows: Sequence[Sequence[str]], show_legend: bool) -> str:
    """Columns as wide as their widest cell, two blanks between them."""
    lines = [legend, *rows] if show_legend else list(rows)
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(legend))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names on the left, aligned to their colons as systemctl does, what they are on the right."""
    width = max(len(name) for name, _text in pairs)
    return "\n".join(f"{name.rjust(width)}: {text}" for name, text in pairs)


def moment(seconds: float | None) -> str:
    """A time as people on the host read their clocks."""
    return "never" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
