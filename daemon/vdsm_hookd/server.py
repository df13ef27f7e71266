"""Frames in, frames out: one thread, one epoll loop, and a time limit on everything.

This loop is on the path of every VM start, which is why it is not asyncio's: a request costs one accept, one or two
reads, one write, and no future, task or transport. It knows nothing of hooks: a listener hands each payload to its
handler, and the handler gives a frame back, at once or later.
"""

from __future__ import annotations

import _socket
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
import stat
import struct
import time
from collections import deque
from collections.abc import Sequence
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
_BUFFER = memoryview(bytearray(64 * 1024))  # what all connections receive into
_SEND_FLAGS = int(socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)  # once: enum's | takes longer than send()
_PEERCRED = struct.Struct("=3i")
_SO_PEERGROUPS = 59  # asm-generic/socket.h; the module socket does not name it
_MAX_GROUPS_SIZE = 1024


class Peer(NamedTuple):
    """Who is at the other end of a connection, by the kernel's word (SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int


Accepted = _socket.socket
"""The socket of a connection, as `accept` of the module _socket makes it."""


def groups_of(sock: Accepted) -> Sequence[int]:
    """The peer's supplementary groups, as they were when it connected (SO_PEERGROUPS).

    None for a peer with more than 256, for Python's getsockopt takes no more.
    """
    try:
        groups = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS_SIZE)
    except OSError:
        return ()
    return [gid for (gid,) in struct.iter_unpack("=I", groups)]


Reply = Callable[[bytes], None]
Handler = Callable[[wire.Payload, Peer, Reply], None]
"""Answers one payload by calling `reply` with a frame, once, now or later, in the server's thread. The payload is
the server's own buffer, and good only until the handler returns."""

Permits = Callable[[Peer, Accepted], bool]
"""Whether this peer, at the other end of this connection, is served."""


@dataclass
class Listener:
    """A listening socket and what is done with its requests. `refuse` words a BadMessage in the socket's own reply
    form; `afterwards` is for what no peer has to wait for: it is called when one has its answer, or is gone."""

    name: str
    socket: socket.socket
    permits: Permits
    handle: Handler
    refuse: Callable[[wire.BadMessage], bytes]
    afterwards: Callable[[], None] = lambda: None


