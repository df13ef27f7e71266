"""Where running vNICs are, held against where the Engine and the configuration want them. No libvirt here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lxml import etree

from vdsm_hookd import document
from vdsm_hookd.hook import plain
from vdsm_hookd.networks import NetworkView, named

_OVIRT = "{http://ovirt.org/vm/1.0}"


class Vnic(NamedTuple):
    """One vNIC of a running domain. `extnet` is the property in the Engine's metadata, `engine_network` the Engine
    network there; `network`, `portgroup` and `bridge` are where libvirt has it. Empty is what is not said."""

    vm_name: str
    vm_uuid: str
    mac: str
    extnet: str
    engine_network: str
    network: str
    portgroup: str
    bridge: str

    @property
    def where(self) -> str:
        """The network that it is on, or else the bridge."""
        return named(self.network, self.portgroup) if self.network else self.bridge


class Drift(NamedTuple):
    """A vNIC that is elsewhere than declared. Also a key: the same drift of the same vNIC is equal to it."""

    vm_name: str
    vm_uuid: str
    mac: str
    declared: str
    actual: str

    @property
    def text(self) -> str:
        """One line for people; names are users' and escaped where they need it."""
        where = f"is on {'/'.join(map(plain, self.actual.split('/', 1)))}" if self.actual else "is on no network"
        declared = "/".join(map(plain, self.declared.split("/", 1)))
        return f"{plain(self.vm_name)} {plain(self.mac)} declared {declared}, {where}"


def vnics(domain_xml: bytes) -> list[Vnic]:
    """The vNICs of a live domain, from libvirt's XML of it. Raises document.BadDocument."""
    root = document.parse(domain_xml)
    declared = dict(_metadata(root))
    name, uuid = root.findtext("name", ""), root.findtext("uuid", "")
    found = []
    for interface in root.iterfind("devices/interface"):
        mac = document.attribute(interface, "mac", "address").lower()
        alias = document.attribute(interface, "alias", "name")
        extnet, engine_network = declared.get((mac, alias)) or declared.get((mac, ""), ("", ""))
        place = (document.attribute(interface, "source", attribute) for attribute in ("network", "portgroup", "bridge"))
        found.append(Vnic(name, uuid, mac, extnet, engine_network, *place))
    return found


def judge(vnic: Vnic, networks: NetworkView, mapped: Mapping[str, str]) -> Drift | None:
    """How a vNIC is elsewhere than its property, or else [map], says; None where it is there or neither says a word.

    A vNIC that is plugged into the host bridge of its declared network is there, by whatever name libvirt has it.
    """
    declared = vnic.extnet or mapped.get(vnic.engine_network, "")
    if not declared:
        return None
    name, _slash, portgroup = declared.partition("/")
    if vnic.network == name and (not portgroup or vnic.portgroup == portgroup):
        return None
    known = networks.by_name.get(name)
    if known is not None and known.bridge and known.bridge == vnic.bridge and not portgroup:
        return None
    return Drift(vnic.vm_name, vnic.vm_uuid, vnic.mac, declared, vnic.where)


def _metadata(root: etree._Element) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """By MAC address and, for the two of a failover pair, alias: the property extnet as vdsm hands it to hooks, and the
    Engine network."""
    vm = root.find(f"metadata/{_OVIRT}vm")
    if vm is None:
        return
    of_vm = vm.findtext(f"{_OVIRT}custom/{_OVIRT}extnet", "").strip()
    for device in vm.iterchildren(f"{_OVIRT}device"):
        # The VM's property wins. vdsm hands it to the hooks for every vNIC, and drops a vNIC's own <custom> if it is
        # empty.
        extnet = of_vm or device.findtext(f"{_OVIRT}custom/{_OVIRT}extnet", "").strip()
        key = device.get("mac_address", "").lower(), device.get("alias", "")
        yield key, (extnet, device.findtext(f"{_OVIRT}network", "").strip())
