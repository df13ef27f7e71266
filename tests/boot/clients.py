"""Hooks that run in a machine while a test does something to the daemon."""

from __future__ import annotations

import json

from tests.boot.machine import Machine

CLIENTS = 8


class Clients:
    """Eight clients that run extnet all the time, inside the block; afterwards what they saw."""

    def __init__(self, machine: Machine, count: int = CLIENTS) -> None:
        self._machine = machine
        self._count = count

    def __enter__(self) -> Clients:
        self._process = self._machine.start_module("tests.boot.load", str(self._count))
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "running\n"
        return self

    def __exit__(self, *_error: object) -> None:
        output, _ = self._process.communicate("", timeout=60)
        seen = json.loads(output)
        self.calls: int = seen["calls"]
        self.failures: list[str] = seen["failures"]
        self.worst: float = seen["worst"]
