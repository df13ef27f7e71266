"""What operators ask on the control socket, answered from the service's state."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from vdsm_hookd import __version__, answers, decision, gauges, journal, metrics, redact, rehearsal, server, wire
from vdsm_hookd.answers import Map
from vdsm_hookd.decision import Request
from vdsm_hookd.events import UPDATE
from vdsm_hookd.follow import MAX_WAIT
from vdsm_hookd.ini import ConfigError
from vdsm_hookd.running import Look
from vdsm_hookd.server import Accepted, Listener, Peer, Reply
from vdsm_hookd.service import Service
from vdsm_hookd.walker import Walk

MAX_ANSWER = wire.MAX_PAYLOAD * 3 // 4
"""Bytes of the records in one answer; the newest win."""
LOOK_TIMEOUT = 1.0
"""Seconds that the networks wait to be told which vNICs use them."""

Arguments = Mapping[str, Any]


class Questions:
    """The verbs of docs/protocol.md."""

    def __init__(self, service: Service, own_user_reloads: bool) -> None:
        """`own_user_reloads`: the daemon's own user may reload it as root may, where no service manager does."""
        self._service = service
        self._reloaders = frozenset({0, os.geteuid()} if own_user_reloads else {0})
        self._verbs: dict[str, Callable[[Arguments], Any]] = {
            "status": self._status,
            "hooks": self._hooks,
            "policy": self._policy,
            "replay": self._replay,
            "metrics": self._metrics,
            "reload": self._reload,
        }
        self._slow: dict[str, Callable[[Arguments, Reply], None]] = {
            "networks": self._networks,
            "history": self._history,
            "explain": self._explain,
            "audit": self._audit,
        }

    def listener(self, sock: socket.socket) -> Listener:
        """The control socket's."""
        return Listener("control", sock, self._may_ask, self._on_question, wire.control_refusal)

    def _may_ask(self, peer: Peer, sock: Accepted) -> bool:
        group = self._service.control_group
        return peer.uid in (0, os.geteuid()) or (
            group is not None and (peer.gid == group or group in server.groups_of(sock))
        )

    def _on_question(self, payload: wire.Payload, peer: Peer, reply: Reply) -> None:
        self._service.settle()
        try:
            question = wire.read_question(payload)
            if question.verb == "reload" and peer.uid not in self._reloaders:
                raise wire.BadMessage("not-permitted", f"uid {peer.uid} may not reload, only root may")
            if question.verb in self._slow:
                self._slow[question.verb](question.arguments, reply)
                return
            verb = self._verbs.get(question.verb)
            if verb is None:
                known = ", ".join(sorted([*self._verbs, *self._slow]))
                raise wire.BadMessage("bad-request", f"there is no verb {question.verb!r}; there are: {known}")
            reply(wire.control_reply(verb(question.arguments)))
        except wire.BadMessage as error:
            reply(wire.control_refusal(error))

    def _status(self, arguments: Arguments) -> Map:
        service = self._service
        view, watch, audits = service.watch.view, service.watch, service.audits
        active = sum(network.active for network in view.by_name.values())
        durations = sorted(record.seconds for record in service.history)
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": service.started_at,
            "sockets": service.sockets,
            "degraded": "; ".join(service.degraded()),
            "libvirt": {
                "uri": watch.uri,
                "version": watch.version,
                "connected": not view.outage,
                "since": watch.link_since,
                "reconnects": max(0, watch.connects - 1),
                "outage": view.outage,
                "synced_at": view.synced_at,
            },
            "networks": {"active": active, "inactive": len(view.by_name) - active},
            "hooks": list(service.policy.names),
            "configuration": {
                "loaded_at": service.loaded_at,
                "files": service.config.files,
                "reload_failure": service.reload_failure,
            },
            "requests": service.metrics.outcomes(),
            "latency": {
                "p50": metrics.quantile(durations, 0.5),
                "p99": metrics.quantile(durations, 0.99),
                "requests": len(durations),
            },
            "history": {"records": len(service.history), "bytes": service.history.used},
            "audit": {
                "every": service.config.audit.every,
                "at": audits.walker.last and audits.walker.last.at,
                "drifts": len(audits.drifts),
                "failure": audits.failure,
            },
            "log": {"lost": journal.lost()},
            "last_refusal": service.last_refusal and answers.record(service.last_refusal),
        }

    def _networks(self, arguments: Arguments, reply: Reply) -> None:
        name, look = arguments.get("name"), arguments.get("look", False)
        if name is not None and name not in self._service.watch.view.by_name:
            raise wire.BadMessage("network-missing", f"libvirt on this host has no network {name!r}")

        def answer(walk: Walk | None) -> None:
            reply(wire.control_reply(self._with_users(name, walk)))

        last = self._service.audits.walker.last
        if look:
            self._service.audits.ask(lambda walk: answer(last if walk.failure else walk), LOOK_TIMEOUT)
        else:
            answer(last)

    def _with_users(self, name: str | None, walk: Walk | None) -> Sequence[Map]:
        by_name, rewrites = self._service.watch.view.by_name, self._service.metrics.rewrites
        users = None if walk is None else answers.users_of(by_name.values(), walk.vnics)
        return [
            answers.network(by_name[each], None if users is None else users.get(each, ()), rewrites[each])
            for each in sorted(by_name)
            if name in (None, each)
        ]

    def _hooks(self, arguments: Arguments) -> Sequence[Map]:
        return self._service.policy.hooks()

    def _policy(self, arguments: Arguments) -> Sequence[Map]:
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

    def _explain(self, arguments: Arguments, reply: Reply) -> None:
        """What would happen to a document at an event, hook after hook, as vdsm would hand it on. Changes nothing."""
        event, environment, xml = (arguments.get(name) for name in ("event", "environment", "document"))
        if not (isinstance(event, str) and isinstance(environment, dict) and isinstance(xml, bytes)):
            raise wire.BadMessage("bad-request", "explain needs event, environment and document")
        if not all(isinstance(value, bytes) for value in environment.values()):
            raise wire.BadMessage("bad-request", "the environment's values must be bin")
        service = self._service
        request = Request(event, arguments.get("hook") or "", environment, xml)

        def answer(look: Look | None) -> None:
            made = rehearsal.rehearse(request._replace(look=look), service.policy, service.watch.view)
            reply(wire.control_reply(made))

        if event == UPDATE and "vmId" in environment:
            service.look(request, answer)
        else:
            answer(None)

    def _history(self, arguments: Arguments, reply: Reply) -> None:
        """Records, or from `after` on those that come: then the answer may wait for the first one."""
        history = self._service.history
        last, vm, after, seconds = (arguments.get(name) for name in ("last", "vm", "after", "wait"))
        numbers = all(value is None or (isinstance(value, int) and value >= 0) for value in (last, after))
        if not numbers or not isinstance(vm, (str, type(None))) or not isinstance(seconds, (int, float, type(None))):
            raise wire.BadMessage("bad-request", "history takes last, after, wait (numbers) and vm (text)")
        if arguments.get("run", self._service.started_at) != self._service.started_at:
            after = 0 if after is not None else None  # numbers of a daemon that is gone

        def answer(now: bool) -> bool:
            nonlocal after
            records = self._records(last, vm, after)
            if after is not None and not records and not now:
                after = history.last
                return False
            reply(wire.control_reply({"run": self._service.started_at, "last": history.last, "records": records}))
            return True

        if not answer(not seconds) and not self._service.followers.wait(answer, min(seconds or 0, MAX_WAIT)):
            raise wire.BadMessage("busy", "too many follow the history already")

    def _records(self, last: int | None, vm: str | None, after: int | None) -> Sequence[Map]:
        newer = itertools.takewhile(lambda record: record.number > (after or 0), self._service.history.newest())
        wanted = (
            answers.record(record)
            for record in newer
            if vm is None or vm in (record.decision.vm_id, record.decision.vm_uuid, record.decision.vm_name)
        )
        records: list[Map] = []
        size = 0
        for record in itertools.islice(wanted, last):
            size += len(wire.frame([record]))
            if size > MAX_ANSWER:
                break
            records.append(record)
        return records[::-1]

    def _replay(self, arguments: Arguments) -> Map:
        """A kept request under today's policy and network view, beside what was decided then. Changes nothing."""
        number = arguments.get("id")
        record = self._service.history.get(number) if isinstance(number, int) else None
        if record is None:
            raise wire.BadMessage("no-such-record", f"the history has no decision {number}")
        if not record.kept:
            reason = "its document was too large to keep, or held secrets and could not be read"
            raise wire.BadMessage("not-kept", f"decision {number} can't be replayed: {reason}")
        then, xml = record.decision, record.request.document
        today = decision.decide(record.request, self._service.policy, self._service.watch.view)
        today = today._replace(document=redact.blank_document(today.document) or b"", error=None)
        names = ("outcome", "code", "rule", "network", "message", "notes", "document")
        made = [answers.decision(each, xml) for each in (then, today)]
        return {
            "record": answers.record(record, wire.MAX_PAYLOAD),
            "document": xml,
            "then": made[0],
            "now": made[1],
            "differs": [name for name in names if made[0][name] != made[1][name]],
        }

    def _audit(self, arguments: Arguments, reply: Reply) -> None:
        def answer(walk: Walk) -> None:
            failed = wire.BadMessage("libvirt-unavailable", walk.failure)
            reply(wire.control_refusal(failed) if walk.failure else wire.control_reply(answers.found(walk)))

        self._service.audits.ask(answer)

    def _metrics(self, arguments: Arguments) -> Sequence[Map]:
        return [
            {**family._asdict(), "samples": [sample._asdict() for sample in family.samples]}
            for family in gauges.families(self._service)
        ]

    def _reload(self, arguments: Arguments) -> Map:
        try:
            self._service.reload()
        except ConfigError as error:
            raise wire.BadMessage("bad-config", f"the old configuration stays in force: {error}") from None
        return {"files": self._service.config.files}
