"""Regular expressions whose match takes time linear in the text, whatever the text is.

An operator writes the expression, a user the text, and Python's own engine backtracks: `^(a+)+$` against thirty letters
takes minutes. Here the expression, as Python's own parser reads it, becomes a nondeterministic automaton, whose state
sets are followed (and kept) as the text goes by. What has no automaton, back references and look-around, is refused.
"""

from __future__ import annotations

import re
from typing import Any, Callable

try:
    from re import _parser as sre_parse  # type: ignore[attr-defined]
except ImportError:  # Python < 3.11
    import sre_parse  # type: ignore[import-not-found, no-redef, unused-ignore]

MAX_STATES = 2000
_MAX_KEPT = 10_000

_Test = Callable[[str], bool]
_ACCEPT = 0
_CATEGORIES: dict[str, _Test] = {
    "DIGIT": str.isdecimal,
    "SPACE": str.isspace,
    "WORD": lambda character: character.isalnum() or character == "_",
}


class Regex:
    """A compiled expression. Its syntax is Python's, without flags, back references and look-around."""

    def __init__(self, pattern: str) -> None:
        """Raises ValueError with the reason when the expression can't be used."""
        self.pattern = pattern
        try:
            tree = sre_parse.parse(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"bad regular expression: {error}") from None
        if tree.state.flags & ~re.UNICODE:
            raise ValueError("flags in a regular expression are not supported")
        self._consume: dict[int, tuple[_Test, int]] = {}
        self._skip: dict[int, list[int]] = {}
        self._at_start: dict[int, int] = {}
        self._at_end: dict[int, int] = {}
        self._count = _ACCEPT
        begin = self._build_all(tree, _ACCEPT)
        # Anywhere in the text: a state that stays while characters go by, and may begin at each.
        anywhere = self._new()
        self._skip[anywhere] = [begin]
        self._consume[anywhere] = (lambda character: True, anywhere)
        self._first = self._closure({anywhere}, at_start=True)
        self._kept: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def search(self, text: str) -> bool:
        """Whether the expression matches anywhere in the text."""
        states = self._first
        for character in text:
            if _ACCEPT in states:
                return True
            following = self._kept.get((states, character))
            if following is None:
                moved = {to for test, to in map(self._consume.get, states & self._consume.keys()) if test(character)}  # type: ignore[misc]
                following = self._closure(moved)
                if len(self._kept) >= _MAX_KEPT:
                    self._kept.clear()
                self._kept[states, character] = following
            states = following
        at_start = not text
        return _ACCEPT in self._closure(states, at_start=at_start, at_end=True)

    def _closure(
        self, states: set[int] | frozenset[int], at_start: bool = False, at_end: bool = False
    ) -> frozenset[int]:
        """All states that are reached from these without another character."""
        reached, todo = set(states), list(states)
        while todo:
            state = todo.pop()
            nexts = list(self._skip.get(state, ()))
            if at_start and state in self._at_start:
                nexts.append(self._at_start[state])
            if at_end and state in self._at_end:
                nexts.append(self._at_end[state])
            for following in nexts:
                if following not in reached:
                    reached.add(following)
                    todo.append(following)
        return frozenset(reached)

    # Building: each node becomes states that lead to `then`, and its first state is returned.

    def _new(self) -> int:
        self._count += 1
        if self._count > MAX_STATES:
            raise ValueError(f"the regular expression is too large: it needs more than {MAX_STATES} states")
        return self._count

    def _build_all(self, nodes: Any, then: int) -> int:
        for node in reversed(list(nodes)):
            then = self._build(str(node[0]), node[1], then)
        return then

    def _build(self, kind: str, value: Any, then: int) -> int:
        if kind in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            state = self._new()
            self._consume[state] = (_test(kind, value), then)
            return state
        if kind == "BRANCH":
            state = self._new()
            self._skip[state] = [self._build_all(branch, then) for branch in value[1]]
            return state
        if kind == "SUBPATTERN" and not value[1] and not value[2]:
            return self._build_all(value[3], then)
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, nodes = value
            return self._build_repeat(least, most, nodes, then)
        if kind == "AT" and str(value) in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            state = self._new()
            self._at_start[state] = then
            return state
        if kind == "AT" and str(value) in ("AT_END", "AT_END_STRING"):
            state = self._new()
            self._at_end[state] = then
            return state
        what = {"AT": r"\b or \B", "GROUPREF": "a back reference"}.get(kind, kind.lower().replace("_", " "))
        raise ValueError(f"{what} in a regular expression can't be matched in linear time")

    def _build_repeat(self, least: int, most: Any, nodes: Any, then: int) -> int:
        if most is sre_parse.MAXREPEAT:
            loop = self._new()
            self._skip[loop] = [self._build_all(nodes, loop), then]
            then = loop
        else:
            for _ in range(int(most) - least):
                once = self._new()
                self._skip[once] = [self._build_all(nodes, then), then]
                then = once
        for _ in range(least):
            then = self._build_all(nodes, then)
        return then


def _test(kind: str, value: Any) -> _Test:
    """Whether one character fits a node."""
    if kind == "LITERAL":
        return chr(value).__eq__
    if kind == "NOT_LITERAL":
        return chr(value).__ne__
    if kind == "ANY":
        return "\n".__ne__
    negated = str(value[0][0]) == "NEGATE"
    tests = [_item(str(item), given) for item, given in value[negated:]]
    return lambda character: any(test(character) for test in tests) is not negated


def _item(kind: str, value: Any) -> _Test:
    if kind == "LITERAL":
        return chr(value).__eq__
    if kind == "RANGE":
        low, high = chr(value[0]), chr(value[1])
        return lambda character: low <= character <= high
    negated, _, name = str(value).rpartition("CATEGORY_")[2].rpartition("NOT_")
    category = _CATEGORIES[name]
    return lambda character: category(character) is not bool(negated or "NOT_" in str(value))
