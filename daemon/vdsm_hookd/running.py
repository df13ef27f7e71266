"""The running vNIC that an update is about, and an update that libvirt takes without plugging it in elsewhere.

vdsm asks libvirt to make a running vNIC what a new <interface> says. libvirt compares the two: it refuses what it can't
change, and plugs the vNIC into another bridge where the sources differ (qemuDomainChangeNet, read in 9.0, and tried).
vdsm answers a refusal of libvirt, or of a hook, with the Engine's own XML, which moves the vNIC to the Engine's bridge.
So whatever libvirt can't change is taken from the live vNIC here, and the Engine's other changes are left as they are.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

from lxml import etree

from vdsm_hookd import document
from vdsm_hookd.document import remove, set_attributes
from vdsm_hookd.host import Host
from vdsm_hookd.networks import Network, NetworkView, named
from vdsm_hookd.text import quote

DUMMY_BRIDGE = ";vdsmdummy;"
"""A bridge without a way out, which vdsm makes on each host for vNICs that are to be on no network."""

NOT_LIVE = "not-live"
"""The code for what libvirt can't do to a running vNIC."""

RESTART = "restart the VM, which starts it there"
"""What to do about it."""

PORTGROUP_FIXED = 10_006_000
"""The first libvirt that refuses another portgroup (as virConnectGetLibVersion counts, 10.6.0)."""

# What a running vNIC has from its start to its end. libvirt refuses another <mtu>, <driver> and so on, and would lose a
# <teaming> that is not said again. Its <virtualport> and <vlan> it needs again to know the port: without its <vlan>, an
# Open vSwitch port can lose its tag, though libvirt reports success (9.0, tried).
_FIXED = (
    "model",
    "driver",
    "backend",
    "tune",
    "script",
    "coalesce",
    "target",
    "mtu",
    "rom",
    "boot",
    "address",
    "teaming",
    "acpi",
)
_TOLD = ("model", "driver", "mtu", "boot")
"""Those of them that an Engine's change can be about."""
_PORT = ("virtualport", "vlan")
_TAP = ("bridge", "network")


class Look(NamedTuple):
    """What a look at the running vNIC showed: its live <interface>, libvirt's version, and which of the update's
    network filters that is sure to build; or why none of that is known."""

    xml: bytes = b""
    version: int = 0
    failure: str = ""
    filters: frozenset[str] = frozenset()


def filters_of(vnic_xml: bytes) -> frozenset[str]:
    """The names of the network filters that an update asks for."""
    try:
        interface = document.parse(vnic_xml)
    except document.BadDocument:
        return frozenset()
    return frozenset(element.get("filter", "") for element in interface.iterchildren("filterref"))


def find(domain_xml: bytes, vnic_xml: bytes, version: int, filters: frozenset[str] = frozenset()) -> Look:
    """The live <interface> of the vNIC in `vnic_xml`, as libvirt looks for it: by MAC address, and by the alias where
    there is one, for the two of a failover pair have one MAC address."""
    try:
        live, wanted = document.parse(domain_xml), document.parse(vnic_xml)
    except document.BadDocument as error:
        return Look(failure=f"the VM's XML or the vNIC's can't be used: {error}")
    if wanted.tag != "interface":
        return Look(failure="the document is no <interface>")
    mac, alias = _mac(wanted), document.attribute(wanted, "alias", "name")
    found = [
        interface
        for interface in live.iterfind("devices/interface")
        if _mac(interface) == mac and alias in ("", document.attribute(interface, "alias", "name"))
    ]
    if len(found) != 1:
        return Look(failure=f"the running VM has {len(found)} vNICs with MAC address {quote(mac)}, not one")
    return Look(etree.tostring(found[0], encoding="UTF-8", with_tail=False), version, filters=filters)


