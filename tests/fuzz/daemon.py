"""atheris' targets: the daemon's decoders and the decision core, on bytes that a fuzzer makes.

    python -m tests.fuzz.daemon calls|questions|decisions [libFuzzer's options] [CORPUS...]

A `decisions` input is text: the hook, the event and NAME=VALUE, a line each, an empty line, and the document.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import atheris

with atheris.instrument_imports(include=["vdsm_hookd"]):
    from lxml import etree

    from tests import documents
    from vdsm_hookd import registry, wire
    from vdsm_hookd.decision import Decision, Request, decide
    from vdsm_hookd.host import Host
    from vdsm_hookd.ini import DEFAULT, Entry
    from vdsm_hookd.policy import Policy, Rule

    HOOKS = registry.find(Entry("hooks", "enabled", "", DEFAULT))  # it imports them

REFUSALS = {
    *("bad-property", "bad-xml", "network-missing", "portgroup-missing", "option-not-allowed", "unknown-hook"),
    *("unsupported-event", "unsupported-interface", "not-permitted", "bad-request"),
}
NETWORKS = documents.view(documents.network("glitter"), documents.network("ovs-net"), documents.network("wifi-nat"))
NOWHERE = Host(Path("/nonexistent"), Path("/nonexistent"))
GOOD = wire.frame([1, "event", "hook", {"name": b"value"}, b"<a/>"])[4:]
READER = wire.CallReader()
POLICY = Policy([Rule(hook, hook.options(), f"hook {hook.name}") for hook in HOOKS.values()])


def calls(data: bytes) -> None:
    """What is no hook call is a BadMessage, and the reader reads the next one all the same."""
    try:
        request = READER.read(data)
    except wire.BadMessage as error:
        wire.hook_refusal(error)
    else:
        assert len(request.environment) <= wire.MAX_VARIABLES
        assert all(isinstance(value, bytes) for value in request.environment.values())
        check(request, decide(request, POLICY, NETWORKS, NOWHERE))
    assert READER.read(GOOD).environment == {"name": b"value"}


def questions(data: bytes) -> None:
    """The same of an operator's question."""
    try:
        question = wire.read_question(data)
    except wire.BadMessage as error:
        wire.control_refusal(error)
    else:
        assert isinstance(question.verb, str)
        assert all(isinstance(name, str) for name in question.arguments)


def decisions(data: bytes) -> None:
    """Right, or refused."""
    head, _, document = data.partition(b"\n\n")
    hook, event, *variables = head.decode("latin-1").split("\n") if b"\n" in head else ("extnet", "")
    environment: Mapping[str, bytes] = {
        name: value.encode("latin-1") for name, _, value in (each.partition("=") for each in variables)
    }
    request = Request(event, hook, environment, document)
    check(request, decide(request, POLICY, NETWORKS, NOWHERE))


def check(request: Request, made: Decision) -> None:
    """What holds for every decision, whoever asks for it."""
    if made.error is not None:
        raise made.error
    assert wire.hook_reply(made)
    assert all(note.isprintable() for note in made.notes), made.notes
    if made.outcome == "refused":
        assert made.code in REFUSALS, made
        assert made.message.isprintable(), made.message
        assert made.document == b""
        return
    assert made.outcome in ("unchanged", "rewritten")
    assert (made.outcome == "rewritten") == bool(made.document)
    if made.document:
        etree.fromstring(made.document)
    if request.hook == "extnet" and "extnet" in request.environment and request.event == "before_device_create":
        (interface,) = etree.fromstring(made.document or request.document).iter("interface")
        (source,) = interface.iterchildren("source")
        assert source.get("network") == request.environment["extnet"].decode().strip(" \t").partition("/")[0]
        assert source.get("bridge") is None


TARGETS: Mapping[str, Callable[[bytes], Any]] = {"calls": calls, "questions": questions, "decisions": decisions}


def main() -> None:
    """Fuzz one target until an option says that it is enough. Does not return."""
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
