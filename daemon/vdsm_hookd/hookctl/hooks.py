"""hookctl hooks: which hooks serve which events on which properties, and what vdsm really runs on this host."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vdsm_hookd import cli, client, hook_directories, render
from vdsm_hookd.finding import Finding
from vdsm_hookd.hook_directories import Program
from vdsm_hookd.hookctl import configuration
from vdsm_hookd.hookctl.answer import ask, finding_lines, show, woken_by


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to look; the configuration counts where no daemon answers."""
    configuration.add_option(parser)
    add_directories(parser)


def add_directories(parser: argparse.ArgumentParser) -> None:
    """Where the host's hooks are."""
    parser.add_argument(
        "--directories",
        metavar="DIR",
        type=os.path.abspath,
        default=hook_directories.DIRECTORIES,
        help="vdsm's hook directories (default: %(default)s)",
    )
    parser.add_argument(
        "--shim",
        metavar="FILE",
        type=os.path.abspath,
        default=hook_directories.SHIM,
        help="what the links lead to (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns 1 when the host has a finding, 69 when no daemon answered, whatever else was found."""
    hooks, is_running = _hooks(arguments)
    events = {hook["name"]: hook["events"] for hook in hooks}
    programs, findings = hook_directories.inspect(events, arguments.directories, arguments.shim)
    result = {
        "source": "daemon" if is_running else "configuration",
        "hooks": hooks,
        "programs": [{**program._asdict(), "hook": program.hook} for program in programs],
        "findings": [finding._asdict() for finding in findings],
    }
    show(arguments, result, lambda: "\n\n".join(filter(None, _parts(arguments, hooks, programs, findings))))
    if not is_running:
        return cli.EX_UNAVAILABLE
    return cli.FINDING if findings else cli.OK


def _hooks(arguments: argparse.Namespace) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """What the daemon serves, or what it would, and whether it does."""
    try:
        return ask(arguments, "hooks"), True
    except client.Unreachable as error:
        print(f"hookctl: no daemon answers on {error}; the hooks are those of {arguments.config}", file=sys.stderr)
        return configuration.load(arguments)[1].hooks(), False


def _parts(
    arguments: argparse.Namespace,
    hooks: Sequence[Mapping[str, Any]],
    programs: Sequence[Program],
    findings: Sequence[Finding],
) -> Sequence[str]:
    legend = not arguments.no_legend
    served = [(hook["name"], woken_by(hook), " ".join(hook["events"])) for hook in hooks]
    run = [(program.event, program.name, _what(program)) for program in programs]
    return (
        render.table(("HOOK", "WOKEN BY", "EVENTS"), served, legend),
        render.table(("EVENT", "VDSM RUNS", "WHICH IS"), run, legend) if run else "",
        finding_lines(findings),
    )


def _what(program: Program) -> str:
    what = {"shim": "vdsm-hookd", "link": f"a link to {program.target}", "script": "another program"}
    return what.get(program.kind, "no file") + ("" if program.runs else ", not run")