class Running:
    """The live <interface> of a vNIC."""

    def __init__(self, look: Look) -> None:
        """Raises document.BadDocument."""
        self._live = document.parse(look.xml)
        self._version = look.version
        self._filters = look.filters
        self.network = document.attribute(self._live, "source", "network")
        self.portgroup = document.attribute(self._live, "source", "portgroup")
        self.bridge = document.attribute(self._live, "source", "bridge")
        self._device = document.attribute(self._live, "source", "dev")
        self._mode = document.attribute(self._live, "source", "mode")
        self._type = self._live.get("type", "")
        self._virtualport = document.attribute(self._live, "virtualport", "type")

    @property
    def where(self) -> str:
        """The network or else the bridge or device that it is plugged into, for people."""
        if self.network:
            return f"network {quote(named(self.network, self.portgroup))}"
        if self.bridge:
            return f"bridge {quote(self.bridge)}"
        return f"device {quote(self._device)}"

    def is_on(self, network: Network, portgroup: str) -> bool:
        """Whether it is on this network as that is now, and in this portgroup, or without a name in the default one."""
        if not self._is_part_of(network):
            return False
        groups = [network.portgroup(name) for name in (self.portgroup, portgroup)]
        return self.portgroup == portgroup or (None not in groups and groups[0] == groups[1])

    def _is_part_of(self, network: Network) -> bool:
        """Whether it is plugged into what the network is now: by its name it may have become another one."""
        if network.name != self.network:
            return False
        if self._type == "direct":
            return network.forward == self._mode and self._device in network.devices
        if self._type not in _TAP:
            return network.forward == self._type
        return network.bridge == self.bridge and network.virtualport_for(self.portgroup) == self._virtualport

    def why_not_to(self, network: Network, portgroup: str, host: Host) -> str:
        """Why libvirt can't plug it into this network while it runs; empty where it can: Linux bridges are changed for
        one another, and up to libvirt 10.5 a portgroup on Open vSwitch."""
        kind = network.kind(portgroup)
        if network.bridge and not host.has_interface(network.bridge):
            return f"this host has no bridge {quote(network.bridge)}"
        if self._is_part_of(network):
            if self._version >= PORTGROUP_FIXED:
                return "libvirt 10.6 and later change no portgroup of a running vNIC"
            if self._virtualport == network.virtualport_for(portgroup) == "openvswitch":
                return ""
            return f"libvirt changes no portgroup of a running vNIC on {kind.title}"
        if not kind.unfit and host.bridge_kind(network.bridge) != "bridge":
            return f"{quote(network.bridge)} of that network is no Linux bridge on this host"
        if self.can_move() and not kind.unfit and not network.vlan_for(portgroup):
            return ""
        return f"libvirt can't move a running vNIC from {self.where} to {kind.title}"

    def move(self, interface: etree._Element, network: Network, portgroup: str) -> list[str]:
        """Make an update plug the vNIC into another network, or portgroup. Returns what people should know."""
        same = self.network == network.name
        notes = self._keep(interface, ("virtualport",) if same else ())
        vlan = network.vlan_for(portgroup)
        if vlan:  # libvirt 9.0 takes a new tag from here alone, and of a portgroup's only takes the old one off
            _put(interface, "vlan", document.parse(vlan.encode()))
        _set_source(interface, "network", {"network": network.name, "portgroup": portgroup})
        return notes

    def is_plain(self) -> bool:
        """Whether it is plugged into a Linux bridge."""
        return self._type in _TAP and not self._virtualport

    def can_move(self) -> bool:
        """Whether libvirt plugs it into another Linux bridge while it runs. With a VLAN, which newer ones have on Linux
        bridges, too, that was never tried."""
        return self.is_plain() and self._live.find("vlan") is None

    def why_not_to_bridge(self, bridge: str, host: Host) -> str:
        """Why libvirt can't plug it into this bridge of the host while it runs; empty where it can, or it is there."""
        if self.bridge == bridge or (self.can_move() and host.bridge_kind(bridge) == "bridge"):
            return ""
        return f"libvirt can't move a running vNIC from {self.where} to bridge {quote(bridge)}"

    def plug(self, interface: etree._Element, bridge: str, networks: NetworkView, host: Host) -> list[str]:
        """Make an update plug the vNIC into this bridge of the host, or leave it there. Returns what people should
        know."""
        if self.bridge == bridge:
            return self.stay(interface, networks, host)
        notes = self._keep(interface, ())
        _set_source(interface, "bridge", {"bridge": bridge})
        return notes

    def stay(self, interface: etree._Element, networks: NetworkView, host: Host) -> list[str]:
        """Make an update leave the vNIC where it is. Returns what people should know.

        Named by its network while that is active and libvirt would give it the same port again; else by the bridge or
        the device itself, which libvirt takes on Linux bridges, and on macvtap without an MTU. Where that bridge is
        gone, the vNIC is on no network, and stays so on vdsm's dummy bridge.
        """
        notes = self._keep(interface, _PORT)
        source = self._live.find("source")
        if source is None or self._type not in (*_TAP, "direct"):  # libvirt changes nothing of a hostdev
            return notes
        if self._is_regained_by_name(networks):
            _set_source(interface, "network", {"network": self.network, "portgroup": self.portgroup})
        elif self._type == "direct":
            _set_source(interface, "direct", {"dev": self._device, "mode": self._mode})
        elif host.has_interface(self.bridge) or not host.has_interface(DUMMY_BRIDGE):
            _set_source(interface, "bridge", {"bridge": self.bridge})
        else:
            notes.append(f"{self.where} is gone with its bridge: the vNIC is on no network until it is updated again")
            _set_source(interface, "bridge", {"bridge": DUMMY_BRIDGE})
        return notes

    def _is_regained_by_name(self, networks: NetworkView) -> bool:
        """Whether libvirt gives the vNIC the same port again where it is named by its network. While libvirt can't tell
        of networks that is a guess, and only made where there is no other way."""
        network = networks.by_name.get(self.network)
        if networks.outage and (self.is_plain() or network is None):
            return bool(self.network) and not self.is_plain() and self._mode != "passthrough"
        if network is None or not network.active or not self._is_part_of(network):
            return False
        return self._type != "direct" or (self._mode != "passthrough" and len(network.devices) == 1)

    def _keep(self, interface: etree._Element, port: tuple[str, ...]) -> list[str]:
        """Take from the live vNIC what can't change, and the named parts of its port. Leave out what libvirt refuses on
        its kind of network."""
        notes = []
        for tag in (*_FIXED, *_PORT):
            live = self._live.find(tag) if tag in (*_FIXED, *port) else None
            wanted = interface.find(tag)
            if tag in _TOLD and wanted is not None and not _is_same(wanted, live):
                notes.append(
                    f"<{tag}> stays as the VM started with it, for libvirt can't change that on a running vNIC"
                )
            _put(interface, tag, live)
        notes += self._keep_filter(interface)
        if not self.is_plain():  # libvirt takes an absent <port> for another one than isolated="no", and fails
            if interface.find("port[@isolated='yes']") is not None and self._live.find("port[@isolated='yes']") is None:
                notes.append("left out <port>, which libvirt refuses where the vNIC is")
            _put(interface, "port", self._live.find("port"))
        return notes

    def _keep_filter(self, interface: etree._Element) -> list[str]:
        """Let a network filter change only where libvirt is sure to build the new one. It plugs a vNIC in before it
        builds the filter: where that fails, vdsm's second try leaves the vNIC on the Engine's bridge, and libvirt does
        not know."""
        wanted, live = interface.find("filterref"), self._live.find("filterref")
        if wanted is None or (live is not None and _text_of(wanted) == _text_of(live)):
            return []
        if self.is_plain() and not len(wanted) and wanted.get("filter") in self._filters:
            return []
        _put(interface, "filterref", live)
        if not self.is_plain() and live is None:
            return ["left out <filterref>, which libvirt refuses where the vNIC is"]
        name = quote(wanted.get("filter", ""))
        return [f"the filter stays as it is: {name} may fail on a running vNIC, and is there when the VM is restarted"]


