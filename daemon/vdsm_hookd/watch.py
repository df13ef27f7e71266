"""Keeps a NetworkView true to libvirt, in two threads of its own: requests only ever read `Watch.view`.

One thread runs libvirt's event loop, which dispatches callbacks and keepalives and never blocks. The other makes every
call that may: with libvirtd stopped a call hangs until the keepalive gives up, and opening a connection hangs for as
long as it lasts. Events are hints (net-update, a reloaded or restarted libvirtd send none), so everything is read again
from time to time.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
import time
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Callable

import libvirt

from vdsm_hookd import document, networks
from vdsm_hookd.networks import Network, NetworkView

log = logging.getLogger(__name__)

KEEPALIVE_INTERVAL = 2  # seconds
KEEPALIVE_COUNT = 3
BACKOFF = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between attempts to connect; the last one repeats for ever."""
MAX_ASKS = 1000
"""Networks that may be asked for at once. Their names come from users."""


class _Lost(Exception):
    """The connection is gone; the text says how."""


class Watch:
    """A read-only libvirt connection and the network view that it keeps fresh."""

    def __init__(self, uri: str, resync_every: float) -> None:
        """`resync_every` (seconds) may be changed at any time."""
        self.resync_every = resync_every
        self.view = NetworkView()
        self.link_since: float | None = None
        """When the connection came up or was lost (seconds since the epoch)."""
        self.synced_on_clock: float | None = None
        """When all networks were last read, in seconds of monotonic time: for their age, come what may to the clock."""
        self.connects = 0
        """How often the connection came up."""
        self.uri = uri
        self.version = ""
        """Of the libvirt that was reached last; empty before the first time."""
        self._known: dict[str, Network] = {}
        self._fingerprints: dict[str, int] = {}
        self._hints: queue.SimpleQueue[Callable[[libvirt.virConnect], None]] = queue.SimpleQueue()
        self._asks: dict[str, list[Callable[[], None]]] = {}
        self._asks_lock = threading.Lock()
        self._synced = threading.Event()

    def start(self) -> None:
        """Begin to connect, and never give up. Once a process, for libvirt's event loop is the process's."""
        libvirt.registerErrorHandler(
            lambda context, error: None, None
        )  # it would print to stderr what is logged anyway
        libvirt.virEventRegisterDefaultImpl()
        # Daemon threads: both may sit in a libvirt call when the process is to end.
        threading.Thread(target=self._run_events, name="libvirt-events", daemon=True).start()
        threading.Thread(target=self._run, name="libvirt-watch", daemon=True).start()

    def wait_synced(self, timeout: float) -> bool:
        """Whether all networks have been read once, waiting for it up to `timeout` seconds."""
        return self._synced.wait(timeout)

    def ask(self, name: str, done: Callable[[], None]) -> None:
        """Read one network from libvirt as soon as may be, then call `done` in the watch's thread.

        `done` may come late or never, for instance while libvirt hangs: the caller sets the deadline.
        """
        with self._asks_lock:
            waiting = self._asks.get(name)
            if waiting is not None:
                waiting.append(done)
                return
            if len(self._asks) >= MAX_ASKS:
                return
            self._asks[name] = [done]
        self._hints.put(lambda connection: self._answer(connection, name))

    def _answer(self, connection: libvirt.virConnect, name: str) -> None:
        with self._asks_lock:
            waiting = self._asks.pop(name)
        self._refresh(connection, name)
        for done in waiting:
            done()

    # The two threads.

    def _run_events(self) -> None:
        while True:
            if libvirt.virEventRunDefaultImpl() < 0:
                log.error("libvirt's event loop failed; trying again")
                time.sleep(1)

    def _run(self) -> None:
        attempt = 0
        while True:
            try:
                connection = libvirt.openReadOnly(self.uri)
            except libvirt.libvirtError as error:
                self._set_outage(f"can't connect to libvirt at {self.uri}: {error_text(error)}")
                time.sleep(BACKOFF[min(attempt, len(BACKOFF) - 1)])
                attempt += 1
                continue
            callbacks: list[int] = []
            try:
                self._attach(connection, callbacks)
                self._follow(connection)
            except (_Lost, libvirt.libvirtError) as error:
                reason = str(error) if isinstance(error, _Lost) else error_text(error)
                self._set_outage(f"the connection to libvirt at {self.uri} was lost: {reason}")
            except Exception as error:  # our own bug must not end the watch
                log.exception("the libvirt watch failed; connecting again")
                self._set_outage(f"the libvirt watch failed: {type(error).__name__}")
            finally:
                _detach(connection, callbacks)
            attempt = 0
            time.sleep(BACKOFF[0])

    def _attach(self, connection: libvirt.virConnect, callbacks: list[int]) -> None:
        if_supported(lambda: connection.setKeepAlive(KEEPALIVE_INTERVAL, KEEPALIVE_COUNT))
        if_supported(lambda: connection.registerCloseCallback(self._on_close, connection))

        def on_lifecycle(
            _connection: Any, network: libvirt.virNetwork, _event: int, _detail: int, _opaque: Any
        ) -> None:
            name = network.name()
            self._hints.put(lambda connection: self._refresh(connection, name))

        event = libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE
        callbacks.append(connection.networkEventRegisterAny(None, event, on_lifecycle, None))

    def _on_close(self, closed: libvirt.virConnect, reason: int, opaque: Any) -> None:
        words = {
            libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: "an I/O error",
            libvirt.VIR_CONNECT_CLOSE_REASON_EOF: "libvirt closed it",
            libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: "libvirt does not answer keepalives",
            libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT: "closed here",
        }
        text = words.get(reason, f"reason {reason}")

        def lose(connection: libvirt.virConnect) -> None:
            if connection is opaque:  # not a word about one that was replaced meanwhile
                raise _Lost(text)

        self._hints.put(lose)

    # Everything below runs in the watch's thread.

    def _follow(self, connection: libvirt.virConnect) -> None:
        """Follow one connection until it is lost, which ends in an exception."""
        self.version = version_text(connection.getLibVersion())
        self._set_link_up()
        while True:
            started = time.monotonic()
            self._resync(connection)
            while True:
                rest = started + self.resync_every - time.monotonic()
                if rest <= 0:
                    break
                try:
                    hint = self._hints.get(timeout=rest)
                except queue.Empty:
                    break
                hint(connection)

    def _resync(self, connection: libvirt.virConnect) -> None:
        """Read all networks. Hints are served in between, for with thousands of networks this takes seconds."""
        listed = connection.listAllNetworks(0)
        active, persistent, autostart = (
            {network.name() for network in connection.listAllNetworks(flag)}
            for flag in (
                libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE,
                libvirt.VIR_CONNECT_LIST_NETWORKS_PERSISTENT,
                libvirt.VIR_CONNECT_LIST_NETWORKS_AUTOSTART,
            )
        )
        for gone in self._known.keys() - {network.name() for network in listed}:
            self._forget(gone)
        for network in listed:
            name = network.name()
            try:
                self._learn(name, network.XMLDesc(0), name in active, name in persistent, name in autostart)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
                    raise
                self._forget(name)
            while not self._hints.empty():
                self._hints.get()(connection)
        self._publish(complete=True)
        self._synced.set()

    def _refresh(self, connection: libvirt.virConnect, name: str) -> None:
        """Read one network."""
        try:
            network = connection.networkLookupByName(name)
            flags = (bool(network.isActive()), bool(network.isPersistent()), bool(network.autostart()))
            self._learn(name, network.XMLDesc(0), *flags)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
                raise
            self._forget(name)
        self._publish()

    def _learn(self, name: str, xml: str, active: bool, persistent: bool, autostart: bool) -> None:
        fingerprint = hash((xml, active, persistent, autostart))
        if self._fingerprints.get(name) == fingerprint:
            return
        try:
            self._known[name] = networks.parse(xml, active=active, persistent=persistent, autostart=autostart)
        except document.BadDocument as error:
            log.error("libvirt's description of network %r can't be used: %s", name, error)
            self._known.pop(name, None)
        self._fingerprints[name] = fingerprint

    def _forget(self, name: str) -> None:
        self._known.pop(name, None)
        self._fingerprints.pop(name, None)

    def _publish(self, complete: bool = False) -> None:
        by_name = MappingProxyType(dict(self._known))
        if complete:
            self.synced_on_clock = time.monotonic()
            self.view = NetworkView(by_name, outage="", synced_at=time.time())
        else:
            self.view = NetworkView(by_name, self.view.outage, self.view.synced_at)

    def _set_link_up(self) -> None:
        self.link_since = time.time()
        self.connects += 1
        log.info("connected to libvirt at %s", self.uri)
        # An old view stays marked as such until it is confirmed; an empty one only makes requests ask.
        if self.view.synced_at is None:
            self.view = self.view.with_outage("")

    def _set_outage(self, reason: str) -> None:
        if not self.view.outage or self.link_since is None:
            self.link_since = time.time()
            log.warning("%s", reason)
        self.view = self.view.with_outage(reason)


