"""The panels of docs/grafana.json from samples of a real run, as one SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _COLUMNS = 330, 170, 3
_COLOURS = ("#7eb26d", "#eab839", "#e24d42", "#6ed0e0")


class Panel(NamedTuple):
    """Some lines over time; `unit` stands behind the largest value."""

    title: str
    unit: str
    lines: Mapping[str, Sequence[float]]


def svg(panels: Sequence[Panel]) -> str:
    """All panels, three in a row."""
    rows = -(-len(panels) // _COLUMNS)
    drawn = "\n".join(
        f'<g transform="translate({number % _COLUMNS * _WIDTH},{number // _COLUMNS * _HEIGHT})">{_panel(panel)}</g>'
        for number, panel in enumerate(panels)
    )
    size = f'width="{_COLUMNS * _WIDTH}" height="{rows * _HEIGHT}"'
    style = 'font-family="sans-serif" font-size="11" fill="#ccccdc"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n'
        f'<rect width="100%" height="100%" fill="#111217"/>\n{drawn}\n</svg>\n'
    )


def _panel(panel: Panel) -> str:
    left, top, width, height = 14, 34, _WIDTH - 28, _HEIGHT - 74
    highest = max([1e-9, *(value for line in panel.lines.values() for value in line)])
    parts = [
        f'<rect x="4" y="4" width="{_WIDTH - 8}" height="{_HEIGHT - 8}" rx="3" fill="#181b1f"/>',
        f'<text x="{left}" y="22" font-weight="bold">{escape(panel.title)}</text>',
        f'<text x="{left + width}" y="22" text-anchor="end" fill="#8e8e99">max {highest:.3g}{panel.unit}</text>',
    ]
    for number, (name, values) in enumerate(panel.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        step = width / max(1, len(values) - 1)
        points = " ".join(
            f"{left + index * step:.1f},{top + height * (1 - value / highest):.1f}"
            for index, value in enumerate(values)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{left + number * 100}" y="{_HEIGHT - 18}" fill="{colour}">{escape(name)}</text>')
    return "".join(parts)
