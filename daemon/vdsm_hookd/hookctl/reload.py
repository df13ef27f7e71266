"""hookctl reload: read the configuration again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from vdsm_hookd import cli
from vdsm_hookd.hookctl.answer import ask, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or raises client.Refused where the old configuration stays."""
    result: Mapping[str, Any] = ask(arguments, "reload")
    show(arguments, result, lambda: f"reloaded from {', '.join(result['files']) or 'the defaults'}")
    return cli.OK
