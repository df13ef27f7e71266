"""docs/protocol.md, from both ends."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdsm_hookd import wire
from vdsm_hookd.decision import Decision, Request

GOOD = [1, "before_device_create", "extnet", {"extnet": b"glitter"}, b"<interface/>"]


READER = wire.CallReader()  # goes on after anything that it was given


def packed(message: Any) -> bytes:
    result: bytes = msgpack.packb(message, use_bin_type=True)
    return result


def test_a_request_arrives_as_it_was_sent() -> None:
    assert wire.CallReader().read(packed(GOOD)) == Request(
        "before_device_create", "extnet", {"extnet": b"glitter"}, b"<interface/>"
    )


@pytest.mark.parametrize(
    "message",
    [
        1,
        [],
        {},
        "text",
        [True, *GOOD[1:]],
        [2, *GOOD[1:]],
        [1],
        [*GOOD, 1],
        [1, b"event", *GOOD[2:]],
        [1, "e" * 256, *GOOD[2:]],
        [1, "e", "h", [], b""],
        [1, "e", "h", {"name": "text"}, b""],
        [1, "e", "h", {"name": {}}, b""],
        [1, "e", "h", {str(number): b"" for number in range(65)}, b""],
        [1, "e", "h", {}, "text"],
        [1, "e", "h", {b"name": b""}, b""],
        [1, "e", "h", {7: b""}, b""],
        [1, "e", msgpack.ExtType(5, b"x"), {}, b""],
        [1, "e", msgpack.Timestamp(1), {}, b""],
    ],
)
def test_a_message_of_another_shape_is_a_bad_request(message: Any) -> None:
    with pytest.raises(wire.BadMessage) as caught:
        wire.CallReader().read(packed(message))
    assert caught.value.code == "bad-request"


@pytest.mark.parametrize(
    "payload",
    [
        packed(GOOD) + b"\0",
        packed(GOOD)[:-1],
        b"",
        b"\xc1",
        b"\x81\xa1a\x01" * 2,
        b"\x95\x01\xa1e\xa1h\x82\xa1a\xc4\x01x\xa1a\xc4\x01y\xc4\x00",  # the key `a` twice
        b"\x95\x01\xa1\xff\xa1h\x80\xc4\x00",  # a str that is no UTF-8
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x9f" + b"\x80" * 15,
    ],
)
def test_bytes_that_are_no_message_are_a_bad_request(payload: bytes) -> None:
    with pytest.raises(wire.BadMessage) as caught:
        wire.CallReader().read(payload)
    assert caught.value.code == "bad-request"


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"\x95\x01\xa1e\xa1h\x81" + tail))
def test_no_bytes_at_all_raise_anything_else(payload: bytes) -> None:
    for read in (READER.read, wire.read_question):
        with contextlib.suppress(wire.BadMessage):
            read(payload)
    assert READER.read(packed(GOOD)).event == GOOD[1]


def test_the_size_limits() -> None:
    assert wire.frame_size(memoryview(struct.pack(">I", wire.MAX_PAYLOAD))) == wire.MAX_PAYLOAD + 4
    with pytest.raises(wire.BadMessage, match="too-large"):
        wire.frame_size(memoryview(struct.pack(">I", wire.MAX_PAYLOAD + 1)))
    assert wire.frame_size(memoryview(b"\0\0\0")) > 3
    with pytest.raises(wire.BadMessage, match="too-large"):
        wire.CallReader().read(packed([*GOOD[:4], b" " * (4 * 1024 * 1024 + 1)]))
    assert len(wire.CallReader().read(packed([*GOOD[:4], b" " * 4 * 1024 * 1024])).document) == 4 * 1024 * 1024


def unframed(frame: bytes) -> Any:
    assert struct.unpack(">I", frame[:4])[0] == len(frame) - 4
    return msgpack.unpackb(frame[4:], raw=False)


def test_each_outcome_has_its_reply() -> None:
    rewritten = Decision("rewritten", "event", "hook", document=b"<a/>", notes=("one",))
    assert unframed(wire.hook_reply(rewritten)) == [1, "rewritten", b"<a/>", ["one"]]
    assert unframed(wire.hook_reply(Decision("unchanged", "event", "hook"))) == [1, "unchanged", b"", []]
    refused = Decision("refused", "event", "hook", code="bad-xml", what="this", remedy="do that")
    assert unframed(wire.hook_reply(refused)) == [1, "refused", b"bad-xml: this: do that", []]


def test_a_refusal_is_one_line_of_bounded_length() -> None:
    refused = Decision("refused", "event", "hook", code="bad-xml", what="a\nb\x85c" + "é" * 2000, remedy="do")
    body = unframed(wire.hook_reply(refused))[2]
    assert body.startswith("bad-xml: a b cé".encode())
    assert len(body) <= 1024
    assert len(body.decode()) > 500


def test_questions_and_their_answers() -> None:
    assert wire.read_question(packed([1, "networks", {"name": "glitter"}])) == ("networks", {"name": "glitter"})
    assert unframed(wire.control_reply([{"name": "glitter"}])) == [1, True, [{"name": "glitter"}]]
    error = wire.BadMessage("bad-request", "why")
    assert unframed(wire.control_refusal(error)) == [1, False, {"code": "bad-request", "message": "why"}]
    with pytest.raises(wire.BadMessage):
        wire.read_question(packed([1, "networks", []]))
