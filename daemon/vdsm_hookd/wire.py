"""Bytes on the wire to typed messages and back: docs/protocol.md in code. No sockets here."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from vdsm_hookd.decision import Decision, Request
from vdsm_hookd.document import MAX_SIZE

VERSION = 1
HEADER = struct.Struct(">I")
MAX_PAYLOAD = 5 * 1024 * 1024
"""Bytes: a document of the largest size, and room for the environment."""
MAX_REFUSAL = 1024
MAX_VARIABLES = 64
MAX_CONTAINERS = 16
"""Arrays and maps in one message."""


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


def payload_size(header: bytes) -> int:
    """The length of the payload behind a 4-byte header. Raises BadMessage when it is over the limit."""
    size: int = HEADER.unpack(header)[0]
    if size > MAX_PAYLOAD:
        raise BadMessage("too-large", f"the message has {size} bytes, more than {MAX_PAYLOAD}")
    return size


def frame(message: Sequence[Any]) -> bytes:
    """A message as it goes over the wire."""
    payload: bytes = msgpack.packb(message, use_bin_type=True)
    return HEADER.pack(len(payload)) + payload


def read_request(payload: bytes) -> Request:
    """The hook call in a payload. Raises BadMessage."""
    event, hook, environment, document = _fields(payload, 4)
    if not (_short(event) and _short(hook)):
        raise BadMessage("bad-request", "event and hook must be str of at most 255 characters")
    if not isinstance(environment, dict) or len(environment) > MAX_VARIABLES:
        raise BadMessage("bad-request", f"the environment must be a map of at most {MAX_VARIABLES} variables")
    if not all(isinstance(value, bytes) for value in environment.values()):
        raise BadMessage("bad-request", "the environment's values must be bin")
    if not isinstance(document, bytes):
        raise BadMessage("bad-request", "the document must be bin")
    if len(document) > MAX_SIZE:
        raise BadMessage("too-large", f"the document has {len(document)} bytes, more than {MAX_SIZE}")
    return Request(event, hook, environment, document)


def hook_reply(decision: Decision) -> bytes:
    """The frame that answers a hook call."""
    body = decision.document
    if decision.outcome == "refused":
        body = _line(decision.message)
    return frame([VERSION, decision.outcome, body, decision.notes])


def hook_refusal(error: BadMessage) -> bytes:
    """The frame that answers a hook call that can't be read or is not permitted."""
    return frame([VERSION, "refused", _line(str(error)), ()])


def read_question(payload: bytes) -> Question:
    """The operator's question in a payload. Raises BadMessage."""
    verb, arguments = _fields(payload, 2)
    if not _short(verb) or not isinstance(arguments, dict):
        raise BadMessage("bad-request", "a question is a verb and a map of arguments")
    return Question(verb, arguments)


def control_reply(result: Any) -> bytes:
    """The frame that answers a question."""
    return frame([VERSION, True, result])


def control_refusal(error: BadMessage) -> bytes:
    """The frame that says why a question has no answer."""
    return frame([VERSION, False, {"code": error.code, "message": error.text}])


def unpack(payload: bytes) -> Any:
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
    except Exception as error:  # msgpack raises a dozen unrelated classes for bytes that are no msgpack
        raise BadMessage("bad-request", f"not one msgpack value: {type(error).__name__}") from None


def _fields(payload: bytes, count: int) -> Sequence[Any]:
    message = unpack(payload)
    if not isinstance(message, tuple) or not message or isinstance(message[0], bool) or not isinstance(message[0], int):
        raise BadMessage("bad-request", "a message is an array that starts with the protocol version")
    if message[0] != VERSION:
        raise BadMessage("bad-request", f"protocol version {message[0]} is not spoken here, only {VERSION}")
    if len(message) != count + 1:
        raise BadMessage("bad-request", f"the message has {len(message)} elements, not {count + 1}")
    return message[1:]


def _map(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs) or not all(isinstance(key, str) for key in mapping):
        raise BadMessage("bad-request", "a map has a duplicate key, or one that is not str")
    return mapping


def _short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 255


def _line(text: str) -> bytes:
    return " ".join(text.split()).encode("utf-8", "backslashreplace")[:MAX_REFUSAL].decode("utf-8", "ignore").encode()
