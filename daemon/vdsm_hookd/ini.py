"""INI files that remember where each value stands.

configparser forgets line numbers, and every error and every value that this daemon shows names its file and line. The
dialect is configparser's without its surprises: `[section]`, `key = value`, a line that starts with a blank continues
the value above, a line that starts with `#` or `;` is a comment; no interpolation, no defaults section, no inline
comments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Origin(NamedTuple):
    """Where a value stands; line 0 means a built-in default, without a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


DEFAULT = Origin("default", 0)


@dataclass(frozen=True)
class Entry:
    """One `key = value` of one section; the section's own line is an entry with an empty key."""

    section: str
    key: str
    value: str
    origin: Origin


class Problem(NamedTuple):
    """One thing that is wrong with a configuration, and where."""

    origin: Origin
    reason: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}"


class ConfigError(Exception):
    """A configuration that can't be used. Carries every problem that was found, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


def parse(text: str, file: str) -> Iterator[Entry]:
    """Yield the entries of one file in the order in which they stand there.

    Raises ConfigError at the first line that is no INI.
    """
    section = ""
    open_entry: tuple[str, list[str], Origin] | None = None

    def finished() -> Iterator[Entry]:
        if open_entry is not None:
            key, lines, origin = open_entry
            yield Entry(section, key, "\n".join(lines).strip(), origin)

    for number, line in enumerate(text.split("\n"), start=1):
        origin = Origin(file, number)
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if line[0] in " \t" and open_entry is not None:
            open_entry[1].append(stripped)
            continue
        yield from finished()
        open_entry = None
        if stripped[0] == "[":
            if stripped[-1] != "]" or not stripped[1:-1].strip():
                raise ConfigError([Problem(origin, f"a section must look like [name], not {stripped!r}")])
            section = " ".join(stripped[1:-1].split())
            yield Entry(section, "", "", origin)
            continue
        key, equals, value = stripped.partition("=")
        key = " ".join(key.split())
        if not equals or not key:
            raise ConfigError([Problem(origin, f"neither a [section] nor `key = value`: {stripped!r}")])
        if not section:
            raise ConfigError([Problem(origin, f"{key!r} stands before the first [section]")])
        open_entry = (key, [value.strip()], origin)
    yield from finished()
