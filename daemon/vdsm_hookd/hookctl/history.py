"""hookctl history: the last decisions, and those that come."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from vdsm_hookd import cli, client, render
from vdsm_hookd.hookctl.answer import ask, show

_WAIT = 20.0
"""Seconds that one question waits for a decision."""
_AGAIN = 1.0
_LEGEND = ("ID", "TIME", "EVENT", "VM", "MAC", "HOOK", "PROPERTIES", "OUTCOME", "CODE", "TOOK", "RULE")
_WIDTHS = (4, 19, 20, 8, 17, 6, 14, 9, 15, 7)
_LONGEST = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which decisions."""
    parser.add_argument("-n", metavar="N", type=_number, help="the last N (default: all; with --follow: 10)")
    parser.add_argument("--follow", "-f", action="store_true", help="go on with those that come, until interrupted")
    parser.add_argument("--vm", metavar="ID", help="of this VM only: its uuid or its name")


def run(arguments: argparse.Namespace) -> int:
    """Returns 0; with --follow when it is interrupted."""
    details = {"vm": arguments.vm} if arguments.vm is not None else {}
    last = 10 if arguments.n is None and arguments.follow else arguments.n
    answer = ask(arguments, "history", **details, **({"last": last} if last is not None else {}))
    if not arguments.follow:
        rows = list(map(_row, answer["records"]))
        show(arguments, answer["records"], lambda: render.table(_LEGEND, rows, not arguments.no_legend))
        return cli.OK
    try:
        _print(arguments, answer["records"], legend=not arguments.no_legend)
        while True:
            answer = _ask_patiently(arguments, answer, details)
            _print(arguments, answer["records"], legend=False)
    except KeyboardInterrupt:
        return cli.OK


def _ask_patiently(
    arguments: argparse.Namespace, before: Mapping[str, Any], details: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What came after the answer before, across a restart of the daemon."""
    position = {"after": before["last"], "run": before["run"], "wait": _WAIT}
    gone = False
    while True:
        try:
            answer: Mapping[str, Any] = ask(arguments, "history", patience=_WAIT + 10, **position, **details)
            return answer
        except client.Unreachable as error:
            if not gone:
                print(f"hookctl: waiting for the daemon: {error}", file=sys.stderr)
            gone = True
            time.sleep(_AGAIN)


def _print(arguments: argparse.Namespace, records: Sequence[Mapping[str, Any]], legend: bool) -> None:
    if arguments.json:
        text = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    else:
        text = render.table(_LEGEND, list(map(_row, records)), legend, _WIDTHS)
    if text:
        print(text, flush=True)


def _row(record: Mapping[str, Any]) -> Sequence[str]:
    outcome = record["outcome"]
    if outcome == "refused":
        outcome = render.paint(outcome, "bad", render.colour_wanted())
    properties = " ".join(f"{name}={value}" for name, value in record["properties"].items())
    return (
        str(record["id"]),
        render.moment(record["at"]),
        record["event"],
        record["vm_name"] or record["vm_id"][:8] or "-",
        record["mac"] or "-",
        record["hook"],
        _cut(properties) or "-",
        outcome,
        record["code"] or "-",
        render.span(record["seconds"]),
        record["rule"] or "-",
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)
