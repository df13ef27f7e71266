"""When running vNICs are audited, and what of it is news."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

from vdsm_hookd import journal
from vdsm_hookd.config import Config
from vdsm_hookd.drift import Drift, Vnic, judge
from vdsm_hookd.once import Once
from vdsm_hookd.server import Server
from vdsm_hookd.walker import Walk, Walker
from vdsm_hookd.watch import Watch

TIMEOUT = 4.0
"""Seconds that a question waits for a walk."""


class Audits:
    """Walks on request and on a timer. All but the walk itself happens in the server's thread."""

    def __init__(self, config: Config, watch: Watch, server: Server) -> None:
        self.walker = Walker(config.audit.uri, self._drift_of)
        self.drifts: tuple[Drift, ...] = ()
        """What the last good walk found."""
        self.found = 0
        """How many drifts were ever new."""
        self.failure = ""
        """Why the last walk on the timer failed; empty when it did not."""
        self._watch = watch
        self._server = server
        self._every = 0.0
        self._timer = object()
        self._mapped: Mapping[str, str] = {}

    def use(self, config: Config) -> None:
        """Put a configuration into force; its timer begins anew where it is another one."""
        self.walker.uri = config.audit.uri
        extnet = config.hooks.get("extnet")
        self._mapped = extnet.map if extnet is not None else {}
        if config.audit.every != self._every:
            self._every = config.audit.every
            self._schedule()

    def ask(self, done: Callable[[Walk], None], timeout: float = TIMEOUT) -> None:
        """Walk, and call `done` once, at the latest after `timeout` seconds: with a failure then."""
        settle = Once(done)

        def take(walk: Walk) -> None:
            self._take(walk)
            settle(walk)

        late = Walk(0.0, failure=f"libvirt at {self.walker.uri} did not answer within {timeout:g} s")
        if self.walker.ask(lambda walk: self._server.call_threadsafe(lambda: take(walk))):
            self._server.call_later(timeout, lambda: settle(late))
        else:
            settle(late._replace(failure="too many audits wait for libvirt already"))

    def _drift_of(self, vnic: Vnic) -> Drift | None:
        """In the walker's thread; view and map are each read once and never change."""
        return judge(vnic, self._watch.view, self._mapped)

    def _take(self, walk: Walk) -> None:
        """The news of a walk, each drift once: into the journal."""
        if walk.failure:
            return
        known = frozenset(self.drifts)
        for drift in walk.drifts:
            if drift not in known:
                self.found += 1
                journal.drifted(drift)
        for drift in known.difference(walk.drifts):
            journal.no_longer_drifted(drift)
        self.drifts = walk.drifts

    def _schedule(self) -> None:
        self._timer = timer = object()

        def run() -> None:
            if self._timer is timer:  # no reload has set another one
                self.ask(self._note_failure)
                self._server.call_later(self._every, run)

        if self._every:
            self._server.call_later(self._every, run)

    def _note_failure(self, walk: Walk) -> None:
        if walk.failure and not self.failure:  # once, however long it lasts
            journal.audit_failed(walk.failure)
        self.failure = walk.failure
