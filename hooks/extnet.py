"""extnet: a vNIC leaves the Engine's bridge and joins the libvirt network that its profile names.

    extnet=glitter          the network
    extnet=ovs-net/lab-42   a portgroup of the network

[map] in the configuration sends the vNICs of whole Engine networks there, without a property; a property wins over it.

The rewrite of vdsm's stock hook, and what that one lacks: the network has to be there, what libvirt refuses on its kind
of network is left out, and a link toggle or a profile change of a running vNIC (before_update_device) never moves it to
the Engine's bridge.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Callable, NamedTuple

from lxml import etree

from vdsm_hookd import networks, options, virsh
from vdsm_hookd.events import UPDATE
from vdsm_hookd.hook import Call, Hook, Refusal, bad_property, quote, text_property
from vdsm_hookd.networks import Kind, Network
from vdsm_hookd.options import option
from vdsm_hookd.running import NOT_LIVE, RESTART
from vdsm_hookd.tree import remove, set_attributes

MAX_NAME = 255
"""Bytes of the property's value."""

_BAD_XML = "see the device's XML in vdsm.log; extnet belongs on vNICs of type bridge or network"


def _split(value: str) -> tuple[str, str]:
    """NETWORK and PORTGROUP, which may be empty. Raises ValueError."""
    name, slash, portgroup = value.partition("/")
    if not name or (slash and not portgroup) or "/" in portgroup:
        raise ValueError("is neither NETWORK nor NETWORK/PORTGROUP")
    return name, portgroup


def _parse_mapping(engine_network: str, target: str) -> str:
    """A line of [map]: what the property would say for the vNICs of this Engine network."""
    _split(target)
    return target


@dataclass(frozen=True)
class Options:
    """Which networks a profile may name, and what happens to elements that a kind of network can't carry."""

    allow: options.Globs = option("*", options.globs, "names and globs of the libvirt networks that a vNIC may join")
    deny: options.Globs = option("", options.globs, "names and globs that it may not join, though allowed above")
    incompatible: str = option(
        "adapt",
        options.choice("adapt", "refuse", "keep"),
        "what libvirt refuses on the kind of network, such as a filterref on Open vSwitch: adapt leaves it out",
    )
    map: Mapping[str, str] = options.table("map", _parse_mapping, "ENGINE-NETWORK = NETWORK[/PORTGROUP]")


class Target(NamedTuple):
    """Where a vNIC is to go, and what says so. `network` is None where libvirt's view does not have it."""

    name: str
    portgroup: str
    network: Network | None
    said_by: str


def join(call: Call) -> bool:
    """before_device_create, before_nic_hotplug: the vNIC joins the network, or the device is refused."""
    target = _target(call)
    if target is None:
        return False
    network = _usable(call, target)
    return _rewrite(call, target, network)


def update(call: Call) -> bool:
    """before_update_device: the running vNIC stays on its network, or moves to the one that is asked for where libvirt
    can do that. A refusal leaves it where it is."""
    target = _target(call)
    if target is None:
        return False
    running = call.look()
    if running is None:
        return _update_unseen(call, target)
    if running.network:
        call.doubt(running.network)
    call.doubt(target.name)
    network = _usable(call, target)
    interface, _source = _interface_and_source(call)
    if running.is_on(network, target.portgroup):
        call.notes += running.stay(interface, call.networks, call.host)
    else:
        reason = running.why_not_to(network, target.portgroup, call.host)
        if reason:
            wanted = quote(networks.named(target.name, target.portgroup))
            what = f"the vNIC is to join network {wanted}, but {reason}"
            raise Refusal(NOT_LIVE, what, RESTART, target.name)
        call.notes += running.move(interface, network, target.portgroup)
    return True


def _update_unseen(call: Call, target: Target) -> bool:
    """The best answer where nobody can tell where the vNIC is: most likely on the network that it is to be on."""
    network = target.network
    try:
        network = _usable(call, target)
    except Refusal as refusal:
        call.doubt(target.name)
        call.note(f"{refusal.what}; rewritten all the same, or the running vNIC would move to the Engine's network")
    return _rewrite(call, target, network)


def check(call: Call) -> bool:
    """before_device_migrate_destination: vdsm ignores the document; a refusal stops the migration while that is
    cheap."""
    target = _target(call)
    if target is not None:
        _usable(call, target)
    return False


HOOK = Hook(
    name="extnet",
    properties=("extnet",),
    events={
        "before_device_create": join,
        "before_nic_hotplug": join,
        UPDATE: update,
        "before_device_migrate_destination": check,
    },
    options=Options,
    always=lambda options: bool(options.map),
    vnic_properties={"extnet": "^[^/]+(/[^/]+)?$"},
)


def _target(call: Call) -> Target | None:
    """Where the property sends the vNIC, or else [map]; None where neither has a word about it."""
    said_by = "extnet in the vNIC profile"
    if "extnet" in call.properties:
        value = text_property(call, "extnet", MAX_NAME)
    else:
        said_by = "[map] in vdsm-hookd.conf"
        mapped = _mapped(call)
        if mapped is None:
            return None
        value = mapped
    try:
        name, portgroup = _split(value)
    except ValueError as error:
        raise bad_property(call, "extnet", str(error)) from None
    call.network = name
    if not call.options.allow.match(name) or call.options.deny.match(name):
        raise Refusal(
            "network-not-allowed",
            f"[extnet] allow and deny keep vNICs off network {quote(name)}",
            f"correct {said_by}, or change the policy in vdsm-hookd.conf",
            name,
        )
    return Target(name, portgroup, call.networks.by_name.get(name), said_by)


