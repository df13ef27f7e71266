"""vdsm around its hooks, against the real libvirt: a VM's start, hotplug, updates with their rollback, its own restart.

As oVirt 4.5 does it. Each quirk is kept on purpose: an update is built from what vdsm remembers of the vNIC, not from
what libvirt has, names the Engine's bridge, and is sent again without its hooks where anything fails.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import libvirt
from lxml import etree

from tests.real.guest import Guest, domain_with
from tests.real.makers import MakeGuest
from tests.vdsm import run_hooks

ENGINE_BRIDGE = "ovirtmgmt"
_OVIRT = "http://ovirt.org/vm/1.0"


@dataclass
class Vnic:
    """What vdsm remembers of one vNIC. `content` is what else its XML has, `custom` its profile's properties."""

    mac: str
    custom: Mapping[str, str] = field(default_factory=dict)
    content: str = ""
    network: str = ENGINE_BRIDGE
    link: str = "up"
    mtu: int | None = 1500
    filter: str = ""
    isolated: bool | None = None
    type: str = "bridge"
    teaming: str = ""
    address: str = ""
    alias: str = field(default_factory=lambda: f"ua-{uuid.uuid4()}")

    def xml(self) -> str:
        """The <interface>, on the Engine's bridge, as vdsm makes it for an update."""
        return (
            f'<interface type="{self.type}"><mac address="{self.mac}"/><model type="virtio"/>'
            f"<source bridge={quoteattr(self.network)}/>"
            + (f'<mtu size="{self.mtu}"/>' if self.mtu is not None else "")
            + (f'<port isolated="{"yes" if self.isolated else "no"}"/>' if self.isolated is not None else "")
            + (f'<filterref filter="{self.filter}"/>' if self.filter else "")
            + f'<link state="{self.link}"/>{self.content}{self.address}<alias name="{self.alias}"/></interface>'
        )

    def first_xml(self) -> str:
        """The <interface> with which the Engine starts or plugs it."""
        return self.xml().replace("</interface>", f"{self.teaming}</interface>")

    def metadata(self) -> str:
        alias = f' alias="{self.alias}"' if self.teaming else ""
        return (
            f'<o:device mac_address="{self.mac}"{alias}><o:network>{self.network}</o:network>'
            f"{_custom(self.custom)}</o:device>"
        )


@dataclass(frozen=True)
class Update:
    """How an update ended: nothing failed, or what did, and whether libvirt then took the rollback."""

    failure: str = ""
    rolled_back: bool = False


class Vm:
    """A running VM as vdsm knows it."""

    def __init__(
        self,
        hooks: Path,
        make_guest: MakeGuest,
        *vnics: Vnic,
        stock: bool = False,
        user: str | None = None,
        **custom: str,
    ) -> None:
        """Start it. `custom` are the VM's properties. With `stock` vdsm's own extnet script did the rewrites."""
        self._hooks = hooks
        self._user = user
        self._custom = custom
        self.vnics = list(vnics)
        domain = etree.fromstring(domain_with().encode())
        self.vm_id = domain.findtext("uuid", "")
        devices = domain.find("devices")
        assert devices is not None
        for vnic in vnics:
            made = _stock(vnic) if stock else self._hooked("before_device_create", vnic.first_xml(), vnic.custom)
            devices.append(etree.fromstring(made))
        _set_metadata(domain, self._metadata())
        xml = str(etree.tostring(domain, encoding="unicode"))
        self.guest: Guest = make_guest(xml if stock else self._hooked("before_vm_start", xml, {}))
        for vnic in self.vnics:
            self._learn(vnic)

    def __enter__(self) -> Vm:
        return self

    def __exit__(self, *_error: object) -> None:
        self.guest.stop()

    def plug(self, vnic: Vnic) -> None:
        """Hotplug. Raises AssertionError or libvirtError."""
        self.guest.attach(self._hooked("before_nic_hotplug", vnic.first_xml(), vnic.custom))
        self.vnics.append(vnic)
        self._learn(vnic)
        self._write_metadata()

    def update(self, vnic: Vnic, custom: Mapping[str, str] | None = None, **changes: object) -> Update:
        """An update from the Engine, which sends the profile's properties with each."""
        wanted = replace(vnic, custom=vnic.custom if custom is None else custom, **changes)  # type: ignore[arg-type]
        unhooked = wanted.xml()
        try:
            self.guest.update(self._hooked("before_update_device", unhooked, wanted.custom))
        except (AssertionError, libvirt.libvirtError) as error:
            with suppress(libvirt.libvirtError):
                self.guest.update(unhooked)
                return Update(str(error), rolled_back=True)
            return Update(str(error))
        vnic.__dict__.update(wanted.__dict__)
        self._write_metadata()
        return Update()

    def restart_vdsm(self) -> None:
        """Forget all, and read it from libvirt: a vNIC's type is the live one then, its network the Engine's again."""
        for vnic in self.vnics:
            vnic.type = str(etree.fromstring(self.live(vnic)).get("type"))

    def _learn(self, vnic: Vnic) -> None:
        """The guest's address of the device, which vdsm reads from libvirt after a start or plug."""
        address = etree.fromstring(self.live(vnic)).find("address")
        assert address is not None
        vnic.address = str(etree.tostring(address, encoding="unicode", with_tail=False))

    def live(self, vnic: Vnic) -> str:
        """The vNIC's live <interface>."""
        for interface in etree.fromstring(self.guest.xml.encode()).iterfind("devices/interface"):
            alias = interface.find("alias")
            if alias is not None and alias.get("name") == vnic.alias:
                return str(etree.tostring(interface, encoding="unicode", with_tail=False))
        raise LookupError(vnic.alias)

    def _hooked(self, event: str, xml: str, custom: Mapping[str, str]) -> str:
        done = run_hooks(self._hooks, event, xml, {**custom, **self._custom}, vm_id=self.vm_id, user=self._user)
        assert not done.failed, done.stderr
        return done.xml

    def _metadata(self) -> str:
        devices = "".join(vnic.metadata() for vnic in self.vnics)
        return f'<o:vm xmlns:o="{_OVIRT}">{_custom(self._custom)}{devices}</o:vm>'

    def _write_metadata(self) -> None:
        # libvirt puts every element into the namespace itself.
        self.guest.set_metadata(
            self._metadata().replace(f' xmlns:o="{_OVIRT}"', "").replace("<o:", "<").replace("</o:", "</"), _OVIRT
        )


def _custom(properties: Mapping[str, str]) -> str:
    return f"<o:custom>{''.join(f'<o:{name}>{value}</o:{name}>' for name, value in properties.items())}</o:custom>"


def _stock(vnic: Vnic) -> str:
    """What the stock script makes of it: the source, and nothing else."""
    interface = etree.fromstring(vnic.first_xml())
    name, _slash, portgroup = vnic.custom["extnet"].partition("/")
    source = interface.find("source")
    assert source is not None
    interface.set("type", "network")
    source.attrib.clear()
    source.set("network", name)
    if portgroup:  # as an administrator has it where the stock script could not name one: by hand
        source.set("portgroup", portgroup)
    return str(etree.tostring(interface, encoding="unicode"))


def _set_metadata(domain: etree._Element, text: str) -> None:
    metadata = domain.find("metadata")
    assert metadata is not None
    for child in metadata.findall(f"{{{_OVIRT}}}vm"):
        metadata.remove(child)
    metadata.append(etree.fromstring(text))
