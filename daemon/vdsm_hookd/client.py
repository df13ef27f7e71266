"""Asks the daemon on its control socket. Imports nothing heavy: hookctl's start is most of its run."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any

import msgpack

_HEADER = struct.Struct(">I")
_VERSION = 1


class Unreachable(Exception):
    """No daemon answers on the socket; the text says why."""


class NotPermitted(Exception):
    """The socket, or the daemon behind it, does not serve this user."""


class Refused(Exception):
    """The daemon answered that it won't; `code` is its machine-readable reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def ask(path: str, verb: str, arguments: Mapping[str, Any], timeout: float = 5.0) -> Any:
    """The daemon's result for one verb (docs/protocol.md). Waits `timeout` seconds at most for each step.

    Raises Unreachable, NotPermitted or Refused.
    """
    payload: bytes = msgpack.packb([_VERSION, verb, arguments], use_bin_type=True)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(path)
            sock.sendall(_HEADER.pack(len(payload)) + payload)
            size = _HEADER.unpack(_read(sock, _HEADER.size))[0]
            reply = msgpack.unpackb(_read(sock, size), raw=False)
    except PermissionError as error:
        raise NotPermitted(f"{path}: {error.strerror}") from None
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror or error}") from None
    _version, fine, result = reply[:3]
    if fine:
        return result
    if result["code"] == "not-permitted":
        raise NotPermitted(result["message"])
    raise Refused(result["code"], result["message"])


def _read(sock: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        chunk = sock.recv(min(size - len(received), 1 << 20))
        if not chunk:
            raise ConnectionError("the daemon closed the connection")
        received += chunk
    return bytes(received)
