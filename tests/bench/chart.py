"""SVG pictures for README and docs/performance.md: plain bars, readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.bench.figure import Time

_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #57606a } .name, .value { fill: #24292f }
rect { fill: #8c959f } .own { fill: #2da44e } line { stroke: #d0d7de }
@media (prefers-color-scheme: dark) { text { fill: #9198a1 } .name, .value { fill: #f0f6fc } line { stroke: #3d444d } }
</style>"""
_LEFT, _WIDTH, _ROW = 240, 520, 26


def times(shown: Sequence[Time]) -> str:
    """Bars of wall times on a logarithmic scale; the shim's own are coloured."""
    ordered = sorted(shown, key=lambda time: time.median)
    low, high = 100.0, 10 ** math.ceil(math.log10(max(time.median for time in ordered)))

    def at(microseconds: float) -> float:
        return _LEFT + _WIDTH * math.log10(max(microseconds, low) / low) / math.log10(high / low)

    bottom = 34 + _ROW * len(ordered)
    parts = [_head(bottom + 26, "Wall time of one run, median, logarithmic scale")]
    tick = low
    while tick <= high:
        parts.append(f'<line x1="{at(tick):.0f}" x2="{at(tick):.0f}" y1="28" y2="{bottom}"/>')
        parts.append(f'<text x="{at(tick):.0f}" y="{bottom + 18}" text-anchor="middle">{_duration(tick)}</text>')
        tick *= 10
    for row, time in enumerate(ordered):
        own = ' class="own"' if time.name.startswith("hook-shim") else ""
        parts += _bar(row, time.name, _LEFT, at(time.median), _duration(time.median), own)
    return "\n".join([*parts, "</svg>\n"])


def stages(shown: Sequence[Time], own: Sequence[str]) -> str:
    """One after the other, as they follow in time: each bar begins where the one before ends."""
    total = sum(time.median for time in shown)
    parts, begin = [_head(44 + _ROW * len(shown), f"One request, {_duration(total)}, medians")], float(_LEFT)
    for row, time in enumerate(shown):
        end = begin + _WIDTH * time.median / total
        parts += _bar(row, time.name, begin, end, _duration(time.median), ' class="own"' if time.name in own else "")
        begin = end
    return "\n".join([*parts, "</svg>\n"])


def _head(height: int, title: str) -> str:
    size = f'viewBox="0 0 {_LEFT + _WIDTH + 80} {height}" width="{_LEFT + _WIDTH + 80}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{_STYLE}\n<text x="{_LEFT}" y="18">{escape(title)}</text>'


def _bar(row: int, name: str, begin: float, end: float, value: str, own: str) -> list[str]:
    y = 32 + _ROW * row
    return [
        f'<text class="name" x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
        f'<rect{own} x="{begin:.1f}" y="{y}" width="{max(end - begin, 1):.1f}" height="{_ROW - 6}" rx="2"/>',
        f'<text class="value" x="{end + 6:.1f}" y="{y + 15}">{value}</text>',
    ]


def _duration(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.0f} µs" if microseconds >= 10 else f"{microseconds:.1f} µs"
    return f"{microseconds / 1000:.3g} ms"
