"""Who waits for news, on a clock of the test's own."""

from __future__ import annotations

import heapq
import itertools
from typing import Callable

from vdsm_hookd.follow import MAX_FOLLOWERS, Followers


class Loop:
    """Timers as the server has them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = 0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self.now + seconds, next(self._order), call))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _order, call = heapq.heappop(self._timers)
            self.turns += 1
            call()
        self.now = end


class Follower:
    """Answers when there is news for it."""

    def __init__(self, news: bool = True) -> None:
        self.news = news
        self.asked: list[bool] = []

    def __call__(self, now: bool) -> bool:
        self.asked.append(now)
        return self.news or now


def made() -> tuple[Loop, Followers]:
    loop = Loop()
    return loop, Followers(loop.call_later, lambda: loop.now)


def test_all_are_answered_once_and_few_in_one_turn() -> None:
    loop, followers = made()
    waiting = [Follower() for _ in range(MAX_FOLLOWERS)]
    assert all(followers.wait(follower, 20) for follower in waiting)
    assert not followers.wait(Follower(), 20)
    for _ in range(1000):
        followers.notify()
    assert not any(follower.asked for follower in waiting)
    loop.run(0.5)
    assert [follower.asked for follower in waiting] == [[False]] * MAX_FOLLOWERS
    assert loop.turns >= MAX_FOLLOWERS // 8
    followers.notify()
    loop.run(30)
    assert [follower.asked for follower in waiting] == [[False]] * MAX_FOLLOWERS


def test_who_hears_no_news_is_answered_when_the_time_is_over() -> None:
    loop, followers = made()
    follower = Follower(news=False)
    followers.wait(follower, 5)
    followers.notify()
    loop.run(4.5)
    assert follower.asked == [False]
    loop.run(2)
    assert follower.asked == [False, True]
    turns = loop.turns
    loop.run(100)
    assert loop.turns == turns


def test_news_that_come_while_others_are_told_are_not_missed() -> None:
    loop, followers = made()
    waiting = [Follower(news=False) for _ in range(20)]
    for follower in waiting:
        followers.wait(follower, 60)
    followers.notify()
    loop.run(0.05)
    waiting[0].news = True
    followers.notify()
    loop.run(0.5)
    assert waiting[0].asked == [False, False]


def test_a_stop_answers_all() -> None:
    loop, followers = made()
    follower = Follower(news=False)
    followers.wait(follower, 20)
    followers.release()
    assert follower.asked == [True]
    loop.run(60)
    assert follower.asked == [True]
