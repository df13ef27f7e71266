"""Untrusted text in the lines that people read, and in the commands that they paste."""

from __future__ import annotations

import re

MAX_QUOTED = 64
"""Characters of an untrusted value that a message shows."""
MAX_OPERAND = 260
"""Characters of an operand that has a stand-in: two of them fit into a remedy (wire.MAX_REMEDY)."""
_HARMLESS = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_WORD = re.compile(r"[\w@%+=:./-]+", re.ASCII)  # means the same to a shell without quotes


def quote(value: str | bytes) -> str:
    """An untrusted value for a one-line message: quoted, printable ASCII as it is, all else escaped, cut when long."""
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
    else:
        text = value
    shown = text[:MAX_QUOTED].encode("unicode_escape").decode("ascii").replace("'", "\\'")
    return f"'{shown}'" + ("..." if len(text) > MAX_QUOTED else "")


def plain(value: str) -> str:
    """An identifier for a one-line message: as it is where that is harmless, quoted where it is not."""
    return value if _HARMLESS.fullmatch(value) else quote(value)


def operand(value: str, stand_in: str = "") -> str:
    """A name as an operand of a command that an operator may paste into a shell: it arrives there as it is, and does
    nothing else.

    Printable ASCII in any POSIX shell; what is not is written as $'...', which bash, zsh and POSIX.1-2024 know.
    `stand_in`, if given, takes the place of one that is longer than MAX_OPERAND.
    """
    if _WORD.fullmatch(value):
        word = value
    elif value.isascii() and value.isprintable():
        word = "'{}'".format(value.replace("'", "'\\''"))
    else:
        raw = value.encode("utf-8", "surrogateescape")  # a file's name need not be UTF-8
        # Three octal digits are three, whatever follows.
        word = "".join(chr(byte) if 0x20 <= byte < 0x7F and byte not in b"'\\" else f"\\{byte:03o}" for byte in raw)
        word = f"$'{word}'"
    if value.startswith("-"):  # or it would be read as an option
        word = f"-- {word}"
    return stand_in if stand_in and len(word) > MAX_OPERAND else word
