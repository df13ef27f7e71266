"""extnet: a vNIC leaves the Engine's bridge and joins the libvirt network that its profile names.

    extnet=glitter          the network
    extnet=ovs-net/lab-42   a portgroup of the network

[map] in the configuration sends the vNICs of whole Engine networks there, without a property; a property wins over it.

The rewrite of vdsm's stock hook, and what that one lacks: the network has to be there, and a link toggle or a profile
change of a running vNIC (before_update_device) keeps it on its network instead of moving it to the Engine's bridge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lxml import etree

from vdsm_hookd import options
from vdsm_hookd.hook import Call, Hook, Refusal, bad_property, quote, text_property
from vdsm_hookd.networks import Network
from vdsm_hookd.options import option
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
    """Which networks a profile may name, and what happens to elements that Open vSwitch can't carry."""

    allow: options.Globs = option("*", options.globs, "names and globs of the libvirt networks that a vNIC may join")
    deny: options.Globs = option("", options.globs, "names and globs that it may not join, though allowed above")
    incompatible: str = option(
        "adapt",
        options.choice("adapt", "refuse", "keep"),
        "filterref and port isolation on an Open vSwitch network, which libvirt refuses: adapt drops them",
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
    _require_usable(call, target)
    return _rewrite(call, target, adapt=call.options.incompatible)


def keep_joined(call: Call) -> bool:
    """before_update_device: never refused for the state of the network.

    vdsm answers a failure here by sending the untouched XML to libvirt, which would move the running vNIC to the
    Engine's bridge. For the same reason `incompatible = refuse` only adapts here: the vNIC is running, so it started
    without these elements.
    """
    target = _target(call)
    if target is None:
        return False
    try:
        _require_usable(call, target)
    except Refusal as refusal:
        call.unsure = True
        call.note(f"{refusal.what}; rewritten all the same, or the running vNIC would move to the Engine's network")
    return _rewrite(call, target, adapt="keep" if call.options.incompatible == "keep" else "adapt")


def check(call: Call) -> bool:
    """before_device_migrate_destination: vdsm ignores the document; a refusal stops the migration while that is
    cheap."""
    target = _target(call)
    if target is not None:
        _require_usable(call, target)
    return False


HOOK = Hook(
    name="extnet",
    properties=("extnet",),
    events={
        "before_device_create": join,
        "before_nic_hotplug": join,
        "before_update_device": keep_joined,
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


def _require_usable(call: Call, target: Target) -> None:
    """Raise Refusal unless the network is there, active, and has the portgroup."""
    network = target.network
    if network is None:
        raise Refusal(
            "network-missing",
            f"libvirt on this host has no network {quote(target.name)}",
            f"define and start it (virsh net-define, net-start, net-autostart), or correct {target.said_by}",
            target.name,
        )
    if not network.active:
        raise Refusal(
            "network-inactive",
            f"libvirt network {quote(target.name)} is not active",
            f"start it (virsh net-start {quote(target.name)}; net-autostart keeps it so)",
            target.name,
        )
    if target.portgroup and network.portgroup(target.portgroup) is None:
        raise Refusal(
            "portgroup-missing",
            f"libvirt network {quote(target.name)} has no portgroup {quote(target.portgroup)}",
            f"add it to the network (virsh net-edit), or correct {target.said_by}",
            target.name,
        )


def _rewrite(call: Call, target: Target, adapt: str) -> bool:
    interface, source = _interface_and_source(call.document)
    # A portgroup, like a portid, belongs to the network that it was given with: left over, it would choose a VLAN in
    # the new one.
    wanted = {"network": target.name, "portgroup": target.portgroup or None, "bridge": None, "portid": None}
    changed = set_attributes(source, wanted) | set_attributes(interface, {"type": "network"})
    if target.network is not None and target.network.virtualport_for(target.portgroup) == "openvswitch":
        changed = _fit_openvswitch(call, interface, target, adapt) or changed
    return changed


def _interface_and_source(document: etree._Element) -> tuple[etree._Element, etree._Element]:
    interfaces, sources = [], []
    for element in document.iter():  # iter("interface", "source") takes twice as long
        if element.tag == "interface":
            interfaces.append(element)
        elif element.tag == "source":
            sources.append(element)
    if len(interfaces) != 1:
        raise Refusal("bad-xml", f"the document has {len(interfaces)} <interface> elements, not one", _BAD_XML)
    interface = interfaces[0]
    kind = interface.get("type", "")
    if kind not in ("bridge", "network"):
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


def _fit_openvswitch(call: Call, interface: etree._Element, target: Target, adapt: str) -> bool:
    """libvirt starts no vNIC on Open vSwitch that has a filterref or an isolated port (tried with 9.0)."""
    misfits = [
        *interface.iterchildren("filterref"),
        *(port for port in interface.iterchildren("port") if port.get("isolated") == "yes"),
    ]
    if not misfits or adapt == "keep":
        return False
    names = ", ".join(
        f"filterref {quote(element.get('filter', ''))}" if element.tag == "filterref" else "port isolation"
        for element in misfits
    )
    if adapt == "refuse":
        raise Refusal(
            "unsupported-interface",
            f"network {quote(target.name)} is on Open vSwitch, which can't carry {names}",
            "give the vNIC profile no network filter and no port isolation, or set [extnet] incompatible = adapt",
            target.name,
        )
    for element in misfits:
        remove(element)
    call.note(f"dropped {names}: network {quote(target.name)} is on Open vSwitch, where libvirt refuses that")
    return True
