"""The daemon with a clock around the functions that a request passes, for breakdown.py: FILE ARGUMENT..."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from vdsm_hookd import daemon, decision, document, server, wire

TRACED = (
    (server._Connection, "receive"),
    (wire.CallReader, "read"),
    (decision, "decide"),
    (document.Memory, "parse"),
    (document.Memory, "serialise"),
    (server._Connection, "reply"),
    (server._Connection, "drop"),
)


def main() -> int:
    file, *arguments = sys.argv[1:]
    events: list[tuple[str, int]] = []
    for owner, name in TRACED:
        _trace(owner, name, events)
    status = daemon.main(arguments)
    Path(file).write_text(json.dumps(events))
    return status


def _trace(owner: Any, name: str, events: list[tuple[str, int]]) -> None:
    traced = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        events.append((f"{name} begins", time.monotonic_ns()))
        result = traced(*arguments, **named)
        events.append((f"{name} ends", time.monotonic_ns()))
        return result

    setattr(owner, name, call)


if __name__ == "__main__":
    sys.exit(main())
