"""A call of which only the first one counts."""

from __future__ import annotations

from typing import Callable, Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Hands the first value that it gets on, and no other: an answer or its time limit, whichever comes first."""

    def __init__(self, call: Callable[[T], object]) -> None:
        self._call: Callable[[T], object] | None = call

    def __call__(self, value: T) -> None:
        call, self._call = self._call, None
        if call is not None:
            call(value)
