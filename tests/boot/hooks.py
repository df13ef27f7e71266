"""One hook of an installed host, run as vdsm runs it. Also a program: inside the machine it does the running."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.boot.machine import ROOT, Machine
from tests.vdsm import run_hooks

HOOKS = Path("/usr/libexec/vdsm/hooks")
CREATE = "before_device_create"
INTERFACE = (ROOT / "tests" / "samples" / "interface.xml").read_text()
EXTNET = {"extnet": "glitter"}


@dataclass(frozen=True)
class Hooked:
    """What vdsm is left with, and what it was before."""

    before: str
    xml: str
    returncodes: Mapping[str, int]
    stderr: str
    seconds: float

    @property
    def code(self) -> str:
        """Of the refusal, or nothing."""
        return self.stderr.split(": ")[1] if self.stderr else ""

    @property
    def network(self) -> str:
        """That the document names, or nothing."""
        found = re.search(r'<source network="([^"]+)"', self.xml)
        return found[1] if found else ""

    @property
    def unchanged(self) -> bool:
        return self.xml == self.before


def run_hook(
    machine: Machine,
    event: str = CREATE,
    document: str = INTERFACE,
    properties: Mapping[str, str] = EXTNET,
    user: str = "vdsm",
) -> Hooked:
    """Run all hooks of the event in there."""
    question = json.dumps([event, document, properties, user])
    process = machine.start_module("tests.boot.hooks")
    output, _ = process.communicate(question, timeout=60)
    return Hooked(document, **json.loads(output))


def _run_here(event: str, document: str, properties: Mapping[str, str], user: str) -> None:
    run = run_hooks(HOOKS, event, document, properties, user=user, env={"PATH": "/usr/bin:/bin"})
    seconds = max(run.durations.values(), default=0.0)
    answer = {"xml": run.xml, "returncodes": run.returncodes, "stderr": run.stderr, "seconds": seconds}
    print(json.dumps(answer))


if __name__ == "__main__":
    _run_here(*json.load(sys.stdin))