def _mac(interface: etree._Element) -> str:
    return document.attribute(interface, "mac", "address").lower()


def _text_of(filterref: etree._Element) -> tuple[str, list[tuple[str, str]]]:
    """What a filterref says: the filter, and its parameters."""
    parameters = [(each.get("name", ""), each.get("value", "")) for each in filterref.iterchildren("parameter")]
    return filterref.get("filter", ""), sorted(parameters)


def _is_same(one: etree._Element, other: etree._Element | None) -> bool:
    """Whether `one` says nothing that the other does not."""
    return other is not None and all(other.get(name) == value for name, value in one.items())


def _put(interface: etree._Element, tag: str, child: etree._Element | None) -> None:
    """Have a copy of `child` in place of all children of that tag."""
    for present in list(interface.iterchildren(tag)):
        remove(present)
    if child is not None:
        copied = copy.deepcopy(child)
        copied.tail = None
        interface.append(copied)


def _set_source(interface: etree._Element, kind: str, attributes: dict[str, str]) -> None:
    set_attributes(interface, {"type": kind})
    sources = list(interface.iterchildren("source"))
    for surplus in sources[1:]:
        remove(surplus)
    source = sources[0] if sources else etree.SubElement(interface, "source")
    for child in list(source):
        source.remove(child)
    for name in list(source.keys()):
        del source.attrib[name]
    source.attrib.update({name: value for name, value in attributes.items() if value})
