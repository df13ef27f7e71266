"""Metrics as text: OpenMetrics, and the older text format of Prometheus, which node_exporter and promtool read.

The two differ in where a counter's `_total` belongs, in `info`, which the older one does not have, and in the end mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """One value of a family. `suffix` is what its name has beyond the family's, such as `_bucket`."""

    suffix: str
    labels: Mapping[str, str]
    value: float


class Family(NamedTuple):
    """A metric: its name (of a counter without `_total`), its type in OpenMetrics' words, and its samples."""

    name: str
    type: str
    help: str
    samples: Sequence[Sample]


def openmetrics(families: Iterable[Family]) -> str:
    """The exposition in OpenMetrics 1.0."""
    lines = []
    for family in families:
        lines += _head(family.name, family.type, family.help)
        lines += [_sample(family.name, sample) for sample in family.samples]
    return "\n".join([*lines, "# EOF", ""])


def prometheus(families: Iterable[Family]) -> str:
    """The exposition in Prometheus' text format, version 0.0.4."""
    lines = []
    for family in families:
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        lines += _head(name, "gauge" if family.type == "info" else family.type, family.help)
        lines += [_sample(family.name, sample) for sample in family.samples]
    return "\n".join([*lines, ""])


def _head(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _sample(name: str, sample: Sample) -> str:
    labels = ",".join(f'{label}="{_escaped(value)}"' for label, value in sample.labels.items())
    return f"{name}{sample.suffix}{'{' + labels + '}' if labels else ''} {_number(sample.value)}"


def _escaped(value: str) -> str:
    """A label's value: what the formats escape, and nothing that could end a line for another reader."""
    value = "".join(char if char.isprintable() else "?" for char in value)
    return value.replace("\\", r"\\").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