class Server:
    """Serves listeners until `stop`. Everything but `call_threadsafe` belongs to the thread that calls `run`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[], object]] = {}
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
        self._watch(self._wakeup_receiver.fileno(), select.EPOLLIN, self._on_wakeup)

    @property
    def wakeup_fd(self) -> int:
        """For signal.set_wakeup_fd, so that a signal ends the wait."""
        return self._wakeup_sender.fileno()

    def add(self, listener: Listener) -> None:
        """Serve one more listening socket."""
        listener.socket.setblocking(False)
        self._listeners.append(listener)
        self._watch(listener.socket.fileno(), select.EPOLLIN, functools.partial(self._accept, listener))

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` in the loop after so many seconds of monotonic time."""
        heapq.heappush(self._timers, (self.clock() + seconds, next(self._order), call))

    def call_threadsafe(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop as soon as may be; from any thread."""
        self._calls.append(call)
        self._wake()

    def run(self) -> None:
        """Serve until `stop`, then answer what was accepted, and return."""
        while not self._stopping or self._connections:
            for descriptor, _events in self._epoll.poll(self._wait()):
                on_ready = self._ready.get(descriptor)
                if on_ready is not None:  # an earlier event of this round may have closed it
                    on_ready()
            while self._timers and self._timers[0][0] <= self.clock():
                self._make(heapq.heappop(self._timers)[2])
            while self._calls:
                self._make(self._calls.popleft())

    def stop(self) -> None:
        """Accept nothing more; `run` returns when every accepted request has its answer, or soon after that."""
        if self._stopping:
            return
        self._stopping = True
        for listener in self._listeners:
            for _ in range(_BACKLOG):  # who is connected counts on an answer
                if not self._accept(listener):
                    break
            self._forget(listener.socket.fileno())
        self.call_later(DRAIN_TIMEOUT, self._drop_all)
        self._wake()

    def close(self) -> None:
        """Release the loop's own descriptors; the listening sockets stay their owner's."""
        self._drop_all()
        self._epoll.close()
        self._wakeup_receiver.close()
        self._wakeup_sender.close()

    # The loop's own business.

    def _make(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # our own bug must cost what it was about, not the daemon
            log.exception("a call of the loop failed")

    def _wait(self) -> float:
        return max(0.0, self._timers[0][0] - self.clock()) if self._timers else -1

    def _watch(self, descriptor: int, events: int, on_ready: Callable[[], object]) -> None:
        self._ready[descriptor] = on_ready
        self._epoll.register(descriptor, events)

    def _forget(self, descriptor: int) -> None:
        if self._ready.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full, so the loop is awake already
            self._wakeup_sender.send(b"\0")

    def _on_wakeup(self) -> None:
        try:
            while self._wakeup_receiver.recv(4096):
                pass
        except BlockingIOError:
            pass

    # Connections.

    def _accept(self, listener: Listener) -> bool:
        """Accept one client. One a round: to ask for a second would cost every single one a system call more."""
        try:
            descriptor, _address = listener.socket._accept()  # type: ignore[attr-defined]
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                self._pause(listener, error)
            return False  # else that one client went away
        connection = _Connection(self, listener, descriptor)
        connection.receive()
        if not connection.closed:
            self._connections.add(connection)
        return True

    def _pause(self, listener: Listener, error: OSError) -> None:
        """Out of descriptors: a level-triggered listener would spin until one is free, so look again a little later."""
        pause = _ACCEPT_PAUSE * 1000
        log.warning("can't accept on the %s socket: %s; trying again every %.0f ms", listener.name, error, pause)
        self._forget(listener.socket.fileno())

        def resume() -> None:
            if not self._stopping:
                self._watch(listener.socket.fileno(), select.EPOLLIN, functools.partial(self._accept, listener))

        self.call_later(_ACCEPT_PAUSE, resume)

    def _drop_all(self) -> None:
        for connection in list(self._connections):
            connection.drop()


class _Connection:
    """One client: first its request comes in, then the reply goes out, then it is over.

    Nearly always all of that happens within one call of `receive`; what does not waits in the server's epoll. The
    descriptor is a bare `_socket.socket`, and never set to non-blocking: socket.socket's own accept() and close() take
    longer than all that they do, and MSG_DONTWAIT costs no system call.
    """

    __slots__ = ("_deadline", "_listener", "_outgoing", "_received", "_server", "_socket", "_watched", "closed")

    def __init__(self, server: Server, listener: Listener, descriptor: int) -> None:
        self._server = server
        self._listener = listener
        self._socket = _socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)
        self._received: bytearray | None = None  # what has come of a request that did not come at once
        self._outgoing: memoryview | None = None
        self._watched = False
        self._deadline = math.inf  # no limit while the answer is looked for: that has its own
        self.closed = False

    def receive(self) -> None:
        """Take what has arrived, and serve the request when it is whole."""
        try:
            count = self._socket.recv_into(_BUFFER, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._wait_for(select.EPOLLIN, self.receive)
            return
        except OSError:
            count = 0
        if not count:
            self.drop()
            return
        received = _BUFFER[:count]
        if self._received is not None:
            self._received += received
            received = memoryview(self._received)
        try:
            size = wire.frame_size(received)
        except wire.BadMessage as error:
            self.reply(self._listener.refuse(error))
            return
        if size <= len(received):
            self._dispatch(received[wire.HEADER.size : size])
            return
        if self._received is None:
            self._received = bytearray(received)
        self._wait_for(select.EPOLLIN, self.receive)

    def _dispatch(self, payload: memoryview) -> None:
        # One request a connection: nothing else is read, and a peer that goes away is noticed at the reply.
        self._stop_waiting()
        listener = self._listener
        peer = Peer(*_PEERCRED.unpack(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)))
        # Not before the request is read: a peer whose write fails may never read why.
        if not listener.permits(peer, self._socket):
            denied = wire.BadMessage("not-permitted", f"uid {peer.uid} may not use the {listener.name} socket")
            self.reply(listener.refuse(denied))
            return
        try:
            listener.handle(payload, peer, self.reply)
        except Exception:  # our own bug must cost one request, not the daemon
            log.exception("a request on the %s socket failed", listener.name)
            failed = wire.BadMessage("internal", "the daemon failed; its journal says how")
            self.reply(listener.refuse(failed))

    def reply(self, answer: bytes) -> None:
        """Give the peer its answer; whatever was still to be received is not."""
        if not self.closed:  # dropped while its answer was looked for
            self._stop_waiting()
            self._outgoing = memoryview(answer)
            self._send()

    def _send(self) -> None:
        """Give what the peer takes."""
        assert self._outgoing is not None
        try:
            while self._outgoing:
                sent = self._socket.send(self._outgoing, _SEND_FLAGS)
                self._outgoing = self._outgoing[sent:]
        except BlockingIOError:
            self._wait_for(select.EPOLLOUT, self._send)
            return
        except OSError:
            pass  # the peer is gone; there is no one to tell
        self.drop()

    def drop(self) -> None:
        """It is over."""
        if not self.closed:
            self.closed = True
            self._stop_waiting()
            self._server._connections.discard(self)
            self._socket.close()
            self._server._calls.append(self._listener.afterwards)

    def _wait_for(self, events: int, on_ready: Callable[[], None]) -> None:
        """From the first wait on the peer has so long to send its request, or to take its reply."""
        if not self._watched:
            self._watched = True
            self._server._watch(self._socket.fileno(), events, on_ready)
            self._deadline = self._server.clock() + REQUEST_TIMEOUT
            self._server.call_later(REQUEST_TIMEOUT, self._expire)

    def _stop_waiting(self) -> None:
        if self._watched:
            self._watched = False
            self._server._forget(self._socket.fileno())
            self._deadline = math.inf

    def _expire(self) -> None:
        if self._deadline <= self._server.clock():
            self.drop()


def bind(path: str, mode: int) -> socket.socket:
    """A listening UNIX socket at `path`, in place of one that nobody listens on any more. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_socket(path) and _is_dead(path):  # nothing else is ever replaced
            os.unlink(path)
        sock.bind(path)
        os.chmod(path, mode)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(f"can't listen on {path}: {error.strerror or error}") from None
    return sock


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_dead(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED
