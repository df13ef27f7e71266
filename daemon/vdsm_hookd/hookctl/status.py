"""hookctl status: one screen that says how the daemon is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from vdsm_hookd import cli, render
from vdsm_hookd.hookctl.answer import ask, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Returns 1 when the daemon is degraded."""
    status: Mapping[str, Any] = ask(arguments, "status")
    show(arguments, status, lambda: _status_text(status))
    return cli.FINDING if status["degraded"] else cli.OK


def _status_text(status: Mapping[str, Any]) -> str:
    colour = render.colour_wanted()
    libvirt, networks, requests = status["libvirt"], status["networks"], status["requests"]
    loaded, latency = status["configuration"], status["latency"]
    state = (
        render.paint(f"degraded: {status['degraded']}", "bad", colour)
        if status["degraded"]
        else render.paint("good", "good", colour)
    )
    link = "connected" if libvirt["connected"] else render.paint("out of reach", "bad", colour)
    version = libvirt["version"] and f"{libvirt['version']} at "  # none before it was reached
    served = f"{sum(requests.values())} served: " + ", ".join(f"{n} {outcome}" for outcome, n in requests.items())
    pairs = [
        ("vdsm-hookd", f"{status['version']}, pid {status['pid']}, up since {render.moment(status['started_at'])}"),
        ("State", state),
        ("Sockets", ", ".join(status["sockets"].values())),
        ("libvirt", f"{version}{libvirt['uri']}, {link} since {render.moment(libvirt['since'])}"),
        ("Networks", f"{networks['active']} active, {networks['inactive']} inactive"),
        ("Networks read", render.moment(libvirt["synced_at"])),
        ("Hooks", " ".join(status["hooks"])),
        ("Configuration", f"{', '.join(loaded['files']) or 'defaults'}, loaded {render.moment(loaded['loaded_at'])}"),
        ("Requests", served),
        ("Answered in", f"p50 {render.span(latency['p50'])}, p99 {render.span(latency['p99'])}"),
        ("Audit", _audit(status["audit"], colour)),
    ]
    if lost := status["log"]["lost"]:
        pairs.append(("Log", render.paint(f"{lost} entries lost: the journal did not take them", "bad", colour)))
    if refusal := status["last_refusal"]:
        text = f"{render.moment(refusal['at'])} {refusal['event']}: {refusal['hook']}: {refusal['message']}"
        pairs.append(("Last refusal", text))
    return render.facts(pairs)


def _audit(audit: Mapping[str, Any], colour: bool) -> str:
    when = f"every {audit['every']:g} s" if audit["every"] else "on request"
    if audit["failure"]:
        return f"{when}: {audit['failure']}"
    if audit["at"] is None:
        return f"{when}, not yet done"
    drifts = render.paint(f"{audit['drifts']} drift", "bad", colour) if audit["drifts"] else "no drift"
    return f"{when}, {drifts} at {render.moment(audit['at'])}"