def _mapped(call: Call) -> str | None:
    """What [map] says of a vNIC on an Engine network, which vdsm names as the bridge of its source."""
    for source in call.document.iter("source"):
        parent = source.getparent()
        if parent is not None and parent.tag == "interface" and source.get("network") is None:
            target: str | None = call.options.map.get(source.get("bridge"))
            if target is not None:
                return target
    return None


def _usable(call: Call, target: Target) -> Network:
    """The network, which has to be there, active, and to have the portgroup. Raises Refusal."""
    network = target.network
    if network is None:
        raise Refusal(
            "network-missing",
            f"libvirt on this host has no network {quote(target.name)}{_meant(call, target)}",
            f"define and start it ({virsh.define(target.name)}), or correct {target.said_by}",
            target.name,
        )
    if not network.active:
        raise Refusal(
            "network-inactive",
            f"libvirt network {quote(target.name)} is not active",
            f"start it and keep it so ({virsh.start(target.name)})",
            target.name,
        )
    if target.portgroup and network.portgroup(target.portgroup) is None:
        raise Refusal(
            "portgroup-missing",
            f"libvirt network {quote(target.name)} has no portgroup {quote(target.portgroup)}",
            f"add it ({virsh.add_portgroup(network, target.portgroup)}), or correct {target.said_by}",
            target.name,
        )
    return network


def _meant(call: Call, target: Target) -> str:
    """A guess, where a colon stands in the slash's place."""
    for at, char in enumerate(target.name):
        network, portgroup = target.name[:at], target.name[at + 1 :]
        if char == ":" and portgroup and not target.portgroup and network in call.networks.by_name:
            return f"; did you mean {quote(networks.named(network, portgroup))}?"
    return ""


def _rewrite(call: Call, target: Target, network: Network | None) -> bool:
    interface, source = _interface_and_source(call)
    # A portgroup, like a portid, belongs to the network that it was given with: left over, it would choose a VLAN in
    # the new one.
    wanted = {"network": target.name, "portgroup": target.portgroup or None, "bridge": None, "portid": None}
    changed = set_attributes(source, wanted) | set_attributes(interface, {"type": "network"})
    kind = None if network is None else network.kind(target.portgroup)
    if kind is not None and kind.unfit:
        changed = _fit(call, interface, target, kind) or changed
    return changed


def _interface_and_source(call: Call) -> tuple[etree._Element, etree._Element]:
    interfaces, sources = [], []
    for element in call.document.iter():  # iter("interface", "source") takes twice as long
        if element.tag == "interface":
            interfaces.append(element)
        elif element.tag == "source":
            sources.append(element)
    if len(interfaces) != 1:
        raise Refusal("bad-xml", f"the document has {len(interfaces)} <interface> elements, not one", _BAD_XML)
    interface = interfaces[0]
    kind = interface.get("type", "")
    # After a restart vdsm names a running vNIC's live type, which is direct on macvtap.
    if kind not in ("bridge", "network") and not (kind == "direct" and call.event == UPDATE):
        raise Refusal(
            "unsupported-interface",
            f"an interface of type {quote(kind)} can't join a libvirt network, only bridge and network can",
            "take extnet out of this vNIC's profile, or turn off passthrough there",
        )
    if len(sources) != 1:
        raise Refusal("bad-xml", f"the <interface> has {len(sources)} <source> elements, not one", _BAD_XML)
    if sources[0].getparent() is not interface:  # where libvirt would not look for it
        raise Refusal("bad-xml", "the <interface> has no <source> of its own", _BAD_XML)
    return interface, sources[0]


def _fit(call: Call, interface: etree._Element, target: Target, kind: Kind) -> bool:
    """Deal with what libvirt refuses on this kind of network, as `incompatible` says."""
    # A running vNIC started without what libvirt refuses.
    incompatible: str = "adapt" if call.event == UPDATE else call.options.incompatible
    misfits = [(what, drop) for part, what, drop in _parts(interface) if part in kind.unfit]
    if not misfits or incompatible == "keep":
        return False
    names = ", ".join(what for what, _drop in misfits)
    if incompatible == "refuse":
        raise Refusal(
            "unsupported-interface",
            f"network {quote(target.name)} is {kind.title}, where libvirt refuses {names}",
            "take that out of the vNIC's profile, or set [extnet] incompatible = adapt",
            target.name,
        )
    for _what, drop in misfits:
        drop()
    call.note(f"dropped {names}: network {quote(target.name)} is {kind.title}, where libvirt refuses that")
    return True


def _parts(interface: etree._Element) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """What a kind of network may not carry: which part it is, what it says, and how it is left out."""
    for element in interface:
        drop = functools.partial(remove, element)
        if element.tag == "filterref":
            yield networks.FILTER, f"filterref {quote(element.get('filter', ''))}", drop
        elif element.tag == "port" and element.get("isolated") == "yes":
            yield networks.ISOLATION, networks.ISOLATION, drop
        elif element.tag == "bandwidth":
            yield networks.BANDWIDTH, networks.BANDWIDTH, drop
        elif element.tag == "mtu":
            yield networks.MTU, f"mtu {quote(element.get('size', ''))}", drop
        elif element.tag == "link" and element.get("state") == "down":
            yield networks.LINK_DOWN, networks.LINK_DOWN, drop
        elif element.tag == "driver" and element.get("queues") is not None:
            yield networks.QUEUES, networks.QUEUES, functools.partial(element.attrib.pop, "queues")
