"""What an inspection finds wrong: a value, like a refusal, that says what to do about it."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """`code` is for scripts, `where` a file, a unit or the like, `what` a clause about it, `remedy` one in the
    imperative."""

    code: str
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.code}: {self.where} {self.what}: {self.remedy}"
