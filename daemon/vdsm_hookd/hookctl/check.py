"""hookctl check: is the configuration good, and what does it make of a document."""

from __future__ import annotations

import argparse

from vdsm_hookd import cli, client, config, document, registry, schema
from vdsm_hookd.hookctl import rehearsal
from vdsm_hookd.hookctl.answer import read_file, show
from vdsm_hookd.ini import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which configuration, and the call to rehearse with it."""
    parser.add_argument(
        "--config", metavar="FILE", default=config.DEFAULT_FILE, help="the configuration (default: %(default)s)"
    )
    rehearsal.add_arguments(parser, needed=False)


def run(arguments: argparse.Namespace) -> int:
    """Returns 1 for a document that is refused or made worse, 65 for a bad configuration."""
    try:
        _config, policy = registry.configure(arguments.config)
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
        show(arguments, {"problems": problems}, lambda: "\n".join(problems))
        return cli.EX_DATAERR
    if arguments.file is None:
        result = {"problems": [], "rules": len(policy.rules)}
        show(arguments, result, lambda: f"{arguments.config}: good, {len(policy.rules)} rules")
        return cli.OK
    if arguments.event is None:
        raise client.Refused("usage", "a FILE needs --event")
    xml = read_file(arguments.file)
    decisions = rehearsal.rehearse(arguments, xml)
    refused = [f"{made['hook']}: {made['message']}" for made in decisions if made["outcome"] == "refused"]
    try:
        problems = refused + schema.broken(xml, decisions[-1]["document"] if decisions else xml)
    except document.BadDocument as error:
        raise client.Refused("bad-request", f"{arguments.file}: {error}") from None
    except (FileNotFoundError, LookupError) as error:
        raise client.Refused("no-schema", str(error)) from None
    fine = "the rewritten document is as good for libvirt's schema as it was"
    show(arguments, {"problems": problems}, lambda: "\n".join(problems) or fine)
    return cli.FINDING if problems else cli.OK
