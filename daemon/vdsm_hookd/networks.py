"""libvirt's networks as plain values. No libvirt here: `watch` fills a view, the hooks read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from lxml import etree

from vdsm_hookd import document


class Kind(NamedTuple):
    """What a vNIC is plugged into. `unfit` are the parts of a vNIC with which libvirt starts none there."""

    name: str
    title: str
    unfit: frozenset[str] = frozenset()


FILTER = "filterref"
ISOLATION = "port isolation"
BANDWIDTH = "bandwidth"
LINK_DOWN = "link state down"
QUEUES = "queues"
MTU = "mtu"
_NO_BRIDGE = frozenset({FILTER, ISOLATION})
# libvirt 9.0's qemuDomainValidateActualNetDef and virDomainActualNetDefValidate, and qemuProcessSetLinkStates; all but
# those of hostdev were tried, too.
OPEN_VSWITCH = Kind("openvswitch", "Open vSwitch", _NO_BRIDGE)
HOSTDEV = Kind("hostdev", "a PCI device (hostdev)", _NO_BRIDGE | {BANDWIDTH, LINK_DOWN, QUEUES})
_LINUX_BRIDGES = {
    "isolated": Kind("isolated", "an isolated network"),
    "nat": Kind("nat", "a NAT network"),
    "route": Kind("route", "a routed network"),
    "open": Kind("open", "an open network"),
    "bridge": Kind("bridge", "a Linux bridge"),
}
_MACVTAP = {
    mode: Kind(f"macvtap-{mode}", f"macvtap ({mode})", _NO_BRIDGE)
    for mode in ("bridge", "private", "vepa", "passthrough")
}


def named(network: str, portgroup: str = "") -> str:
    """NETWORK or NETWORK/PORTGROUP, as a property names it."""
    return f"{network}/{portgroup}" if portgroup else network


@dataclass(frozen=True)
class Portgroup:
    """A named class of ports of a network. `virtualport` is empty where it says nothing of its own; `vlan` is its
    <vlan> element, empty without one."""

    name: str
    default: bool
    virtualport: str
    vlan: str = ""


@dataclass(frozen=True)
class Network:
    """One libvirt network, as its XML and libvirt's flags describe it."""

    name: str
    uuid: str
    active: bool
    persistent: bool
    autostart: bool
    forward: str
    bridge: str
    virtualport: str
    portgroups: tuple[Portgroup, ...]
    vlan: str = ""
    """The network's own <vlan> element, empty without one."""
    devices: tuple[str, ...] = ()
    """The host's interfaces that macvtap vNICs share out among themselves."""

    def portgroup(self, name: str) -> Portgroup | None:
        """The portgroup that a vNIC gets: the named one or, without a name, the default one. None if there is none."""
        for portgroup in self.portgroups:
            if portgroup.name == name or (not name and portgroup.default):
                return portgroup
        return None

    def virtualport_for(self, portgroup_name: str) -> str:
        """The virtualport type that libvirt applies to a vNIC: the portgroup's, else the network's."""
        portgroup = self.portgroup(portgroup_name)
        return (portgroup and portgroup.virtualport) or self.virtualport

    def vlan_for(self, portgroup_name: str) -> str:
        """The <vlan> element that libvirt applies to a vNIC: the portgroup's, else the network's."""
        portgroup = self.portgroup(portgroup_name)
        return (portgroup and portgroup.vlan) or self.vlan

    def kind(self, portgroup_name: str = "") -> Kind:
        """What a vNIC of this portgroup is plugged into."""
        virtualport = self.virtualport_for(portgroup_name)
        if self.forward == "hostdev":
            return HOSTDEV
        if self.forward in _MACVTAP and not self.bridge:
            kind = _MACVTAP[self.forward]
            # With an MTU libvirt starts it, but then refuses every update, a link toggle too: one by the network would
            # take another device of it, and one by the device may have no MTU (tried with 9.0).
            shares = self.forward != "passthrough" and len(self.devices) == 1
            return kind if shares else kind._replace(unfit=kind.unfit | {MTU})
        if virtualport == "openvswitch":
            return OPEN_VSWITCH
        kind = _LINUX_BRIDGES.get(self.forward) or Kind(self.forward, f"of forward mode {self.forward}")
        return kind._replace(unfit=_NO_BRIDGE) if virtualport else kind


def parse(xml: str, *, active: bool, persistent: bool, autostart: bool) -> Network:
    """Build a Network from libvirt's own XML. Raises document.BadDocument if it is none."""
    root = document.parse(xml.encode())
    forward = root.find("forward")
    return Network(
        name=root.findtext("name", ""),
        uuid=root.findtext("uuid", ""),
        active=active,
        persistent=persistent,
        autostart=autostart,
        # Without <forward> a network is isolated; with one that names no mode it is NAT (libvirt's formatnetwork page).
        forward="isolated" if forward is None else forward.get("mode", "nat"),
        bridge=document.attribute(root, "bridge", "name"),
        virtualport=document.attribute(root, "virtualport", "type"),
        portgroups=tuple(
            Portgroup(
                name=element.get("name", ""),
                default=element.get("default") == "yes",
                virtualport=document.attribute(element, "virtualport", "type"),
                vlan=_vlan(element),
            )
            for element in root.iterchildren("portgroup")
        ),
        vlan=_vlan(root),
        devices=tuple(element.get("dev", "") for element in root.iterfind("forward/interface")),
    )


def _vlan(parent: etree._Element) -> str:
    element = parent.find("vlan")
    return "" if element is None else str(etree.tostring(element, encoding="unicode", with_tail=False))


@dataclass(frozen=True)
class NetworkView:
    """What is known of all networks at one moment: an immutable snapshot, replaced as a whole.

    `outage` tells why libvirt can't be asked, empty while it can be. `synced_at` is the time (seconds since the epoch)
    at which libvirt last confirmed the view; None before the first time.
    """

    by_name: Mapping[str, Network] = field(default_factory=lambda: MappingProxyType({}))
    outage: str = "libvirt has not been reached yet"
    synced_at: float | None = None

    def with_outage(self, reason: str) -> NetworkView:
        """The same networks, marked as what was known before libvirt went out of reach."""
        return replace(self, outage=reason)
