"""Frames in, frames out: one thread, one epoll loop, and a time limit on everything.

This loop is on the path of every VM start, which is why it is not asyncio's: a request costs one accept, one or two
reads, one write, and no future, task or transport. It knows nothing of hooks: a listener hands each payload to its
handler, and the handler gives a frame back, at once or later.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import heapq
import itertools
import logging
import math
import os
import select
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import Callable, NamedTuple

from vdsm_hookd import wire

log = logging.getLogger(__name__)

REQUEST_TIMEOUT = 2.0
"""Seconds for a whole request to arrive, and again for its reply to be taken."""
DRAIN_TIMEOUT = 1.5
"""Seconds for which accepted requests may still be answered after a stop."""
_BACKLOG = 4096
_ACCEPT_PAUSE = 0.1
_CHUNK = 64 * 1024
_PEERCRED = struct.Struct("=3i")


class Peer(NamedTuple):
    """Who is at the other end of a connection, by the kernel's word (SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int


Reply = Callable[[bytes], None]
Handler = Callable[[bytes, Peer, Reply], None]
"""Answers one payload by calling `reply` with a frame, once, now or later, in the server's thread."""


@dataclass
class Listener:
    """A listening socket and what is done with its requests. `refuse` words a BadMessage in the socket's own reply
    form."""

    name: str
    socket: socket.socket
    permits: Callable[[Peer], bool]
    handle: Handler
    refuse: Callable[[wire.BadMessage], bytes]


class _Connection:
    """One client: first its request comes in, then the reply goes out, then it is over."""

    __slots__ = ("closed", "deadline", "listener", "outgoing", "received", "size", "socket")

    def __init__(self, sock: socket.socket, listener: Listener) -> None:
        self.socket = sock
        self.listener = listener
        self.received = bytearray()
        self.size = -1  # of the whole frame, as soon as its header is here
        self.outgoing: memoryview | None = None
        self.deadline = math.inf  # no limit while the answer is looked for: that has its own
        self.closed = False


