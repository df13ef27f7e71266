"""A command in a terminal, as a picture: what it prints on a real pty, colours and all, as SVG."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

WIDTH = 160
"""Characters of a line; longer ones are folded as a terminal does."""
_CHARACTER, _LINE, _MARGIN = 7.2, 17, 14
_COLOURS = {"31": "#ff7b72", "32": "#7ee787", "0": "#e6edf3"}
_ESCAPE = re.compile(r"\x1b\[(\d+)m")


def run(command: Sequence[str]) -> str:
    """What the command prints on a terminal, standard error included."""
    ours, its = pty.openpty()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its, stderr=its) as process:
        os.close(its)
        printed = b""
        try:
            while chunk := os.read(ours, 65536):
                printed += chunk
        except OSError:  # what Linux says when the other end is closed
            pass
        process.wait()
    os.close(ours)
    return printed.decode().replace("\r\n", "\n")


def svg(commands: Sequence[tuple[str, str]]) -> str:
    """A picture of commands, each with what it printed."""
    lines: list[str] = []
    for command, printed in commands:
        lines += [_span("#8b949e", f"$ {command}"), *_lines(printed)]
    width, height = WIDTH * _CHARACTER + 2 * _MARGIN, len(lines) * _LINE + 2 * _MARGIN
    rows = [
        f'<text x="{_MARGIN}" y="{_MARGIN + 12 + number * _LINE}">{line}</text>' for number, line in enumerate(lines)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" xml:space="preserve"'
        ' font-family="monospace" font-size="12">\n'
        '<style>text{white-space:pre}</style><rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n'
        + "\n".join(rows)
        + "\n</svg>\n"
    )


def _lines(printed: str) -> Iterator[str]:
    colour = "0"
    for line in printed.rstrip("\n").split("\n"):
        spans, room = [], WIDTH
        for number, part in enumerate(_ESCAPE.split(line)):
            if number % 2:
                colour = part
                continue
            while part:
                spans.append(_span(_COLOURS[colour], part[:room]))
                part, room = part[room:], room - len(part[:room])
                if part:
                    yield "".join(spans)
                    spans, room = [], WIDTH
        yield "".join(spans)


def _span(colour: str, text: str) -> str:
    return f'<tspan fill="{colour}">{escape(text)}</tspan>'
