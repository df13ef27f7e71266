"""hookctl audit: are running vNICs where they were declared to be."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from vdsm_hookd import cli, render
from vdsm_hookd.hookctl.answer import ask, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Returns 1 on drift, or raises client.Refused where libvirt does not answer."""
    found: Mapping[str, Any] = ask(arguments, "audit")
    colour = render.colour_wanted()
    lines = [render.paint(drift["text"], "bad", colour) for drift in found["drifts"]]
    looked = f"{found['domains']} running VMs with {found['vnics']} vNICs, {len(lines)} of them drifted"
    show(arguments, found, lambda: "\n".join([*lines, *([] if arguments.no_legend else [looked])]))
    return cli.FINDING if lines else cli.OK
