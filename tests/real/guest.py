"""Guests: the Engine's domain XML made startable here, and running domains."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Protocol

import libvirt
from lxml import etree

from tests.real.ovs import bridge_of

_SAMPLES = Path(__file__).resolve().parent.parent / "samples"
_MEMORY_KIB = 64 * 1024
_PCIE_PORTS = 16
_ADDRESS = "192.0.2.4"

# What libvirt would refuse to start here, each tried alone: storage and a display
# network that do not exist, a socket in a directory that vdsm makes, an I/O thread
# and a serial port that the Engine adds elsewhere.
_UNAVAILABLE = (
    "devices/disk",
    "devices/graphics",
    "devices/channel",
    "devices/controller[@type='scsi']",
    "os/bios",
)

# Slots differ from domain to domain, the bootable one has no boot order of its own,
# and the kernel may lack the traffic shaper that libvirt asks for (sch_sfq).
_NOT_ATTACHABLE = ("address", "boot", "bandwidth")


def sample(name: str) -> str:
    """One of the real-shaped documents in tests/samples."""
    return (_SAMPLES / name).read_text(encoding="utf-8")


def bootable(domain_xml: str) -> str:
    """`domain_xml` as a domain that starts on the private host.

    Interfaces and metadata stay as they are, for they are what the hooks read
    and change; only a filter that is told not to learn the guest's IP address is
    given one. Name and UUID are new, so that two guests can be made of one
    document.
    """
    domain = etree.fromstring(domain_xml.encode("utf-8"))
    for path in _UNAVAILABLE:
        for element in domain.findall(path):
            _remove(element)

    for filterref in domain.findall("devices/interface/filterref"):
        _give_address(filterref)

    identity = str(uuid.uuid4())
    domain.set("type", "qemu")
    _set_text(domain, "name", f"guest-{identity[:8]}")
    _set_text(domain, "uuid", identity)
    for entry in domain.findall("sysinfo/system/entry[@name='uuid']"):
        entry.text = identity
    for name in ("memory", "currentMemory"):
        _set_text(domain, name, str(_MEMORY_KIB))

    devices = domain.find("devices")
    assert devices is not None, "a domain without devices"
    # As the Engine does: a q35 machine has no free slot for hotplug otherwise.
    for index in range(1, _PCIE_PORTS + 1):
        etree.SubElement(devices, "controller", type="pci", model="pcie-root-port", index=str(index))
    return str(etree.tostring(domain, encoding="unicode"))


def attachable(interface_xml: str) -> str:
    """`interface_xml` as a vNIC that can be hotplugged into a `bootable` domain."""
    interface = etree.fromstring(interface_xml.encode("utf-8"))
    for path in _NOT_ATTACHABLE:
        for element in interface.findall(path):
            _remove(element)
    return str(etree.tostring(interface, encoding="unicode"))


def domain_with(*interfaces: str) -> str:
    """The sample domain with these interfaces in place of its own ones, as vdsm assembles it from its devices."""
    domain = etree.fromstring(sample("domain.xml").encode())
    devices = domain.find("devices")
    assert devices is not None
    for old in devices.findall("interface"):
        devices.remove(old)
    devices.extend(map(etree.fromstring, interfaces))
    return bootable(str(etree.tostring(domain, encoding="unicode")))


def link_state(interface: etree._Element) -> str:
    """`up` or `down`."""
    link = interface.find("link")
    return "up" if link is None else str(link.get("state"))


class Connected(Protocol):
    """Who has a connection to libvirt that may write: the same one each time, or a new one after a restart."""

    @property
    def conn(self) -> libvirt.virConnect: ...


class Guest:
    """A running domain, for as long as the block lasts."""

    def __init__(self, libvirtd: Connected, domain_xml: str) -> None:
        self._libvirtd = libvirtd
        self._xml = domain_xml
        self.name = _name_of(domain_xml)

    def __enter__(self) -> Guest:
        self._libvirtd.conn.createXML(self._xml)
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, if it still runs."""
        try:
            self._domain().destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:  # else it has ended by itself
                raise

    @property
    def running(self) -> bool:
        return bool(self._domain().state()[0] == libvirt.VIR_DOMAIN_RUNNING)

    @property
    def xml(self) -> str:
        """The live XML."""
        return str(self._domain().XMLDesc())

    @property
    def pid(self) -> int:
        """QEMU's."""
        return int(Path(f"/run/libvirt/qemu/{self.name}.pid").read_text())

    def interface(self, mac: str) -> str:
        """The live `<interface>` of the vNIC with this MAC address."""
        return str(etree.tostring(self._interface(mac), encoding="unicode", with_tail=False))

    def tap(self, mac: str) -> str:
        """The name of the vNIC's device on the host."""
        target = self._interface(mac).find("target")
        assert target is not None, f"{mac} of {self.name} has no tap"
        return str(target.get("dev"))

    def bridge_of(self, mac: str) -> str | None:
        """The bridge, Linux or Open vSwitch, that the vNIC is really plugged into."""
        return bridge_of(self.tap(mac))

    def link_state(self, mac: str) -> str:
        """`up` or `down`, as set with `<link state=…>`."""
        return link_state(self._interface(mac))

    def attach(self, interface_xml: str) -> None:
        """Hotplug, the call that vdsm makes after before_nic_hotplug."""
        self._domain().attachDevice(interface_xml)

    def update(self, interface_xml: str) -> None:
        """The call that vdsm makes after before_update_device."""
        self._domain().updateDeviceFlags(interface_xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def set_metadata(self, xml: str, uri: str) -> None:
        """What vdsm writes down of the VM."""
        kind, flags = libvirt.VIR_DOMAIN_METADATA_ELEMENT, libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._domain().setMetadata(kind, xml, "o", uri, flags)

    def _domain(self) -> libvirt.virDomain:
        return self._libvirtd.conn.lookupByName(self.name)

    def _interface(self, mac: str) -> etree._Element:
        domain = etree.fromstring(self.xml.encode("utf-8"))
        for interface in domain.findall("devices/interface"):
            address = interface.find("mac")
            if address is not None and address.get("address") == mac.lower():
                return interface
        raise LookupError(f"{self.name} has no vNIC {mac}")


def _give_address(filterref: etree._Element) -> None:
    """Without an address and without learning one, libvirt can't build the filter."""
    learning = filterref.find("parameter[@name='CTRL_IP_LEARNING']")
    if learning is None or learning.get("value") != "none":
        return
    if filterref.find("parameter[@name='IP']") is None:
        etree.SubElement(filterref, "parameter", name="IP", value=_ADDRESS)


def _name_of(domain_xml: str) -> str:
    name = etree.fromstring(domain_xml.encode("utf-8")).findtext("name")
    assert name, "a domain without a name"
    return str(name)


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)


def _set_text(domain: etree._Element, name: str, text: str) -> None:
    element = domain.find(name)
    if element is None:
        element = etree.SubElement(domain, name)
    element.text = text
