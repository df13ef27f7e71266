"""What the verbs share: the question to the daemon, and its answer on standard output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from vdsm_hookd import client, render
from vdsm_hookd.finding import Finding


def ask(arguments: argparse.Namespace, verb: str, *, patience: float = 5.0, **details: Any) -> Any:
    """The daemon's answer; for people every text in it is one harmless line. Raises as client.ask."""
    result = client.ask(arguments.socket, verb, details, patience)
    return result if arguments.json else _harmless(result)


def _harmless(result: Any) -> Any:
    if isinstance(result, str):
        return render.safe(result)
    if isinstance(result, dict):
        return {_harmless(key): _harmless(value) for key, value in result.items()}
    return list(map(_harmless, result)) if isinstance(result, list) else result


def show(arguments: argparse.Namespace, result: Any, text: Callable[[], str]) -> None:
    """Print the result itself as JSON, or the text for people."""
    print(json.dumps(result, indent=2, ensure_ascii=False) if arguments.json else text())


def read_file(file: str) -> bytes:
    """A file, or standard input for a dash. Raises client.Refused."""
    try:
        if file == "-":
            return sys.stdin.buffer.read()
        with open(file, "rb") as opened:
            return opened.read()
    except OSError as error:
        raise client.Refused("bad-request", f"{file}: {error.strerror}") from None


def woken_by(rule: Mapping[str, Any]) -> str:
    """What wakes a rule or a hook, for a table."""
    return "every request" if rule["always"] else " ".join(rule["properties"]) or "-"


def finding_lines(findings: Iterable[Finding]) -> str:
    """One harmless line each, with the code in a colour on a terminal."""
    colour = render.colour_wanted()
    codes = [(render.paint(finding.code, "bad", colour), finding) for finding in findings]
    return "\n".join(f"{code}{render.safe(str(finding)[len(finding.code) :])}" for code, finding in codes)
