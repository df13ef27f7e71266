"""The daemon's state, and the hook calls that are answered from it by the decision core."""

from __future__ import annotations

import functools
import os
import pwd
import socket
import time
from collections import Counter
from collections.abc import Mapping
from typing import Callable

from vdsm_hookd import decision, journal, systemd, wake_table, wire
from vdsm_hookd.config import Config
from vdsm_hookd.decision import Decision, Request
from vdsm_hookd.document import Memory
from vdsm_hookd.ini import ConfigError, Origin, Problem
from vdsm_hookd.policy import Policy
from vdsm_hookd.server import Listener, Peer, Reply, Server
from vdsm_hookd.watch import Watch


class Service:
    """The state that requests are answered from: a configuration, its policy, and the watch's network view."""

    def __init__(self, load: Callable[[], tuple[Config, Policy]], server: Server) -> None:
        """Raises ConfigError when the configuration can't be used."""
        self._load = load
        self._server = server
        self.started_at = time.time()
        self.counts: Counter[str] = Counter()
        self.last_refusal: Mapping[str, object] | None = None
        self._calls = wire.CallReader()
        self._memory = Memory()
        self._wake_path = ""
        self._use(*load())
        self.watch = Watch(self.config.libvirt.uri, self.config.libvirt.resync)

    def _use(self, config: Config, policy: Policy) -> None:
        # First what may fail. The shim's table never asks less than the policy that is in force a moment later.
        if self._wake_path:
            self._write_wake_table(policy)
        self.config = config
        self.policy = policy
        self.loaded_at = time.time()
        self._hook_users = frozenset({0, os.geteuid(), _uid(config.daemon.vdsm_user)})

    def keep_wake_table(self, path: str) -> None:
        """From now on tell the shim at `path` what wakes it. Raises ConfigError when that can't be written."""
        self._wake_path = path
        self._write_wake_table(self.policy)

    def _write_wake_table(self, policy: Policy) -> None:
        try:
            wake_table.write(self._wake_path, policy.wake_table())
        except (OSError, ValueError) as error:
            reason = f"the shim's wake table can't be written: {error}"
            raise ConfigError([Problem(Origin(self._wake_path, 0), reason)]) from None

    def reload(self) -> None:
        """Put the configuration on disk into force, whole, or raise ConfigError and leave the old one."""
        systemd.notify_reloading()
        try:
            self._use(*self._load())
            self.watch.resync_every = self.config.libvirt.resync
        except ConfigError as error:
            journal.reload_failed(error)
            raise
        else:
            journal.reloaded(self.config.files)
        finally:
            systemd.notify_ready(self.summary())

    def listener(self, sock: socket.socket) -> Listener:
        """The hook socket's."""
        return Listener("hook", sock, self._may_call, self._on_hook_call, wire.hook_refusal)

    def _may_call(self, peer: Peer) -> bool:
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
            journal.bad_message(error, peer)
            return
        policy, view = self.policy, self.watch.view
        decided = decision.decide(request, policy, view, memory=self._memory)
        if decided.unsure and not view.outage:
            self._ask_libvirt(request, policy, decided.network, functools.partial(self._answer, reply, started))
        else:
            self._answer(reply, started, decided)

    def _ask_libvirt(self, request: Request, policy: Policy, network: str, answer: Callable[[Decision], None]) -> None:
        """Events are hints: before an answer stands on a network's absence, libvirt is asked, for a limited time."""
        waiting = True

        def settle(outage: str = "") -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                view = self.watch.view
                answer(
                    decision.decide(request, policy, view.with_outage(outage) if outage and not view.outage else view)
                )

        timeout = self.config.libvirt.ask_timeout
        self.watch.ask(network, lambda: self._server.call_threadsafe(settle))
        self._server.call_later(timeout, lambda: settle(f"libvirt did not answer within {timeout * 1000:.0f} ms"))

    def _answer(self, reply: Reply, started: float, final: Decision) -> None:
        reply(wire.hook_reply(final))
        self._record(final, time.monotonic() - started)

    def _record(self, final: Decision, seconds: float) -> None:
        self.counts[final.outcome] += 1
        if final.outcome == "refused":
            self.last_refusal = {"at": time.time(), "hook": final.hook, "event": final.event, "message": final.message}
        journal.decision(final, seconds)


def _uid(user: str) -> int:
    """The uid of a user, or root's where there is none: a host without vdsm serves root alone."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return 0
