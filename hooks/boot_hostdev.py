"""boot_hostdev: the VM boots from a device of the host that it was given.

    boot_hostdev=pci_0000_0b_00_0       a property of the VM: the device as the Engine's Host Devices tab names it
    boot_hostdev=scsi_2_0_0_0
    boot_hostdev=usb_usb7
    boot_hostdev=usb_1_1_4

The device gets boot order 1; all other boot orders move up by one.

Like vdsm's hook, but addresses compare as numbers (`0x0b` is `11`), and the name of a USB device, which says where it
is plugged in, is looked up on the host. vdsm's hook takes the port for the device's number, which is true by accident
only; so does this one where the host does not know the device. The boot order of a device that has one is changed,
where that hook adds a second. Devices without an address, which that hook can't bear, are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from lxml import etree

from vdsm_hookd import tree
from vdsm_hookd.hook import Call, Hook, bad_property, text_property

MAX_NAME = 128
"""Bytes of the property's value."""

_PCI = re.compile(r"pci_([0-9a-f]{4,8})_([0-9a-f]{2})_([0-9a-f]{2})_([0-7])")
_SCSI = re.compile(r"scsi_([0-9]{1,9})_([0-9]{1,9})_([0-9]{1,9})_([0-9]{1,20})")
_USB_ROOT = re.compile(r"usb_usb([0-9]{1,9})")
_USB = re.compile(r"usb_([0-9]{1,9})_([0-9]{1,9})((?:_[0-9]{1,9})*)")
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]{1,16})|[0-9]{1,20}")


class Device(NamedTuple):
    """A device as <hostdev> describes it: its type, the numbers of its <address>, and the adapter of a SCSI device."""

    type: str
    address: Mapping[str, int]
    adapter: str = ""


def boot(call: Call) -> bool:
    """before_vm_start."""
    if not call.properties["boot_hostdev"]:
        return False
    root, wanted = tree.domain(call), _wanted(call)
    tree.free_first_boot_order(root.iter("boot"))
    for hostdev in root.iter("hostdev"):
        if _is(hostdev, wanted):
            present = hostdev.find("boot")
            (etree.SubElement(hostdev, "boot") if present is None else present).set("order", "1")
            return True
    raise bad_property(call, "boot_hostdev", "is not a host device of this VM")


HOOK = Hook(
    name="boot_hostdev",
    properties=("boot_hostdev",),
    events={"before_vm_start": boot},
    vm_properties={"boot_hostdev": "^(pci|scsi|usb)(_[0-9a-z]+)+$"},
)


def _wanted(call: Call) -> Device:
    name = text_property(call, "boot_hostdev", MAX_NAME)
    if pci := _PCI.fullmatch(name):
        numbers = (int(part, 16) for part in pci.groups())
        return Device("pci", dict(zip(("domain", "bus", "slot", "function"), numbers)))
    if scsi := _SCSI.fullmatch(name):
        host, bus, target, unit = map(int, scsi.groups())
        return Device("scsi", {"bus": bus, "target": target, "unit": unit}, f"scsi_host{host}")
    if root := _USB_ROOT.fullmatch(name):
        return Device("usb", {"bus": int(root[1]), "device": 1})
    if usb := _USB.fullmatch(name):
        bus, device = _usb_address(call, *usb.groups())
        return Device("usb", {"bus": bus, "device": device})
    raise bad_property(call, "boot_hostdev", "is not the name of a PCI, SCSI or USB device")


def _usb_address(call: Call, bus: str, port: str, more: str) -> tuple[int, int]:
    found = call.host.usb_address(f"{bus}-{port}{more.replace('_', '.')}")
    if found is not None:
        return found
    if more:
        raise bad_property(call, "boot_hostdev", "is plugged in nowhere on this host")
    return int(bus), int(port)


def _is(hostdev: etree._Element, wanted: Device) -> bool:
    address = hostdev.find("source/address")
    if address is None or hostdev.get("type") != wanted.type:
        return False
    if any(_number(address.get(name, "")) != number for name, number in wanted.address.items()):
        return False
    adapter = next(hostdev.iter("adapter"), None)
    return not wanted.adapter or (adapter is not None and adapter.get("name") == wanted.adapter)


def _number(text: str) -> int | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    return int(text, 16 if match[1] else 10)
