"""Waiting for a condition of another process, with a deadline."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

T = TypeVar("T")

_INTERVAL = 0.02


def wait_for(
    predicate: Callable[[], T | None],
    what: str | Callable[[], str],
    deadline: float = 10.0,
) -> T:
    """Return the first true value of `predicate`, asked again and again.

    `what` names the condition in the failure; give a function where the reason
    is only known afterwards (a log, an exit status).
    """
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= end:
            reason = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {deadline:g} s: {reason}")
        time.sleep(_INTERVAL)