class Server:
    """Serves listeners until `stop`. Everything but `call_threadsafe` belongs to the thread that calls `run`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], object]] = {}
        self._listeners: list[Listener] = []
        self._connections: set[_Connection] = set()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._calls: deque[Callable[[], None]] = deque()
        self._stopping = False
        # One byte in this pair wakes the loop: from another thread, and from Python's own signal handler.
        self._wakeup_receiver, self._wakeup_sender = socket.socketpair()
        for end in (self._wakeup_receiver, self._wakeup_sender):
            end.setblocking(False)
        self._watch(self._wakeup_receiver, select.EPOLLIN, self._on_wakeup)

    @property
    def wakeup_fd(self) -> int:
        """For signal.set_wakeup_fd, so that a signal ends the wait."""
        return self._wakeup_sender.fileno()

    def add(self, listener: Listener) -> None:
        """Serve one more listening socket."""
        listener.socket.setblocking(False)
        self._listeners.append(listener)
        self._watch(listener.socket, select.EPOLLIN, lambda events: self._accept(listener))

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` in the loop after so many seconds of monotonic time."""
        heapq.heappush(self._timers, (self._clock() + seconds, next(self._order), call))

    def call_threadsafe(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop as soon as may be; from any thread."""
        self._calls.append(call)
        self._wake()

    def run(self) -> None:
        """Serve until `stop`, then answer what was accepted, and return."""
        while not self._stopping or self._connections:
            for descriptor, events in self._epoll.poll(self._wait()):
                on_ready = self._ready.get(descriptor)
                if on_ready is not None:  # an earlier event of this round may have closed it
                    on_ready(events)
            while self._timers and self._timers[0][0] <= self._clock():
                heapq.heappop(self._timers)[2]()
            while self._calls:
                self._calls.popleft()()

    def stop(self) -> None:
        """Accept nothing more; `run` returns when every accepted request has its answer, or soon after that."""
        if self._stopping:
            return
        self._stopping = True
        for listener in self._listeners:
            for _ in range(_BACKLOG):  # who is connected counts on an answer
                if not self._accept(listener):
                    break
            self._forget(listener.socket)
        self.call_later(DRAIN_TIMEOUT, self._drop_all)
        self._wake()

    def close(self) -> None:
        """Release the loop's own descriptors; the listening sockets stay their owner's."""
        self._drop_all()
        self._epoll.close()
        self._wakeup_receiver.close()
        self._wakeup_sender.close()

    # The loop's own business.

    def _wait(self) -> float:
        return max(0.0, self._timers[0][0] - self._clock()) if self._timers else -1

    def _watch(self, sock: socket.socket, events: int, on_ready: Callable[[int], object]) -> None:
        self._ready[sock.fileno()] = on_ready
        self._epoll.register(sock.fileno(), events)

    def _forget(self, sock: socket.socket) -> None:
        if self._ready.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full, so the loop is awake already
            self._wakeup_sender.send(b"\0")

    def _on_wakeup(self, events: int) -> None:
        try:
            while self._wakeup_receiver.recv(4096):
                pass
        except BlockingIOError:
            pass

    # Connections.

    def _accept(self, listener: Listener) -> bool:
        """Accept one client. One a round: to ask for a second would cost every single one a system call more."""
        try:
            sock, _address = listener.socket.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                self._pause(listener, error)
            return False  # else that one client went away
        sock.setblocking(False)
        connection = _Connection(sock, listener)
        self._connections.add(connection)
        if not self._receive(connection):
            self._watch(sock, select.EPOLLIN, lambda events: self._receive(connection))
            self._limit(connection)
        return True

    def _pause(self, listener: Listener, error: OSError) -> None:
        """Out of descriptors: a level-triggered listener would spin until one is free, so look again a little later."""
        pause = _ACCEPT_PAUSE * 1000
        log.warning("can't accept on the %s socket: %s; trying again every %.0f ms", listener.name, error, pause)
        self._forget(listener.socket)

        def resume() -> None:
            if not self._stopping:
                self._watch(listener.socket, select.EPOLLIN, lambda events: self._accept(listener))

        self.call_later(_ACCEPT_PAUSE, resume)

    def _limit(self, connection: _Connection) -> None:
        """The peer has so long to send its request, or to take its reply."""
        connection.deadline = self._clock() + REQUEST_TIMEOUT
        self.call_later(REQUEST_TIMEOUT, lambda: self._expire(connection))

    def _expire(self, connection: _Connection) -> None:
        if connection.deadline <= self._clock():
            self._drop(connection)

    def _receive(self, connection: _Connection) -> bool:
        """Take what has arrived. False while the request is not whole and more may come."""
        try:
            chunk = connection.socket.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(connection)
            return True
        received = connection.received
        received += chunk
        try:
            if connection.size < 0 and len(received) >= wire.HEADER.size:
                connection.size = wire.HEADER.size + wire.payload_size(bytes(received[: wire.HEADER.size]))
        except wire.BadMessage as error:
            self._reply(connection, connection.listener.refuse(error))
            return True
        if not 0 <= connection.size <= len(received):
            return False
        self._dispatch(connection)
        return True

    def _dispatch(self, connection: _Connection) -> None:
        # One request a connection: nothing else is read, and a peer that goes away is noticed at the reply.
        self._forget(connection.socket)
        connection.deadline = math.inf
        payload = bytes(connection.received[wire.HEADER.size : connection.size])
        connection.received.clear()
        listener = connection.listener
        peer = Peer(
            *_PEERCRED.unpack(connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
        )
        # Not before the request is read: a peer whose write fails may never read why.
        if not listener.permits(peer):
            denied = wire.BadMessage("not-permitted", f"uid {peer.uid} may not use the {listener.name} socket")
            self._reply(connection, listener.refuse(denied))
            return
        try:
            listener.handle(payload, peer, functools.partial(self._reply, connection))
        except Exception:  # our own bug must cost one request, not the daemon
            log.exception("a request on the %s socket failed", listener.name)
            failed = wire.BadMessage("internal", "the daemon failed; its journal says how")
            self._reply(connection, listener.refuse(failed))

    def _reply(self, connection: _Connection, answer: bytes) -> None:
        if connection.closed:
            return  # dropped while its answer was looked for
        self._forget(connection.socket)
        connection.outgoing = memoryview(answer)
        if not self._send(connection):
            self._watch(connection.socket, select.EPOLLOUT, lambda events: self._send(connection))
            self._limit(connection)

    def _send(self, connection: _Connection) -> bool:
        """Give what the peer takes. False while more is to go."""
        assert connection.outgoing is not None
        try:
            while connection.outgoing:
                sent = connection.socket.send(connection.outgoing, socket.MSG_NOSIGNAL)
                connection.outgoing = connection.outgoing[sent:]
        except BlockingIOError:
            return False
        except OSError:
            pass  # the peer is gone; there is no one to tell
        self._drop(connection)
        return True

    def _drop(self, connection: _Connection) -> None:
        if not connection.closed:
            connection.closed = True
            self._connections.discard(connection)
            self._forget(connection.socket)
            connection.socket.close()

    def _drop_all(self) -> None:
        for connection in list(self._connections):
            self._drop(connection)


def bind(path: str, mode: int) -> socket.socket:
    """A listening UNIX socket at `path`, in place of one that nobody listens on any more. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.exists(path) and _is_dead(path):
            os.unlink(path)
        sock.bind(path)
        os.chmod(path, mode)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(f"can't listen on {path}: {error.strerror or error}") from None
    return sock


def _is_dead(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED
