"""Types of the fixtures that make things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tests.boot.machine import Machine


class MakeMachine(Protocol):
    def __call__(self, masked: Sequence[str] = ()) -> Machine: ...
