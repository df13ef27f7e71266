"""The daemon's state, the hook calls that are answered from it by the decision core, and what is remembered of them."""

from __future__ import annotations

import functools
import grp
import math
import os
import pwd
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Callable

from vdsm_hookd import answers, decision, journal, systemd, wake_table, wire
from vdsm_hookd.audits import Audits
from vdsm_hookd.config import Config
from vdsm_hookd.decision import Decision, Request
from vdsm_hookd.document import Memory
from vdsm_hookd.follow import Followers
from vdsm_hookd.history import History, Record
from vdsm_hookd.ini import ConfigError, Origin, Problem
from vdsm_hookd.kept import Kept
from vdsm_hookd.lookout import Lookout
from vdsm_hookd.metrics import Metrics
from vdsm_hookd.once import Once
from vdsm_hookd.policy import Policy
from vdsm_hookd.running import Look
from vdsm_hookd.server import Accepted, Listener, Peer, Reply, Server
from vdsm_hookd.watch import Watch

GATHER = 0.02
"""Seconds after an answer in which the decision is put down."""
MAX_GATHERED = 64
UPDATE_ASK_TIMEOUT = 2.0
"""Seconds that an update of a running vNIC waits for libvirt at least: a guess may move it."""
LARGE = 64 * 1024
"""Bytes of a document that is not kept waiting for it."""


