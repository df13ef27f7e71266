"""The soak's oracle: it must see each kind of wrong answer."""

from __future__ import annotations

import pytest

from tests.boot.soak import CASES, SAMPLE, STEADY, Case, expected, wrong
from tests.vdsm import HookResult, HookRun

PLAIN, JOINED, NOWHERE = (
    next(case for case in CASES if case.properties == properties)
    for properties in ({}, {"extnet": STEADY}, {"extnet": "nowhere"})
)
ELSEWHERE = expected(Case({}, "elsewhere"), SAMPLE)


def ended(xml: str, status: int = 0, stderr: str = "", litter: tuple[str, ...] = ()) -> HookRun:
    hook = HookResult("50_extnet", status, b"", stderr.encode(), 0.0)
    return HookRun(xml, (hook,), litter, 0o600, 0, 0)


@pytest.mark.parametrize("case", CASES)
def test_what_is_right(case: Case) -> None:
    if case.must_fail:
        assert wrong(case, SAMPLE, ended(SAMPLE, 2, f"extnet: {case.codes[0]}: no")) == ""
    else:
        assert wrong(case, SAMPLE, ended(expected(case, SAMPLE) if case.network or case.unfiltered else SAMPLE)) == ""


@pytest.mark.parametrize(
    ("case", "run"),
    [
        (PLAIN, ended(SAMPLE + "\n")),
        (PLAIN, ended(SAMPLE, 2, "extnet: daemon-unreachable: no")),
        (JOINED, ended(SAMPLE)),
        (JOINED, ended(ELSEWHERE)),
        (JOINED, ended(expected(JOINED, SAMPLE), 3)),
        (JOINED, ended(expected(JOINED, SAMPLE), litter=(".vdsm-hookd",))),
        (JOINED, ended(SAMPLE, 2, "extnet: network-missing: no")),
        (NOWHERE, ended(SAMPLE)),
        (NOWHERE, ended(ELSEWHERE, 2, "extnet: network-missing: no")),
    ],
)
def test_what_is_wrong(case: Case, run: HookRun) -> None:
    assert wrong(case, SAMPLE, run)
