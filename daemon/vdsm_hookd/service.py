"""What the daemon answers: hook calls by the decision core, operators' questions from the same state."""

from __future__ import annotations

import functools
import os
import pwd
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from vdsm_hookd import __version__, decision, journal, systemd, wake_table, wire
from vdsm_hookd.config import Config
from vdsm_hookd.decision import Decision, Request
from vdsm_hookd.ini import ConfigError, Origin, Problem
from vdsm_hookd.networks import Network
from vdsm_hookd.policy import Policy
from vdsm_hookd.server import Listener, Peer, Reply, Server
from vdsm_hookd.watch import Watch


class Service:
    """The state that requests are answered from: a configuration, its policy, and the watch's network view."""

    def __init__(self, load: Callable[[], tuple[Config, Policy]], server: Server) -> None:
        """Raises ConfigError when the configuration can't be used."""
        self._load = load
        self._server = server
        self._started_at = time.time()
        self._counts: Counter[str] = Counter()
        self._last_refusal: Mapping[str, object] | None = None
        self._wake_path = ""
        self._use(*load())
        self.watch = Watch(self.config.libvirt.uri, self.config.libvirt.resync)

    def _use(self, config: Config, policy: Policy) -> None:
        # First what may fail. The shim's table never asks less than the policy that is in force a moment later.
        if self._wake_path:
            self._write_wake_table(policy)
        self.config = config
        self.policy = policy
        self._loaded_at = time.time()
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

    def listener(self, name: str, sock: Any) -> Listener:
        """The listener for the `hook` or the `control` socket."""
        if name == "hook":
            return Listener(
                name, sock, lambda peer: peer.uid in self._hook_users, self._on_hook_call, wire.hook_refusal
            )
        return Listener(name, sock, lambda peer: peer.uid in (0, os.geteuid()), self._on_question, wire.control_refusal)

    def summary(self) -> str:
        """One line for systemd's status."""
        view = self.watch.view
        active = sum(network.active for network in view.by_name.values())
        return f"{active} of {len(view.by_name)} networks active{f'; {view.outage}' if view.outage else ''}"

    # Hook calls.

    def _on_hook_call(self, payload: bytes, peer: Peer, reply: Reply) -> None:
        started = time.monotonic()
        try:
            request = wire.read_request(payload)
        except wire.BadMessage as error:
            reply(wire.hook_refusal(error))
            journal.bad_message(error, peer)
            return
        policy, view = self.policy, self.watch.view
        decided = decision.decide(request, policy, view)
        answer = functools.partial(self._answer, reply, started)
        if decided.unsure and not view.outage:
            self._ask_libvirt(request, policy, decided.network, answer)
        else:
            answer(decided)

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
        self._counts[final.outcome] += 1
        if final.outcome == "refused":
            self._last_refusal = {"at": time.time(), "hook": final.hook, "event": final.event, "message": final.message}
        journal.decision(final, seconds)

    # Operators' questions.

    def _on_question(self, payload: bytes, peer: Peer, reply: Reply) -> None:
        verbs: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "status": self._status,
            "networks": self._networks,
            "hooks": self._hooks,
            "policy": self._policy,
            "explain": self._explain,
            "reload": self._reload,
        }
        try:
            question = wire.read_question(payload)
            verb = verbs.get(question.verb)
            if verb is None:
                raise wire.BadMessage(
                    "bad-request", f"there is no verb {question.verb!r}; there are: {', '.join(verbs)}"
                )
            reply(wire.control_reply(verb(question.arguments)))
        except wire.BadMessage as error:
            reply(wire.control_refusal(error))

    def _status(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        view = self.watch.view
        active = sum(network.active for network in view.by_name.values())
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": self._started_at,
            "degraded": view.outage,
            "libvirt": {
                "uri": self.watch.uri,
                "connected": not view.outage,
                "since": self.watch.link_since,
                "outage": view.outage,
                "synced_at": view.synced_at,
            },
            "networks": {"active": active, "inactive": len(view.by_name) - active},
            "hooks": list(self.policy.names),
            "configuration": {"loaded_at": self._loaded_at, "files": self.config.files},
            "requests": {outcome: self._counts[outcome] for outcome in ("unchanged", "rewritten", "refused")},
            "last_refusal": self._last_refusal,
        }

    def _networks(self, arguments: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        name = arguments.get("name")
        by_name = self.watch.view.by_name
        if name is not None and name not in by_name:
            raise wire.BadMessage("network-missing", f"libvirt on this host has no network {name!r}")
        return [_network(by_name[each]) for each in sorted(by_name) if name in (None, each)]

    def _hooks(self, arguments: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        hooks = []
        for name, properties in self.policy.names.items():
            rules = [rule for rule in self.policy.rules if rule.hook.name == name]
            events = dict.fromkeys(event for rule in rules for event in rule.hook.events)
            always = any(rule.always for rule in rules)
            hooks.append({"name": name, "events": list(events), "properties": list(properties), "always": always})
        return hooks

    def _policy(self, arguments: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        return [
            {
                "hook": rule.hook.name,
                "events": list(rule.hook.events),
                "properties": rule.hook.properties,
                "always": rule.always,
                "source": rule.source,
            }
            for rule in self.policy.rules
        ]

    def _explain(self, arguments: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """What would happen to a document at an event, hook after hook, as vdsm would hand it on. Changes nothing."""
        event, environment, xml = (arguments.get(name) for name in ("event", "environment", "document"))
        if not (isinstance(event, str) and isinstance(environment, dict) and isinstance(xml, bytes)):
            raise wire.BadMessage("bad-request", "explain needs event, environment and document")
        names = (
            [arguments["hook"]]
            if arguments.get("hook")
            else [
                name
                for name in self.policy.names
                if event in {each for rule in self.policy.rules if rule.hook.name == name for each in rule.hook.events}
            ]
        )
        answers = []
        for name in names:
            made = decision.decide(Request(event, name, environment, xml), self.policy, self.watch.view)
            xml = made.document or xml
            answers.append(
                {**made._asdict(), "document": xml, "message": made.message if made.code else "", "error": None}
            )
            if made.outcome == "refused":
                break
        return answers

    def _reload(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            self.reload()
        except ConfigError as error:
            raise wire.BadMessage("bad-config", f"the old configuration stays in force: {error}") from None
        return {"files": self.config.files}


def _uid(user: str) -> int:
    """The uid of a user, or root's where there is none: a host without vdsm serves root alone."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return 0


def _network(network: Network) -> Mapping[str, Any]:
    return {
        "name": network.name,
        "uuid": network.uuid,
        "active": network.active,
        "persistent": network.persistent,
        "autostart": network.autostart,
        "forward": network.forward,
        "bridge": network.bridge,
        "virtualport": network.virtualport,
        "portgroups": [{"name": each.name, "default": each.default} for each in network.portgroups],
    }
