"""The last decisions, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vdsm_hookd import redact
from vdsm_hookd.decision import Decision, Request

MAX_TEXT = 255
"""Characters that are kept of an identifier, which a document or a peer may have made longer."""
_LARGEST = 64
"""Of `size`, the part that the documents of one record may take: no single request empties the history of others."""
_IDENTIFIERS = ("event", "hook", "vm_id", "vm_name", "vm_uuid", "mac", "network")
_OVERHEAD = 1536
"""Bytes of a record's own objects: its tuples, strings and numbers without their contents, a place in the queue."""
_OBJECT = 64
_CHARACTER = 4
"""Bytes that a character takes at most."""


class Record(NamedTuple):
    """One decided request. `request` and `decision` hold no secret; `at` is seconds since the epoch, `seconds` what it
    took from the request to its answer.

    `kept` tells whether both documents are here, so that the request can be replayed: not where they were too large, or
    held secrets and could not be read.
    """

    number: int
    at: float
    seconds: float
    request: Request
    decision: Decision
    kept: bool


class History:
    """A ring of records, oldest first: at most `entries` of them, of at most `size` bytes in all. Numbers begin at 1
    and go up by 1."""

    def __init__(self, entries: int, size: int) -> None:
        self._records: deque[tuple[Record, int]] = deque()
        self._used = 0
        self._clean = b""  # the last document that had no secret
        self.last = 0
        """The number of the newest record; 0 before the first one."""
        self.limit(entries, size)

    def limit(self, entries: int, size: int) -> None:
        """Change the bounds, and forget what is over them."""
        self._entries, self._size = entries, size
        self._shrink()

    @property
    def used(self) -> int:
        """Bytes that the records take, reckoned from their parts; a test holds it against what Python allocates."""
        return self._used

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return (record for record, _size in self._records)

    def newest(self) -> Iterator[Record]:
        """From the last one back."""
        return (record for record, _size in reversed(self._records))

    def get(self, number: int) -> Record | None:
        """The record of that number, if it is still here."""
        place = number - self.last + len(self._records) - 1
        return self._records[place][0] if 0 <= place < len(self._records) else None

    def add(self, request: Request, made: Decision, at: float, seconds: float) -> Record:
        """Remember a decision, without its secrets, and forget the oldest ones for it."""
        self.last += 1
        record = Record(self.last, at, seconds, *self._fit(request, made))
        size = _size_of(record)
        self._records.append((record, size))
        self._used += size
        self._shrink()
        return record

    def _shrink(self) -> None:
        while self._records and (len(self._records) > self._entries or self._used > self._size):
            self._used -= self._records.popleft()[1]

    def _fit(self, request: Request, made: Decision) -> tuple[Request, Decision, bool]:
        """The parts of a record: bounded, without secrets, and the same objects where that changes nothing."""
        size = len(request.document) + len(made.document) + _weight(request.environment)
        blanked = self._blank(request, made) if size <= self._size // _LARGEST else None
        environment, before, after = blanked or ({}, b"", b"")
        # An error holds the hook's whole stack, documents and all.
        if made.error is not None or after is not made.document:
            made = made._replace(document=after, error=None)
        named = (made.event, made.hook, made.vm_id, made.vm_name, made.vm_uuid, made.mac, made.network)
        if max(map(len, named)) > MAX_TEXT:
            made = made._replace(**{name: getattr(made, name)[:MAX_TEXT] for name in _IDENTIFIERS})
        return Request(made.event, made.hook, environment, before, request.look), made, blanked is not None

    def _blank(self, request: Request, made: Decision) -> tuple[Mapping[str, bytes], bytes, bytes] | None:
        """Environment and documents without secrets; None where that can't be told."""
        before, after = self._blank_document(request.document), self._blank_document(made.document)
        if before is None or after is None:
            return None
        return redact.blank_environment(request.environment), before, after

    def _blank_document(self, xml: bytes) -> bytes | None:
        """vdsm hands what one hook wrote to the next: it need not be searched again, nor be here twice."""
        if xml == self._clean:
            return self._clean
        blanked = redact.blank_document(xml)
        if xml and blanked is xml:
            self._clean = xml
        return blanked


def _size_of(record: Record) -> int:
    request, made = record.request, record.decision
    size = _OVERHEAD + len(request.document) + len(made.document) + _weight(request.environment)
    texts = len(made.vm_name) + len(made.vm_id) + len(made.vm_uuid) + len(made.mac) + len(made.network)
    if request.look is not None:
        size += len(request.look.xml) + len(request.look.failure) + 2 * _OBJECT
    texts += len(made.event) + len(made.hook) + len(made.what) + len(made.remedy)
    for note in made.notes:
        size += len(note) + _OBJECT
    return size + texts * _CHARACTER


def _weight(environment: Mapping[str, bytes]) -> int:
    size = 0
    for name, value in environment.items():
        size += len(name) * _CHARACTER + len(value) + 2 * _OBJECT
    return size
