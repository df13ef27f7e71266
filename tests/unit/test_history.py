"""The ring of decisions: what it keeps, and what it forgets."""

from __future__ import annotations

import gc
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from tests import documents
from vdsm_hookd.decision import Decision, Request, decide
from vdsm_hookd.history import MAX_TEXT, History
from vdsm_hookd.hooks import extnet
from vdsm_hookd.policy import Policy, Rule

POLICY = Policy([Rule(extnet.HOOK, extnet.Options(), "here")])
VIEW = documents.view(documents.network("glitter"))
MIB = 1 << 20


def request(value: bytes = b"glitter", document: bytes | None = None) -> Request:
    xml = documents.read("interface.xml") if document is None else document
    return Request("before_device_create", "extnet", {"extnet": value, "vmId": b"7a9c"}, xml)


def add(history: History, asked: Request) -> Decision:
    made = decide(asked, POLICY, VIEW)
    history.add(asked, made, 0.0, 0.001)
    return made


def test_the_newest_stay_and_numbers_go_on() -> None:
    history = History(3, MIB)
    for number in range(5):
        add(history, request(b"net-%d" % number))
    assert [record.number for record in history] == [3, 4, 5]
    assert [record.number for record in history.newest()] == [5, 4, 3]
    assert history.last == 5
    third = history.get(3)
    assert third is not None
    assert third.request.environment["extnet"] == b"net-2"
    assert [history.get(number) for number in (0, 2, 6, -1)] == [None] * 4


def test_documents_are_kept_by_reference_and_can_be_decided_again() -> None:
    history = History(10, MIB)
    asked = request()
    made = add(history, asked)
    (record,) = history
    assert record.request.document is asked.document
    assert record.decision.document is made.document
    assert decide(record.request, POLICY, VIEW) == record.decision


def test_secrets_do_not_get_in() -> None:
    history = History(10, MIB)
    asked = Request("before_vm_start", "extnet", {"extnet": b"password=hush"}, b"<graphics passwd='hush'/>")
    history.add(asked, Decision("rewritten", "before_vm_start", "extnet", document=asked.document), 0.0, 0.0)
    assert "hush" not in repr(list(history))
    assert history.last == 1


def test_what_is_too_large_is_remembered_without_its_document() -> None:
    history = History(10, MIB)
    add(history, request())
    add(history, request(document=b"<interface>" + b"x" * MIB + b"</interface>"))
    small, large = history
    assert (small.kept, large.kept) == (True, False)
    assert large.request.document == b""
    assert large.decision.outcome == "refused"


def test_an_identifier_is_cut() -> None:
    history = History(10, MIB)
    history.add(request(), Decision("unchanged", "e" * 1000, "extnet", vm_name="n" * MIB), 0.0, 0.0)
    (record,) = history
    assert (len(record.decision.vm_name), len(record.decision.event)) == (MAX_TEXT, MAX_TEXT)


@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 300)), max_size=60), st.integers(1, 20))
def test_neither_bound_is_ever_exceeded(sizes: list[tuple[int, int]], entries: int) -> None:
    history = History(entries, 256 << 10)
    for document, value in sizes:
        asked = request(b"v" * value, b"<a>" + b"x" * document + b"</a>")
        history.add(asked, Decision("unchanged", asked.event, asked.hook), 0.0, 0.0)
        assert len(history) <= entries
        assert 0 <= history.used <= 256 << 10
    history.limit(1, 64 << 10)
    assert len(history) <= 1
    history.limit(1, 0)
    assert history.used == 0


def test_its_own_measure_is_what_python_allocates() -> None:
    history = History(10_000, 64 * MIB)
    gc.collect()
    tracemalloc.start()
    for number in range(2000):
        add(history, request(b"network-%d" % number, documents.read("interface.xml") + b"<!-- %d -->" % number))
    gc.collect()
    allocated, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.8 * allocated < history.used < 2.5 * allocated  # it takes 4 bytes for a character


def test_a_row_of_hooks_keeps_each_document_once() -> None:
    """The second hook gets, in bytes of its own, what the first one wrote."""
    history = History(10, MIB)
    made = add(history, request())
    add(history, request(document=bytes(bytearray(made.document))))
    first, second = history
    assert second.request.document is first.decision.document


def test_a_document_with_a_secret_is_never_taken_for_one_without() -> None:
    history = History(10, MIB)
    clean, secret = b"<graphics passwd='*****'/>", b"<graphics passwd='hush'/>"
    for document in (clean, secret, secret, clean):
        history.add(request(document=document), Decision("unchanged", "before_vm_start", "extnet"), 0.0, 0.0)
    assert [b"hush" in record.request.document for record in history] == [False] * 4
    assert all(record.kept for record in history)
