"""Bytes on the wire to typed messages and back: docs/protocol.md in code. No sockets here."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Union

import msgpack

from vdsm_hookd.decision import Decision, Request
from vdsm_hookd.document import MAX_SIZE

VERSION = 1
HEADER = struct.Struct(">I")
MAX_PAYLOAD = 5 * 1024 * 1024
"""Bytes: a document of the largest size, and room for the environment."""
MAX_REFUSAL = 1024
"""Bytes, as of MAX_REMEDY."""
MAX_REMEDY = 768
MAX_VARIABLES = 64
MAX_CONTAINERS = 16
"""Arrays and maps in one question."""
_SMALL = 64 * 1024
_BREAK = re.compile(r"[^\S ]")  # of two blanks in a name each counts
Payload = Union[bytes, memoryview]
_PACKER = msgpack.Packer(use_bin_type=True)  # one for all: each has a buffer of a megabyte to get and to give back


class BadMessage(Exception):
    """A frame or a message that is not what docs/protocol.md says. Code and text go back to the peer."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Question(NamedTuple):
    """A request on the control socket."""

    verb: str
    arguments: Mapping[str, Any]


def frame_size(received: memoryview) -> int:
    """The length of the whole frame that these bytes begin, or more than they are while its header is not whole.

    Raises BadMessage when the payload is over the limit."""
    if len(received) < HEADER.size:
        return HEADER.size
    size: int = HEADER.unpack_from(received)[0]
    if size > MAX_PAYLOAD:
        raise BadMessage("too-large", f"the message has {size} bytes, more than {MAX_PAYLOAD}")
    return HEADER.size + size


def frame(message: Sequence[Any]) -> bytes:
    """A message as it goes over the wire."""
    payload: bytes = _PACKER.pack(message)
    return HEADER.pack(len(payload)) + payload


class CallReader:
    """Reads hook calls, one after the other."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        # Kept between calls, for to clear its 70 KB takes longer than to read a call.
        self._unpacker = msgpack.Unpacker(
            None,
            raw=False,
            read_size=_SMALL,
            max_buffer_size=MAX_PAYLOAD,
            max_array_len=0,
            max_map_len=0,
            max_ext_len=0,
        )

    def read(self, payload: Payload) -> Request:
        """The hook call in a payload. Raises BadMessage."""
        try:
            event, hook, environment, document = self._elements(payload)
        except BadMessage:
            self._start()
            raise
        except Exception as error:
            self._start()  # one that failed is of no more use
            raise _no_message(error) from None
        if len(payload) > _SMALL:
            self._start()  # its buffer has grown, and would stay so
        if not (_short(event) and _short(hook)):
            raise BadMessage("bad-request", "event and hook must be str of at most 255 characters")
        for name, value in environment.items():
            if not isinstance(name, str) or not isinstance(value, bytes):
                raise BadMessage("bad-request", "the environment's names must be str, and its values bin")
        if not isinstance(document, bytes):
            raise BadMessage("bad-request", "the document must be bin")
        if len(document) > MAX_SIZE:
            raise BadMessage("too-large", f"the document has {len(document)} bytes, more than {MAX_SIZE}")
        return Request(event, hook, environment, document)

    def _elements(self, payload: Payload) -> tuple[Any, Any, dict[Any, Any], Any]:
        """What stands behind the version, of any type.

        One by one, because a call is flat but for its environment: an array or map in any other place, which could
        hold millions more, is an error before anything is made of it.
        """
        unpacker, unpack = self._unpacker, self._unpacker.unpack
        end = unpacker.tell() + len(payload)
        unpacker.feed(payload)
        _check_head(unpacker.read_array_header(), unpack(), 4)
        event, hook, count = unpack(), unpack(), unpacker.read_map_header()
        if count > MAX_VARIABLES:
            raise BadMessage("bad-request", f"the environment must be a map of at most {MAX_VARIABLES} variables")
        environment = {unpack(): unpack() for _ in range(count)}
        document = unpack()
        if len(environment) != count or unpacker.tell() != end:
            raise BadMessage("bad-request", "a variable stands there twice, or bytes behind the message")
        return event, hook, environment, document


def hook_reply(decision: Decision) -> bytes:
    """The frame that answers a hook call."""
    outcome, body, notes = decision.outcome, decision.document, decision.notes
    if outcome == "refused":
        body = _line(decision.reason, f": {decision.remedy}")
    elif outcome == "held":
        outcome, notes = "rewritten", (decision.message, *notes)
    return frame([VERSION, outcome, body, notes])


def hook_refusal(error: BadMessage) -> bytes:
    """The frame that answers a hook call that can't be read or is not permitted."""
    return frame([VERSION, "refused", _line(str(error)), ()])


