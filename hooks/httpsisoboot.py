"""httpsisoboot: the VM boots from an ISO image on a web server.

    httpsisoboot=https://server/path/to/disk.iso        a property of the VM; only https, the port may be given

The image becomes a CD-ROM on the first free IDE slot, with boot order 1; all other boot orders move up by one. QEMU
fetches the image itself, with its own idea of which certificates it trusts. On q35 machines libvirt refuses IDE, here
as with vdsm's hook. Unlike there, an IPv6 address in brackets works, and a user's name, which would be taken for the
server's, is refused.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from lxml import etree

from vdsm_hookd import tree
from vdsm_hookd.hook import Call, Hook, bad_property, text_property

MAX_URL = 4096
"""Bytes of the property's value."""

_SLOTS = ("hda", "hdb", "hdc", "hdd")


class Image(NamedTuple):
    """Where the image is."""

    server: str
    port: int
    path: str


def boot(call: Call) -> bool:
    """before_vm_start."""
    image, devices = _image(call), tree.first(call, "devices")
    taken = {target.get("dev") for disk in tree.domain(call).iter("disk") for target in disk.iterchildren("target")}
    free = [slot for slot in _SLOTS if slot not in taken]
    if not free:
        raise tree.bad_xml(f"the VM has no free IDE slot for httpsisoboot (it has {', '.join(_SLOTS)})")
    tree.free_first_boot_order(
        element
        for device in devices.iterchildren(etree.Element)
        for element in device.iter("boot")
        if element.get("order") is not None
    )
    _add_cdrom(devices, image, free[0])
    return True


HOOK = Hook(
    name="httpsisoboot",
    properties=("httpsisoboot",),
    events={"before_vm_start": boot},
    vm_properties={"httpsisoboot": "^https://.+$"},
)


def _image(call: Call) -> Image:
    text = text_property(call, "httpsisoboot", MAX_URL)
    try:
        url = urlsplit(text)
        port = 443 if url.port is None else url.port
    except ValueError:
        raise bad_property(call, "httpsisoboot", "is not a URL") from None
    if url.scheme != "https":
        raise bad_property(call, "httpsisoboot", "does not begin with https://")
    if "@" in url.netloc:
        raise bad_property(call, "httpsisoboot", "holds a user's name, which libvirt can't pass on")
    server = url.netloc[1:].partition("]")[0] if url.netloc.startswith("[") else url.netloc.partition(":")[0]
    if not server or not url.path or not port:
        raise bad_property(call, "httpsisoboot", "is not https://SERVER[:PORT]/PATH")
    return Image(server, port, url.path + (f"?{url.query}" if url.query else ""))


def _add_cdrom(devices: etree._Element, image: Image, slot: str) -> None:
    disk = etree.SubElement(devices, "disk", {"type": "network", "device": "cdrom"})
    etree.SubElement(disk, "driver", {"name": "qemu", "type": "raw"})
    source = etree.SubElement(disk, "source", {"protocol": "https", "name": image.path})
    etree.SubElement(source, "host", {"name": image.server, "port": str(image.port)})
    etree.SubElement(disk, "readonly")
    etree.SubElement(disk, "target", {"bus": "ide", "tray": "closed", "dev": slot})
    etree.SubElement(disk, "boot", {"order": "1"})
