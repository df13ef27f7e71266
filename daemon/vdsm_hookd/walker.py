"""Walks the running domains, in a thread and over a connection of its own: libvirt's calls can hang, and then neither
a request, nor the network view, nor the watchdog may wait for them."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Callable, NamedTuple

import libvirt

from vdsm_hookd import document
from vdsm_hookd.drift import Drift, Vnic, vnics
from vdsm_hookd.watch import error_text, read_only

log = logging.getLogger(__name__)

MAX_ASKS = 64
"""Walks that may be waited for at once, while libvirt hangs."""


class Walk(NamedTuple):
    """All running vNICs as they were at a time (seconds since the epoch), or why they could not be read."""

    at: float
    domains: int = 0
    vnics: tuple[Vnic, ...] = ()
    drifts: tuple[Drift, ...] = ()
    failure: str = ""


class Walker:
    """A thread that walks when it is asked to, and the last walk that succeeded."""

    def __init__(self, uri: str, drift_of: Callable[[Vnic], Drift | None]) -> None:
        """`drift_of` judges a vNIC, in the walker's thread."""
        self._drift_of = drift_of
        self.uri = uri
        """May be changed at any time."""
        self.last: Walk | None = None
        self.last_on_clock = 0.0
        """When that was, in seconds of monotonic time."""
        self.walks: Counter[str] = Counter()
        """How many ended `ok` and `failed`."""
        self._asks: queue.Queue[Callable[[Walk], None]] = queue.Queue(MAX_ASKS)
        self._thread: threading.Thread | None = None

    def ask(self, done: Callable[[Walk], None]) -> bool:
        """Walk as soon as may be, then call `done` in the walker's thread. False when too many wait already.

        `done` may come late or never, while libvirt hangs: the caller sets the deadline.
        """
        if self._thread is None:  # not before there is something to do
            self._thread = threading.Thread(target=self._run, name="libvirt-audit", daemon=True)
            self._thread.start()
        try:
            self._asks.put_nowait(done)
        except queue.Full:
            return False
        return True

    def _run(self) -> None:
        while True:
            asks = [self._asks.get(), *self._waiting()]  # who asks during a walk gets the next one
            walk = self._walk()
            self.walks["failed" if walk.failure else "ok"] += 1
            if not walk.failure:
                self.last, self.last_on_clock = walk, time.monotonic()
            for done in asks:
                done(walk)

    def _waiting(self) -> Iterator[Callable[[Walk], None]]:
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._asks.get_nowait()

    def _walk(self) -> Walk:
        try:
            with read_only(self.uri) as connection:
                return self._read(connection)
        except libvirt.libvirtError as error:
            return Walk(time.time(), failure=f"libvirt at {self.uri}: {error_text(error)}")
        except Exception as error:  # our own bug must not end the thread
            log.exception("the audit failed")
            return Walk(time.time(), failure=f"the audit failed: {type(error).__name__}")

    def _read(self, connection: libvirt.virConnect) -> Walk:
        domains = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        found: list[Vnic] = []
        for domain in domains:
            try:
                found += vnics(domain.XMLDesc(0).encode())
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:  # else it ended meanwhile
                    raise
            except document.BadDocument as error:
                log.error("libvirt's description of domain %r can't be used: %s", domain.name(), error)
        drifts = [drift for drift in map(self._drift_of, found) if drift is not None]
        return Walk(time.time(), len(domains), tuple(found), tuple(drifts))
