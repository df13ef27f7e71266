"""A document and custom properties from the command line, and what the daemon, or the configuration, makes of them."""

from __future__ import annotations

import argparse
import os
from typing import Any

from vdsm_hookd import client
from vdsm_hookd.hookctl import configuration
from vdsm_hookd.hookctl.answer import ask


def add_arguments(parser: argparse.ArgumentParser, needed: bool) -> None:
    """What vdsm would hand to a hook; `needed` says whether there has to be a document."""
    parser.add_argument("--event", metavar="EVENT", required=needed, help="such as before_device_create")
    parser.add_argument("--hook", metavar="HOOK", help="one hook (default: all that serve the event, in order)")
    parser.add_argument("--prop", metavar="NAME=VALUE", action="append", default=[], help="a custom property")
    parser.add_argument(
        "--against",
        choices=("daemon", "configuration"),
        default="daemon",
        help="what the daemon has in force (the default), or what the files say now, with libvirt's networks of now",
    )
    configuration.add_option(parser)
    parser.add_argument("file", metavar="FILE", nargs=None if needed else "?", help="the XML, or - for standard input")


def rehearse(arguments: argparse.Namespace, xml: bytes) -> list[dict[str, Any]]:
    """The decisions about a document, hook after hook. Raises client.Refused for a bad property or configuration."""
    environment = {}
    for given in arguments.prop:
        name, equals, value = given.partition("=")
        if not equals or not name:
            raise client.Refused("usage", f"--prop takes NAME=VALUE, not {given!r}")
        environment[name] = os.fsencode(value)
    if arguments.against == "configuration":
        return _rehearse_here(arguments, environment, xml)
    details = {"hook": arguments.hook} if arguments.hook else {}
    decisions: list[dict[str, Any]] = ask(
        arguments, "explain", event=arguments.event, environment=environment, document=xml, **details
    )
    return decisions


def _rehearse_here(arguments: argparse.Namespace, environment: dict[str, bytes], xml: bytes) -> list[dict[str, Any]]:
    """What the daemon would answer after a restart: by the same core, from the same files and libvirt."""
    from vdsm_hookd import network_list, rehearsal
    from vdsm_hookd.decision import Request

    config, policy = configuration.load(arguments)
    view = network_list.read(config.libvirt.uri)
    request = Request(arguments.event, arguments.hook or "", environment, xml)
    return rehearsal.rehearse(request, policy, view)