def _detach(connection: libvirt.virConnect, callbacks: list[int]) -> None:
    """Close for good. Callbacks that are still registered would keep the connection, and two descriptors, alive
    (tried)."""
    closing = [functools.partial(connection.networkEventDeregisterAny, callback) for callback in callbacks]
    for call in (*closing, connection.unregisterCloseCallback, connection.close):
        with contextlib.suppress(libvirt.libvirtError):  # it may be dead, which is why it is being closed
            call()


def if_supported(call: Callable[[], Any]) -> None:
    """The test driver has neither keepalive nor a connection that could close."""
    try:
        call()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise


@contextlib.contextmanager
def read_only(uri: str) -> Iterator[libvirt.virConnect]:
    """A connection for a few calls, none of which waits for ever for a libvirtd that hangs. Raises libvirtError."""
    connection = libvirt.openReadOnly(uri)
    try:
        if_supported(lambda: connection.setKeepAlive(KEEPALIVE_INTERVAL, KEEPALIVE_COUNT))
        yield connection
    finally:
        connection.close()


def version_text(number: int) -> str:
    """libvirt's way to write a version as one number, in people's."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def error_text(error: libvirt.libvirtError) -> str:
    """What libvirt says of an error, without its class."""
    return str(error.get_error_message() or error)
