"""Typed options: a section of the configuration is a frozen dataclass whose fields are made by `option`."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Callable, TypeVar

from vdsm_hookd.ini import DEFAULT, ConfigError, Entry, Problem

T = TypeVar("T")
Section = TypeVar("Section")
NO_TABLES: Mapping[str, Iterable[Entry]] = MappingProxyType({})


def option(default: str, parse: Callable[[str], T], doc: str) -> T:
    """Declare one option: the default as it would stand in the file, its parser, and one line for people.

    The parser raises ValueError with a reason that can stand behind `key = value: `.
    """
    metadata = {"parse": parse, "default": default, "doc": doc}
    field: T = dataclasses.field(default=parse(default), metadata=metadata)
    return field


def table(section: str, parse: Callable[[str, str], T], doc: str) -> Mapping[str, T]:
    """Declare a section of its own whose keys are the operator's; `parse` gets key and value, and raises as
    `option`'s."""
    metadata = {"table": section, "parse": parse, "doc": doc}
    field: Mapping[str, T] = dataclasses.field(default_factory=lambda: MappingProxyType({}), metadata=metadata)
    return field


def tables(section: type) -> dict[str, str]:
    """The sections that a dataclass of options has through `table`, and in which field each ends up."""
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(section)
    return {field.metadata["table"]: field.name for field in fields if "table" in field.metadata}


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """The section of a hook that has nothing to set."""


def read_section(
    section: type[Section], entries: Mapping[str, Entry], table_entries: Mapping[str, Iterable[Entry]] = NO_TABLES
) -> Section:
    """Build one section from its entries by key, and from those of its tables by section name.

    Raises ConfigError with every unknown key and every bad value.
    """
    fields = {field.name: field for field in dataclasses.fields(section)}  # type: ignore[arg-type]
    options = {name: field for name, field in fields.items() if "table" not in field.metadata}
    problems: list[Problem] = []
    values: dict[str, Any] = {}

    def parsed(entry: Entry, parse: Callable[..., Any], *arguments: str) -> Any:
        try:
            return parse(*arguments)
        except Exception as error:  # a package's parser can raise anything
            reason = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            problems.append(Problem(entry.origin, f"[{entry.section}] {entry.key} = {entry.value}: {reason}"))

    for key, entry in entries.items():
        if key in options:
            values[key] = parsed(entry, options[key].metadata["parse"], entry.value)
        else:
            known = ", ".join(options) or "none"
            problems.append(Problem(entry.origin, f"[{entry.section}] has no option {key!r} (it has: {known})"))
    for name, field_name in tables(section).items():
        parse = fields[field_name].metadata["parse"]
        read = {entry.key: parsed(entry, parse, entry.key, entry.value) for entry in table_entries.get(name, ())}
        values[field_name] = MappingProxyType(read)
    if problems:
        raise ConfigError(problems)
    return section(**values)


def defaults(name: str, section: type) -> dict[str, Entry]:
    """The entries that a section has when no file says anything."""
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(section)
    return {
        field.name: Entry(name, field.name, field.metadata["default"], DEFAULT)
        for field in fields
        if "default" in field.metadata
    }


def optional_text(value: str) -> str:
    """Any line of printable text, also the empty one."""
    if not value.isprintable():
        raise ValueError("must be one line without control characters")
    return value


def text(value: str) -> str:
    """Any line of printable text but the empty one."""
    if not value:
        raise ValueError("must not be empty")
    return optional_text(value)


def duration(value: str) -> float:
    """A time such as `10s`, `80ms`, `5min`; a bare number means seconds. More than 0, at most a day. In seconds."""
    units = {"ms": 0.001, "": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0}
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|)", value)
    if not match:
        raise ValueError("must be a time such as 10s, 80ms or 5min")
    seconds = float(match[1]) * units[match[2]]
    if not 0 < seconds <= 86400:
        raise ValueError("must be more than 0 and at most 24h")
    return seconds


def short_duration(value: str) -> float:
    """A `duration` of at most 20s: the shim waits 30 s for an answer, at most."""
    seconds = duration(value)
    if seconds > 20:
        raise ValueError("must be at most 20s, for the shim does not wait longer than 30 s")
    return seconds


def interval(value: str) -> float:
    """A `duration`, or `off`, which is 0."""
    return 0.0 if value == "off" else duration(value)


def size(value: str) -> int:
    """An amount of memory such as `16MiB` or `512KiB`, in bytes; at least 64 KiB, at most 1 GiB."""
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    match = re.fullmatch(r"(\d{1,7})\s*(KiB|MiB|GiB)", value, re.ASCII)
    if not match:
        raise ValueError("must be an amount such as 16MiB or 512KiB")
    amount = int(match[1]) * units[match[2]]
    if not 64 << 10 <= amount <= 1 << 30:
        raise ValueError("must be at least 64KiB and at most 1GiB")
    return amount


def count(value: str) -> int:
    """How many there may be: 1 to 100000."""
    if not re.fullmatch(r"\d{1,6}", value, re.ASCII) or not 1 <= int(value) <= 100_000:
        raise ValueError("must be a number from 1 to 100000")
    return int(value)


def choice(*allowed: str) -> Callable[[str], str]:
    """One of the given words."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value

    return parse


def words(value: str) -> tuple[str, ...]:
    """A list separated by blanks, commas or line ends."""
    return tuple(word for word in re.split(r"[\s,]+", value) if word)


@dataclasses.dataclass(frozen=True)
class Globs:
    """Shell patterns that are matched case-sensitively against a whole name."""

    patterns: tuple[str, ...]
    _regex: re.Pattern[str] | None = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Most lists are `*` or names, on the path of each request: those need no regular expression.
        union = "|".join(fnmatch.translate(pattern) for pattern in self.patterns if set(pattern) & set("*?["))
        try:
            object.__setattr__(self, "_regex", re.compile(union) if union else None)
        except re.error as error:  # before Python 3.10 fnmatch passes [z-a] on
            raise ValueError(f"holds a pattern that can't be used: {error}") from None

    def match(self, name: str) -> bool:
        if name in self.patterns or "*" in self.patterns:
            return True
        return self._regex is not None and self._regex.match(name) is not None

    def __str__(self) -> str:
        return " ".join(self.patterns)


def globs(value: str) -> Globs:
    """A list of names and shell patterns, separated by blanks or commas."""
    return Globs(words(value))
