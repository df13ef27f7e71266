"""Questions that wait for news: `history --follow` is one long question after another."""

from __future__ import annotations

import time
from typing import Callable

MAX_FOLLOWERS = 64
MAX_WAIT = 60.0
"""Seconds that a question may wait."""
_GATHER = 0.05
"""Seconds between a record and the first answer that tells of it: busy requests are told of in one."""
_TURN = 0.001
_AT_ONCE = 8
_SWEEP = 1.0

Answer = Callable[[bool], bool]
"""Answers the question if there is news, or in any case when it is called with True; tells whether it did."""


class Followers:
    """Who waits. To a request they cost one call of `notify`, however many they are; the answers are made later, a few
    in each turn of the loop, so that no request waits for more than those."""

    def __init__(
        self, call_later: Callable[[float, Callable[[], None]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._call_later = call_later
        self._clock = clock
        self._waiting: dict[Answer, float] = {}
        self._told: list[Answer] = []
        self._more = False  # news that came while followers were being told of the last
        self._sweeping = False

    def wait(self, answer: Answer, seconds: float) -> bool:
        """Call `answer` when there may be news, until it has answered; at the latest in so many seconds, or a second
        more. False when too many wait already."""
        if len(self._waiting) >= MAX_FOLLOWERS:
            return False
        self._waiting[answer] = self._clock() + seconds
        if not self._sweeping:
            self._sweeping = True
            self._call_later(_SWEEP, self._sweep)
        return True

    def notify(self) -> None:
        """There is news. On the path of a request."""
        self._more = bool(self._told)
        if self._waiting and not self._told:
            self._told = list(self._waiting)
            self._call_later(_GATHER, self._tell)

    def release(self) -> None:
        """Answer all of them now."""
        for answer in list(self._waiting):
            del self._waiting[answer]
            answer(True)

    def _tell(self) -> None:
        now, self._told = self._told[:_AT_ONCE], self._told[_AT_ONCE:]
        for answer in now:
            if answer in self._waiting and answer(False):
                del self._waiting[answer]
        if self._told:
            self._call_later(_TURN, self._tell)
        elif self._more:
            self.notify()

    def _sweep(self) -> None:
        now = self._clock()
        for answer in [answer for answer, until in self._waiting.items() if until <= now]:
            del self._waiting[answer]
            answer(True)
        self._sweeping = bool(self._waiting)
        if self._sweeping:
            self._call_later(_SWEEP, self._sweep)
