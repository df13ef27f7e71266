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
from vdsm_hookd.networks import Network, NetworkView
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
)
_TOLD = ("model", "driver", "mtu", "boot")
"""Those of them that an Engine's change can be about."""
_PORT = ("virtualport", "vlan")
_TAP = ("bridge", "network")


class Look(NamedTuple):
    """What a look at the running vNIC showed: its live <interface> and libvirt's version, or why neither is known."""

    xml: bytes = b""
    version: int = 0
    failure: str = ""


def find(domain_xml: bytes, vnic_xml: bytes, version: int) -> Look:
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
    return Look(etree.tostring(found[0], encoding="UTF-8", with_tail=False), version)


class Running:
    """The live <interface> of a vNIC."""

    def __init__(self, look: Look) -> None:
        """Raises document.BadDocument."""
        self._live = document.parse(look.xml)
        self._version = look.version
        self.network = document.attribute(self._live, "source", "network")
        self.portgroup = document.attribute(self._live, "source", "portgroup")
        self.bridge = document.attribute(self._live, "source", "bridge")
        self._type = self._live.get("type", "")
        self._virtualport = document.attribute(self._live, "virtualport", "type")

    @property
    def where(self) -> str:
        """The network or else the bridge or device that it is plugged into, for people."""
        if self.network:
            return f"network {quote(f'{self.network}/{self.portgroup}' if self.portgroup else self.network)}"
        if self.bridge:
            return f"bridge {quote(self.bridge)}"
        return f"device {quote(document.attribute(self._live, 'source', 'dev'))}"

    def is_on(self, network: Network, portgroup: str) -> bool:
        """Whether it is on this network, and in this portgroup, or without a name in the default one."""
        if self.network != network.name or self.portgroup == portgroup:
            return self.network == network.name
        groups = [network.portgroup(name) for name in (self.portgroup, portgroup)]
        return None not in groups and groups[0] == groups[1]

    def why_not_to(self, network: Network, portgroup: str, host: Host) -> str:
        """Why libvirt can't plug it into this network while it runs; empty where it can: Linux bridges are changed for
        one another, and up to libvirt 10.5 a portgroup for another."""
        kind = network.kind(portgroup)
        if network.bridge and not host.has_interface(network.bridge):
            return f"this host has no bridge {quote(network.bridge)}"
        if self.network == network.name and self._version >= PORTGROUP_FIXED:
            return "libvirt 10.6 and later change no portgroup of a running vNIC"
        if self.network == network.name and self._virtualport == network.virtualport_for(portgroup) == "openvswitch":
            return ""
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
        the device itself. Where that bridge is gone, the vNIC is on no network, and stays so on vdsm's dummy bridge.
        """
        notes = self._keep(interface, _PORT)
        source = self._live.find("source")
        if source is None or self._type not in (*_TAP, "direct"):  # libvirt changes nothing of a hostdev
            return notes
        network = networks.by_name.get(self.network)
        is_pool = self._type == "direct" and network is not None and len(network.devices) != 1
        if network is not None and network.active and not is_pool and network.forward != "passthrough":
            _set_source(interface, "network", {"network": self.network, "portgroup": self.portgroup})
        elif self._type == "direct":
            _set_source(interface, "direct", {"dev": source.get("dev", ""), "mode": source.get("mode", "")})
        elif host.has_interface(self.bridge) or not host.has_interface(DUMMY_BRIDGE):
            _set_source(interface, "bridge", {"bridge": self.bridge})
        else:
            notes.append(f"{self.where} is gone with its bridge: the vNIC is on no network until it is updated again")
            _set_source(interface, "bridge", {"bridge": DUMMY_BRIDGE})
        return notes

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
        if self.is_plain():
            return notes
        for path in ("filterref", "port[@isolated='yes']"):
            misfit = interface.find(path)
            if misfit is not None and self._live.find(path) is None:
                _put(interface, misfit.tag, None)
                notes.append(f"left out <{misfit.tag}>, which libvirt refuses where the vNIC is")
        return notes


def _mac(interface: etree._Element) -> str:
    return document.attribute(interface, "mac", "address").lower()


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