def read_question(payload: Payload) -> Question:
    """The operator's question in a payload. Raises BadMessage."""
    message = _unpack(payload)
    if not isinstance(message, tuple) or not message:
        raise BadMessage("bad-request", "a message is an array that starts with the protocol version")
    _check_head(len(message), message[0], 2)
    _version, verb, arguments = message
    if not _short(verb) or not isinstance(arguments, dict):
        raise BadMessage("bad-request", "a question is a verb and a map of arguments")
    return Question(verb, arguments)


def control_reply(result: Any) -> bytes:
    """The frame that answers a question."""
    return frame([VERSION, True, result])


def control_refusal(error: BadMessage) -> bytes:
    """The frame that says why a question has no answer."""
    return frame([VERSION, False, {"code": error.code, "message": error.text}])


def _unpack(payload: Payload) -> Any:
    """One msgpack value that fills the payload. Raises BadMessage for anything else, extension types included."""
    size, containers = len(payload), 0

    def bounded(value: Any) -> Any:
        # Five million empty maps fit into a payload and 300 MB: the memory is bounded by their number.
        nonlocal containers
        containers += 1
        if containers > MAX_CONTAINERS:
            raise BadMessage("bad-request", "the message is nested deeper than any that is known")
        return value

    try:
        return msgpack.unpackb(
            payload,
            raw=False,
            use_list=False,
            strict_map_key=True,
            list_hook=bounded,
            object_pairs_hook=lambda pairs: _map(bounded(pairs)),
            max_str_len=size,
            max_bin_len=size,
            max_array_len=MAX_VARIABLES,
            max_map_len=MAX_VARIABLES,
            max_ext_len=0,
        )
    except BadMessage:
        raise
    except Exception as error:
        raise _no_message(error) from None


def _check_head(length: int, version: object, fields: int) -> None:
    if isinstance(version, bool) or not isinstance(version, int):
        raise BadMessage("bad-request", "a message is an array that starts with the protocol version")
    if version != VERSION:
        raise BadMessage("bad-request", f"protocol version {version} is not spoken here, only {VERSION}")
    if length != fields + 1:
        raise BadMessage("bad-request", f"the message has {length} elements, not {fields + 1}")


def _no_message(error: Exception) -> BadMessage:
    """msgpack raises a dozen unrelated classes for bytes that are none, or end early."""
    return BadMessage("bad-request", f"not one msgpack value: {type(error).__name__}")


def _map(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs) or not all(isinstance(key, str) for key in mapping):
        raise BadMessage("bad-request", "a map has a duplicate key, or one that is not str")
    return mapping


def _short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 255


def _line(reason: str, remedy: str = "") -> bytes:
    """A refusal's line. Where that is too long, the reason is cut, but never the remedy: the half of a command may be
    another command. One that is too long by itself is left out."""
    line, end = (_BREAK.sub(" ", text).encode("utf-8", "backslashreplace") for text in (reason, remedy))
    if len(end) > MAX_REMEDY:
        end = b""
    if len(line) + len(end) > MAX_REFUSAL:
        line = line[: MAX_REFUSAL - len(end) - 3].decode("utf-8", "ignore").encode() + b"..."
    return line + end
