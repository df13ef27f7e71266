"""A short run of each fuzzer, from the kept corpus and always the same seed; `make fuzz` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import faults
from tests.fuzz.targets import CORPUS, TARGETS, fuzz

RUNS = {"reply": 500_000, "calls": 20_000, "questions": 20_000, "decisions": 10_000}


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_is_too_much(target: str, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    kept = CORPUS / target
    assert list(kept.iterdir())
    inputs = fuzz(target, [new, kept], tmp_path, f"-runs={RUNS[target]}", "-seed=7")
    assert inputs >= RUNS[target]
    faults.held("random-frames", inputs, "no crash, no hang, memory bounded")
