"""hookctl policy: the rules in force, in their order."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from vdsm_hookd import cli, render
from vdsm_hookd.hookctl.answer import ask, show, woken_by


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Returns 0."""
    rules: list[Mapping[str, Any]] = ask(arguments, "policy")
    rows = [
        (str(number), rule["hook"], woken_by(rule), " ".join(rule["events"]), rule["source"])
        for number, rule in enumerate(rules, start=1)
    ]
    legend = ("", "HOOK", "WOKEN BY", "EVENTS", "RULE")
    show(arguments, rules, lambda: render.table(legend, rows, not arguments.no_legend))
    return cli.OK
