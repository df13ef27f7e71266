"""Asks the daemon on its control socket. Imports nothing heavy: hookctl's start is most of its run."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

import msgpack

_HEADER = struct.Struct(">I")
_VERSION = 1
_PEERCRED = struct.Struct("=3i")
_MAX_ANSWER = 64 * 1024 * 1024  # `explain` has the document once for each hook


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
            _check_server(sock, path)
            sock.sendall(_HEADER.pack(len(payload)) + payload)
            size = _HEADER.unpack(_read(sock, _HEADER.size))[0]
            if size > _MAX_ANSWER:
                raise Unreachable(f"{path}: an answer of {size} bytes is none")
            answer = _read(sock, size)
    except PermissionError as error:
        raise NotPermitted(f"{path}: {error.strerror}") from None
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror or error}") from None
    fine, result = _unpack(answer, path)
    if fine:
        return result
    if result["code"] == "not-permitted":
        raise NotPermitted(result["message"])
    raise Refused(result["code"], result["message"])


def _check_server(sock: socket.socket, path: str) -> None:
    """Whoever managed to bind the path could otherwise tell an operator anything. As the shim does it."""
    _pid, uid, _gid = _PEERCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
    if uid not in (0, os.geteuid()):
        raise NotPermitted(f"{path} is served neither by root nor by your own user, but by uid {uid}")


def _unpack(answer: bytes, path: str) -> tuple[bool, Any]:
    """Whether it is an answer or a refusal, and the one or the other."""
    try:
        version, fine, result, *_more = msgpack.unpackb(answer, raw=False)
        if version == _VERSION and (fine is True or (str(result["code"]) and str(result["message"]))):
            return fine, result
    except Exception:  # msgpack raises a dozen unrelated classes, and what it makes of the bytes can be anything
        pass
    raise Unreachable(f"{path}: its answer can't be read; are daemon and hookctl of one version?")


def _read(sock: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        chunk = sock.recv(min(size - len(received), 1 << 20))
        if not chunk:
            raise ConnectionError("the daemon closed the connection")
        received += chunk
    return bytes(received)
