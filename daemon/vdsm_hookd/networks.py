"""libvirt's networks as plain values. No libvirt here: `watch` fills a view, the hooks read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from vdsm_hookd import document


@dataclass(frozen=True)
class Portgroup:
    """A named class of ports of a network; `virtualport` is empty where it says nothing of its own."""

    name: str
    default: bool
    virtualport: str


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
            )
            for element in root.iterchildren("portgroup")
        ),
    )


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
