"""What the benchmark prints: figures, the bars that they have to keep, and absolute times beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One row of the table: a value and the bar that it has to keep. `seen` is what it was made of, for people."""

    name: str
    value: float
    bar: float
    seen: str
    at_least: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    @property
    def cells(self) -> tuple[str, ...]:
        """The row in text."""
        sign = "≥" if self.at_least else "≤"
        bar = f"{sign} {self.bar:g}{self.unit}"
        return self.name, f"{self.value:.2f}{self.unit}", bar, "met" if self.met else "MISSED", self.seen


@dataclass(frozen=True)
class Time:
    """The median wall time of a program, in µs: what the chart shows."""

    name: str
    median: float


def table(figures: Iterable[Figure]) -> str:
    """The rows as Markdown, which a terminal shows as well as a page."""
    rows = [("figure", "value", "bar", "", "measured"), *(figure.cells for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
