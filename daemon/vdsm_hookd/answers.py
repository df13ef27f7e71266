"""The daemon's values as maps of docs/protocol.md: what is in them is for hookctl and for scripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vdsm_hookd.decision import Decision
from vdsm_hookd.drift import Vnic
from vdsm_hookd.history import Record
from vdsm_hookd.host import Host
from vdsm_hookd.networks import Network
from vdsm_hookd.walker import Walk

MAX_PROPERTY = 255
"""Bytes of a property's value in a list of records; `replay` has it whole."""

Map = Mapping[str, Any]


def decision(made: Decision, xml: bytes) -> dict[str, Any]:
    """A decision with the document as it is then, which is `xml` where it was not rewritten."""
    message = made.message if made.code else ""
    return {**made._asdict(), "document": made.document or xml, "message": message, "error": None}


def record(kept: Record, largest: int = MAX_PROPERTY) -> Map:
    """A record without its documents."""
    made = kept.decision
    properties = {name: value for name, value in kept.request.environment.items() if name != "vmId"}
    return {
        "id": kept.number,
        "at": kept.at,
        "seconds": kept.seconds,
        "event": made.event,
        "hook": made.hook,
        "outcome": made.outcome,
        "code": made.code,
        "rule": made.rule,
        "vm_id": made.vm_id,
        "vm_name": made.vm_name,
        "vm_uuid": made.vm_uuid,
        "mac": made.mac,
        "network": made.network,
        "properties": {name[:MAX_PROPERTY]: text(value[:largest]) for name, value in properties.items()},
        "message": made.message if made.code else "",
        "notes": made.notes,
        "kept": kept.kept,
    }


def network(known: Network, users: Sequence[Vnic] | None, rewrites: int) -> Map:
    """A network, and the running vNICs on it; None where nobody has looked."""
    return {
        "name": known.name,
        "uuid": known.uuid,
        "active": known.active,
        "persistent": known.persistent,
        "autostart": known.autostart,
        "kind": known.kind().name,
        "forward": known.forward,
        "bridge": known.bridge,
        "bridge_present": Host().has_interface(known.bridge) if known.bridge else None,
        "virtualport": known.virtualport,
        "portgroups": [{"name": each.name, "default": each.default} for each in known.portgroups],
        "vnics": None if users is None else len(users),
        "users": None if users is None else [_user(vnic) for vnic in users],
        "rewrites": rewrites,
    }


def users_of(networks: Iterable[Network], vnics: Iterable[Vnic]) -> Mapping[str, Sequence[Vnic]]:
    """The running vNICs on each network, by its name."""
    of_bridge = {each.bridge: each.name for each in networks if each.bridge}
    users: defaultdict[str, list[Vnic]] = defaultdict(list)
    for vnic in vnics:
        users[vnic.network or of_bridge.get(vnic.bridge, "")].append(vnic)
    return users


def found(walk: Walk) -> Map:
    """What an audit found."""
    return {
        "at": walk.at,
        "domains": walk.domains,
        "vnics": len(walk.vnics),
        "drifts": [{**drift._asdict(), "text": drift.text} for drift in walk.drifts],
    }


def text(value: bytes) -> str:
    """Bytes from outside as text."""
    return value.decode("utf-8", "backslashreplace")


def _user(vnic: Vnic) -> Map:
    return {"vm_name": vnic.vm_name, "vm_uuid": vnic.vm_uuid, "mac": vnic.mac, "portgroup": vnic.portgroup}
