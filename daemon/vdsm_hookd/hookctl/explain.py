"""hookctl explain: what would happen to a document, and why."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from vdsm_hookd import cli, client, render
from vdsm_hookd.hookctl import configuration, rehearsal
from vdsm_hookd.hookctl.answer import read_file, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The call to rehearse."""
    rehearsal.add_arguments(parser, needed=True)


def run(arguments: argparse.Namespace) -> int:
    """Returns 1 when the document is refused. Raises client.Refused for what can't be rehearsed."""
    if arguments.against == "daemon" and arguments.config != configuration.DEFAULT_FILE:
        raise client.Refused("usage", "--config needs --against configuration: the daemon has read its own")
    xml = read_file(arguments.file)
    decisions = rehearsal.rehearse(arguments, xml)
    texts, before = [], xml
    for made in decisions:
        after = made["document"]
        texts.append(_explanation(made) + _diff(before, after))
        before = after
        made["document"] = after.decode("utf-8", "backslashreplace")
    show(arguments, decisions, lambda: "\n\n".join(texts) or f"no enabled hook serves {arguments.event}")
    return cli.FINDING if any(made["outcome"] == "refused" for made in decisions) else cli.OK


def _explanation(made: Mapping[str, Any]) -> str:
    pairs = [("Hook", made["hook"]), ("Outcome", made["outcome"])]
    pairs += [("Rule", made["rule"])] if made["rule"] else []
    pairs += [("Reason", made["message"])] if made["message"] else []
    return render.facts(pairs + [("Note", note) for note in made["notes"]])


def _diff(before: bytes, after: bytes) -> str:
    old, new = (xml.decode("utf-8", "backslashreplace") for xml in (before, after))
    changes = render.diff(old, new)
    return f"\n{changes}" if changes else ""
