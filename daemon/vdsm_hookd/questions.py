"""What operators ask on the control socket, answered from the service's state."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from vdsm_hookd import __version__, rehearsal, wire
from vdsm_hookd.ini import ConfigError
from vdsm_hookd.networks import Network
from vdsm_hookd.server import Listener, Peer, Reply
from vdsm_hookd.service import Service

Arguments = Mapping[str, Any]


class Questions:
    """The verbs of docs/protocol.md."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._verbs: dict[str, Callable[[Arguments], Any]] = {
            "status": self._status,
            "networks": self._networks,
            "hooks": self._hooks,
            "policy": self._policy,
            "explain": self._explain,
            "reload": self._reload,
        }

    def listener(self, sock: socket.socket) -> Listener:
        """The control socket's."""
        return Listener("control", sock, _may_ask, self._on_question, wire.control_refusal)

    def _on_question(self, payload: wire.Payload, peer: Peer, reply: Reply) -> None:
        try:
            question = wire.read_question(payload)
            verb = self._verbs.get(question.verb)
            if verb is None:
                known = ", ".join(self._verbs)
                raise wire.BadMessage("bad-request", f"there is no verb {question.verb!r}; there are: {known}")
            reply(wire.control_reply(verb(question.arguments)))
        except wire.BadMessage as error:
            reply(wire.control_refusal(error))

    def _status(self, arguments: Arguments) -> Mapping[str, Any]:
        view = self._service.watch.view
        active = sum(network.active for network in view.by_name.values())
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": self._service.started_at,
            "degraded": view.outage,
            "libvirt": {
                "uri": self._service.watch.uri,
                "connected": not view.outage,
                "since": self._service.watch.link_since,
                "outage": view.outage,
                "synced_at": view.synced_at,
            },
            "networks": {"active": active, "inactive": len(view.by_name) - active},
            "hooks": list(self._service.policy.names),
            "configuration": {"loaded_at": self._service.loaded_at, "files": self._service.config.files},
            "requests": {outcome: self._service.counts[outcome] for outcome in ("unchanged", "rewritten", "refused")},
            "last_refusal": self._service.last_refusal,
        }

    def _networks(self, arguments: Arguments) -> Sequence[Mapping[str, Any]]:
        name = arguments.get("name")
        by_name = self._service.watch.view.by_name
        if name is not None and name not in by_name:
            raise wire.BadMessage("network-missing", f"libvirt on this host has no network {name!r}")
        return [_network(by_name[each]) for each in sorted(by_name) if name in (None, each)]

    def _hooks(self, arguments: Arguments) -> Sequence[Mapping[str, Any]]:
        return self._service.policy.hooks()

    def _policy(self, arguments: Arguments) -> Sequence[Mapping[str, Any]]:
        return [
            {
                "hook": rule.hook.name,
                "events": list(rule.hook.events),
                "properties": rule.hook.properties,
                "always": rule.always,
                "source": rule.source,
            }
            for rule in self._service.policy.rules
        ]

    def _explain(self, arguments: Arguments) -> Sequence[Mapping[str, Any]]:
        """What would happen to a document at an event, hook after hook, as vdsm would hand it on. Changes nothing."""
        event, environment, xml = (arguments.get(name) for name in ("event", "environment", "document"))
        if not (isinstance(event, str) and isinstance(environment, dict) and isinstance(xml, bytes)):
            raise wire.BadMessage("bad-request", "explain needs event, environment and document")
        if not all(isinstance(value, bytes) for value in environment.values()):
            raise wire.BadMessage("bad-request", "the environment's values must be bin")
        policy, view = self._service.policy, self._service.watch.view
        return rehearsal.rehearse(event, arguments.get("hook") or "", environment, xml, policy, view)

    def _reload(self, arguments: Arguments) -> Mapping[str, Any]:
        try:
            self._service.reload()
        except ConfigError as error:
            raise wire.BadMessage("bad-config", f"the old configuration stays in force: {error}") from None
        return {"files": self._service.config.files}


def _may_ask(peer: Peer) -> bool:
    return peer.uid in (0, os.geteuid())


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
