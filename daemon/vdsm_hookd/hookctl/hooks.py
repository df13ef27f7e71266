"""hookctl hooks: which hooks serve which events on which properties."""

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
    hooks: list[Mapping[str, Any]] = ask(arguments, "hooks")
    rows = [(hook["name"], woken_by(hook), " ".join(hook["events"])) for hook in hooks]
    show(arguments, hooks, lambda: render.table(("HOOK", "WOKEN BY", "EVENTS"), rows, not arguments.no_legend))
    return cli.OK
