"""hookctl networks: the libvirt networks that the daemon knows."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from vdsm_hookd import cli, render
from vdsm_hookd.hookctl.answer import ask, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which network."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="show this one whole")


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or raises client.Refused where there is no such network."""
    details = {"name": arguments.name} if arguments.name is not None else {}
    networks: list[Mapping[str, Any]] = ask(arguments, "networks", look=True, **details)
    show(
        arguments,
        networks,
        lambda: _one_network(networks[0]) if arguments.name is not None else _network_table(networks, arguments),
    )
    return cli.OK


def _network_table(networks: Sequence[Mapping[str, Any]], arguments: argparse.Namespace) -> str:
    rows = [
        (
            network["name"],
            "active" if network["active"] else "inactive",
            network["kind"],
            network["bridge"] or "-",
            _present(network),
            " ".join(portgroup["name"] for portgroup in network["portgroups"]) or "-",
            "-" if network["vnics"] is None else str(network["vnics"]),
            str(network["rewrites"]),
        )
        for network in networks
    ]
    legend = ("NAME", "STATE", "KIND", "BRIDGE", "PRESENT", "PORTGROUPS", "VNICS", "REWRITES")
    return render.table(legend, rows, not arguments.no_legend)


def _present(network: Mapping[str, Any]) -> str:
    """Whether the host has the bridge: libvirt calls a network active though somebody deleted it."""
    if network["bridge_present"] is None:
        return "-"
    return "yes" if network["bridge_present"] else render.paint("no", "bad", render.colour_wanted())


def _users(network: Mapping[str, Any]) -> list[tuple[str, str]]:
    if network["users"] is None:
        return [("vNICs", "unknown: the running domains could not be read")]
    users = [("Used by", f"{user['vm_name']} {user['mac']}") for user in network["users"]]
    return [("vNICs", str(network["vnics"])), *users]


def _one_network(network: Mapping[str, Any]) -> str:
    def said(value: bool) -> str:
        return "yes" if value else "no"

    groups = [f"{group['name']}{' (default)' if group['default'] else ''}" for group in network["portgroups"]]
    return render.facts(
        [
            ("Name", network["name"]),
            ("UUID", network["uuid"]),
            ("Active", said(network["active"])),
            ("Persistent", said(network["persistent"])),
            ("Autostart", said(network["autostart"])),
            ("Kind", network["kind"]),
            ("Forward", network["forward"]),
            ("Bridge", network["bridge"] or "-"),
            ("Bridge present", _present(network)),
            ("Virtualport", network["virtualport"] or "-"),
            ("Portgroups", ", ".join(groups) or "-"),
            ("Rewrites", f"{network['rewrites']} since the start of the daemon"),
            *_users(network),
        ]
    )
