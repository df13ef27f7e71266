"""hookctl replay: a request of the history, decided again as of today."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from vdsm_hookd import cli, render
from vdsm_hookd.hookctl.answer import ask, show

_SHOWN = (("Outcome", "outcome"), ("Rule", "rule"), ("Network", "network"), ("Reason", "message"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which request."""
    parser.add_argument("id", metavar="ID", type=int, help="the number that hookctl history shows")


def run(arguments: argparse.Namespace) -> int:
    """Returns 1 when today's decision differs, or raises client.Refused where there is nothing to replay."""
    result: dict[str, Any] = ask(arguments, "replay", id=arguments.id)
    documents = [result["document"], result["then"]["document"], result["now"]["document"]]
    before, then, now = (xml.decode("utf-8", "backslashreplace") for xml in documents)
    result["document"], result["then"]["document"], result["now"]["document"] = before, then, now
    show(arguments, result, lambda: _text(result, before, then, now))
    return cli.FINDING if result["differs"] else cli.OK


def _text(result: Mapping[str, Any], before: str, then: str, now: str) -> str:
    record, differs = result["record"], result["differs"]
    pairs = [
        ("Decision", f"{record['id']} of {render.moment(record['at'])}"),
        ("Request", f"{record['event']} {record['hook']}{_of(record)}"),
        *(("Property", f"{name}={value}") for name, value in record["properties"].items()),
    ]
    for label, key in _SHOWN:
        if key in differs:
            pairs += [(f"{label} then", result["then"][key] or "-"), (f"{label} now", result["now"][key] or "-")]
        elif result["now"][key]:
            pairs.append((label, result["now"][key]))
    pairs += [("Note", note) for note in result["now"]["notes"]]
    pairs.append(("Differs", ", ".join(differs) or "nothing"))
    names = ("then", "now") if "document" in differs else ("before", "after")
    changes = render.diff(then, now, names) if "document" in differs else render.diff(before, now, names)
    return render.facts(pairs) + (f"\n{changes}" if changes else "")


def _of(record: Mapping[str, Any]) -> str:
    who = record["vm_name"] or record["vm_id"]
    return (f", VM {who}" if who else "") + (f", MAC {record['mac']}" if record["mac"] else "")
