# SPDX-License-Identifier: GPL-2.0-or-later
"""A peer that follows a script, one behaviour a connection."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import threading
from collections.abc import Callable, Sequence

import msgpack


class Talk:
    """One connection: the request if it was read, and what it takes to answer it."""

    def __init__(self, peer: Peer, connection: socket.socket) -> None:
        self.peer = peer
        self.connection = connection

    def request(self) -> bytes:
        length = int.from_bytes(self._exactly(4), "big")
        payload = self._exactly(length)
        self.peer.requests.append(payload)
        return payload

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def wait(self, seconds: float) -> bool:
        """False when the test is over."""
        return not self.peer.stopping.wait(seconds)

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            part = self.connection.recv(length - len(data))
            if not part:
                raise ConnectionError("the shim went away")
            data += part
        return bytes(data)


Behaviour = Callable[[Talk], None]


class Peer:
    def __init__(self, path: pathlib.Path, behaviours: Sequence[Behaviour]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._behaviours = behaviours
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._listener.close()

    def _serve(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            behaviour = self._behaviours[min(self.connections, len(self._behaviours) - 1)]
            self.connections += 1
            with connection:
                connection.settimeout(10)
                with contextlib.suppress(OSError):  # the shim has gone: it was killed, or its deadline came
                    behaviour(Talk(self, connection))


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def reply(outcome: str, body: bytes = b"") -> bytes:
    packed: bytes = msgpack.packb([1, outcome, body, ["a note"]])
    return frame(packed)


def answer(data: bytes) -> Behaviour:
    def behave(talk: Talk) -> None:
        talk.request()
        talk.send(data)

    return behave


def rewrite(body: bytes) -> Behaviour:
    return answer(reply("rewritten", body))


def close_at_once(talk: Talk) -> None:
    pass


def close_after_request(talk: Talk) -> None:
    talk.request()


def hang(talk: Talk) -> None:
    talk.request()
    talk.wait(60)


def hang_unread(talk: Talk) -> None:
    talk.wait(60)


def drip(talk: Talk) -> None:
    """A whole answer, but a byte at a time, slower than any deadline under test."""
    talk.request()
    for byte in reply("rewritten", b"x" * 10000):
        talk.send(bytes([byte]))
        if not talk.wait(0.02):
            return


def drip_reading(talk: Talk) -> None:
    """Takes the request a little at a time: no single wait is long, all together are."""
    while talk.connection.recv(20000) and talk.wait(0.05):
        pass