class Service:
    """The state that requests are answered from: a configuration, its policy, and the watch's network view."""

    def __init__(
        self,
        load: Callable[[], tuple[Config, Policy]],
        server: Server,
        first: tuple[Config, Policy],
        failure: str = "",
    ) -> None:
        """`load` reads the configuration on disk for a reload, and `first` is what serves until then; `failure` says
        why that is not what is on disk."""
        self._load = load
        self._kept: Kept | None = None
        self._server = server
        self.started_at = time.time()
        self.sockets: Mapping[str, str] = {}
        """The paths that are served, by name."""
        self.last_refusal: Record | None = None
        self.reload_failure = failure
        """Why the configuration on disk is not the one in force; empty while it is."""
        self._unsettled: list[tuple[Request, Decision, float, float]] = []
        self._calls = wire.CallReader()
        self._memory = Memory()
        self._wake_path = ""
        loaded, policy = first
        self.metrics = Metrics(policy)
        self.history = History(loaded.history.entries, loaded.history.size)
        self.followers = Followers(server.call_later)
        self.watch = Watch(loaded.libvirt.uri, loaded.libvirt.resync)
        self.audits = Audits(loaded, self.watch, server)
        self._lookout = Lookout(loaded.audit.uri)
        self._use(loaded, policy)

    def _use(self, config: Config, policy: Policy) -> None:
        # First what may fail. The shim's table never asks less than the policy that is in force a moment later.
        hook_users = frozenset({0, os.geteuid(), _uid(config.daemon.vdsm_user)})
        control_group = _gid(config.daemon.control_group)
        if self._wake_path:
            self._write_wake_table(policy)
        self.config = config
        self.policy = policy
        self.loaded_at = time.time()
        self.metrics.use(policy)
        self.history.limit(config.history.entries, config.history.size)
        self.watch.resync_every = config.libvirt.resync
        self.audits.use(config)
        self._lookout.uri = config.audit.uri
        self._hook_users = hook_users
        self.control_group = control_group
        """The gid of the group that may ask on the control socket, if there is one."""
        if self._kept is not None:
            self._kept.keep(config.source)

    def keep_configuration(self, kept: Kept) -> None:
        """From now on keep what is in force. Not before it really is: another daemon's would be overwritten."""
        self._kept = kept
        kept.keep(self.config.source)

    def keep_wake_table(self, path: str) -> None:
        """From now on tell the shim at `path` what wakes it. Raises ConfigError when that can't be written."""
        self._wake_path = path
        self._write_wake_table(self.policy)

    def _write_wake_table(self, policy: Policy) -> None:
        try:
            wake_table.write(self._wake_path, policy.wake_table())
        except OSError as error:
            reason = f"the shim's wake table can't be written: {error}"
            raise ConfigError([Problem(Origin(self._wake_path, 0), reason)]) from None

    def reload(self) -> None:
        """Put the configuration on disk into force, whole, or raise ConfigError and leave the old one."""
        systemd.notify_reloading()
        try:
            self._use(*self._load())
        except ConfigError as error:
            self.reload_failure = str(error)
            journal.reload_failed(error)
            raise
        else:
            self.reload_failure = ""
            journal.reloaded(self.config.files)
        finally:
            systemd.notify_ready(self.summary())

    def listener(self, sock: socket.socket) -> Listener:
        """The hook socket's."""
        return Listener("hook", sock, self._may_call, self._on_hook_call, wire.hook_refusal, self._afterwards)

    def _may_call(self, peer: Peer, sock: Accepted) -> bool:
        return peer.uid in self._hook_users

    def summary(self) -> str:
        """One line for systemd's status."""
        view = self.watch.view
        active = sum(network.active for network in view.by_name.values())
        return f"{active} of {len(view.by_name)} networks active{f'; {view.outage}' if view.outage else ''}"

    def _on_hook_call(self, payload: wire.Payload, peer: Peer, reply: Reply) -> None:
        started = time.monotonic()
        try:
            request = self._calls.read(payload)
        except wire.BadMessage as error:
            reply(wire.hook_refusal(error))
            self.metrics.bad_messages[error.code] += 1
            journal.bad_message(error, peer)
            return
        self._decide(request, self.policy, functools.partial(self._answer, reply, started))

    def _decide(self, request: Request, policy: Policy, answer: Callable[[Request, Decision], None]) -> None:
        """Decide, and first look at what the decision wants to see: the running vNIC, then networks in doubt."""
        view = self.watch.view
        decided = decision.decide(request, policy, view, memory=self._memory)
        if decided.blind:
            self.look(request, lambda look: self._decide(request._replace(look=look), policy, answer))
        elif decided.doubts and (request.look is not None or not view.outage):
            # An update waits for a libvirt that is away, too: on a stale view it could be what libvirt refuses.
            self._ask_libvirt(request, policy, decided.doubts, answer)
        else:
            answer(request, decided)

    def look(self, request: Request, done: Callable[[Look], None]) -> None:
        """Look at the running vNIC that a request is about, for a limited time, and call `done` once."""
        settle, timeout = Once(done), self.config.libvirt.look_timeout
        vm_id = answers.text(request.environment.get("vmId", b""))
        self._lookout.look(
            vm_id, request.document, timeout, lambda look: self._server.call_threadsafe(lambda: settle(look))
        )
        late = Look(failure=f"libvirt at {self._lookout.uri} did not answer within {timeout:g} s")
        self._server.call_later(timeout, lambda: settle(late))

    def _ask_libvirt(
        self,
        request: Request,
        policy: Policy,
        names: Collection[str],
        answer: Callable[[Request, Decision], None],
        asked: frozenset[str] = frozenset(),
        ends: float = math.inf,
    ) -> None:
        """Events are hints: before an answer stands on the state of networks, libvirt is asked about each, for a
        limited time. What it says may bring others into doubt, which are asked about, too."""
        libvirt, waiting = self.config.libvirt, set(names)
        timeout = libvirt.ask_timeout if request.look is None else max(libvirt.ask_timeout, UPDATE_ASK_TIMEOUT)
        ends = min(ends, time.monotonic() + timeout)

        def finish(outage: str) -> None:
            view = self.watch.view
            seen = view.with_outage(outage) if outage and not view.outage else view
            decided = decision.decide(request, policy, seen)
            more = frozenset(decided.doubts).difference(asked, names)
            if more and not seen.outage:
                self._ask_libvirt(request, policy, more, answer, asked.union(names), ends)
            else:
                answer(request, decided)

        settle = Once(finish)

        def learned(name: str) -> None:
            waiting.discard(name)
            if not waiting:
                settle("")

        for name in names:
            self.watch.ask(name, functools.partial(self._server.call_threadsafe, functools.partial(learned, name)))
        late = f"libvirt did not answer within {timeout * 1000:.0f} ms"
        self._server.call_later(max(0.0, ends - time.monotonic()), lambda: settle(late))

    def _answer(self, reply: Reply, started: float, request: Request, final: Decision) -> None:
        reply(wire.hook_reply(final))
        # Put down a little later: the next hook of the same VM follows at once, and would wait for it.
        self._unsettled.append((request, final, time.time(), time.monotonic() - started))
        if len(self._unsettled) == 1:
            self._server.call_later(GATHER, self.settle)

    def _afterwards(self) -> None:
        self._memory.release()
        if len(self._unsettled) >= MAX_GATHERED or (self._unsettled and len(self._unsettled[-1][0].document) > LARGE):
            self.settle()

    def settle(self) -> None:
        """Tell the journal, the metrics, the history and who follows it of the decisions that were made since the last
        time. Whoever asks about these has it done first."""
        unsettled, self._unsettled = self._unsettled, []
        for request, final, at, seconds in unsettled:
            try:
                self._put_down(request, final, at, seconds)
            except Exception:  # our own bug must cost one record, not the daemon
                journal.log.exception("a decision could not be put down")
        if unsettled:
            self.followers.notify()

    def _put_down(self, request: Request, final: Decision, at: float, seconds: float) -> None:
        self.metrics.count(final, seconds, final.network in self.watch.view.by_name)
        record = self.history.add(request, final, at, seconds)
        if final.outcome == "refused":
            self.last_refusal = record
        journal.decision(final, seconds)

    def degraded(self) -> Sequence[str]:
        """Why an operator should come; nothing while all is well."""
        stale = f"the configuration on disk is not in force: {self.reload_failure}" if self.reload_failure else ""
        not_kept = self._kept.failure if self._kept is not None else ""
        return [reason for reason in (self.watch.view.outage, stale, not_kept) if reason]


def _uid(user: str) -> int:
    """The uid of a user, or root's where there is none: a host without vdsm serves root alone."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return 0


def _gid(group: str) -> int | None:
    """The gid of a group. None without one; where it is unknown, too, for the hooks do not need it."""
    try:
        return grp.getgrnam(group).gr_gid if group else None
    except KeyError:
        journal.log.warning("[daemon] control_group = %s: there is no such group; only root may ask", group)
        return None
