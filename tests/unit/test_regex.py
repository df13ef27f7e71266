"""The linear-time expressions agree with Python's own, and keep their promise about time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdsm_hookd.regex import Regex

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "[a-c1]", r"\d", r"\W", r"\s", "x", "(?:)", r"[\d\-x]"])


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join).map("({})".format),
        inner.map(lambda text: f"^{text}"),
        inner.map(lambda text: f"{text}$"),
    )


@given(st.recursive(ATOMS, combined, max_leaves=6), st.text("abcx1 -_", max_size=8))
def test_it_finds_what_pythons_engine_finds(pattern: str, text: str) -> None:
    assert Regex(pattern).search(text) == bool(re.search(pattern, text))


@pytest.mark.parametrize(
    "pattern",
    [r"(a)\1", "(?=a)b", "(?<!x)y", "(?i)a", r"\bfoo", "a{5000}", "(", "[a", "(?P<x>a)(?P=x)", "a{1,999999}"],
)
def test_what_has_no_small_automaton_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        Regex(pattern)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|aa)+$", "(a*)*b", "^(a|b)*a(a|b){12}c"])
def test_no_text_makes_it_slow(pattern: str) -> None:
    regex = Regex(pattern)
    started = time.monotonic()
    assert not regex.search("ab" * 60_000 if "b" not in pattern[-2:] else "a" * 120_000)
    assert time.monotonic() - started < 5
