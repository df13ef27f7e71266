"""boot_hostdev, through the decision core: what comes out for which property and document."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stock import (
    assert_becomes,
    assert_refused,
    domain,
    run,
)
from vdsm_hookd.hooks import (
    boot_hostdev,
)
from vdsm_hookd.host import Host


def hostdev(kind: str, address: str, more: str = "", boot: str = "") -> str:
    return f'<hostdev type="{kind}"><source>{more}<address {address}/></source>{boot}</hostdev>'


PCI = ("pci", 'domain="0x0000" bus="0x0b" slot="0x00" function="0x0"')
PCI_IN_DECIMALS = ("pci", 'domain="0" bus="11" slot="0" function="0"')
SCSI = ("scsi", 'bus="0" target="0" unit="0"', '<adapter name="scsi_host2"/>')
OTHER_SCSI = ("scsi", 'bus="0" target="0" unit="0"', '<adapter name="scsi_host3"/>')
USB = ("usb", 'bus="2" device="8"')
USB_ROOT = ("usb", 'bus="7" device="1"')


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("pci_0000_0b_00_0", PCI),
        ("pci_0000_0b_00_0", PCI_IN_DECIMALS),
        ("scsi_2_0_0_0", SCSI),
        ("usb_usb7", USB_ROOT),
        ("usb_2_8", USB),
    ],
)
def test_boot_hostdev_puts_the_device_first(name: str, device: tuple[str, ...]) -> None:
    others = (
        hostdev("pci", 'domain="0" bus="0" slot="0" function="1"') + hostdev(*OTHER_SCSI) + "<hostdev type='mdev'/>"
    )
    disk = '<disk><boot order="{}"/></disk>'
    made = run(boot_hostdev.HOOK, domain(others + hostdev(*device) + disk.format(1)), {"boot_hostdev": name.encode()})
    first = hostdev(*device).replace("</hostdev>", '<boot order="1"/></hostdev>')
    assert_becomes(made, domain(others + first + disk.format(2)))


def test_a_device_that_boots_already_boots_first() -> None:
    before = hostdev(*PCI, boot='<boot order="3"/>')
    made = run(boot_hostdev.HOOK, domain(before), {"boot_hostdev": b"pci_0000_0b_00_0"})
    assert_becomes(made, domain(hostdev(*PCI, boot='<boot order="1"/>')))


@pytest.mark.parametrize(("name", "place"), [("usb_2_8", "2-8"), ("usb_2_1_4", "2-1.4")])
def test_a_usb_device_is_looked_up_on_the_host(tmp_path: Path, name: str, place: str) -> None:
    folder = tmp_path / "bus/usb/devices" / place
    folder.mkdir(parents=True)
    (folder / "busnum").write_text("2\n")
    (folder / "devnum").write_text("5\n")
    other, mine = hostdev(*USB), hostdev("usb", 'bus="2" device="5"')
    made = run(boot_hostdev.HOOK, domain(other + mine), {"boot_hostdev": name.encode()}, host=Host(tmp_path))
    assert_becomes(made, domain(other + mine.replace("</hostdev>", '<boot order="1"/></hostdev>')))


def test_no_boot_hostdev_changes_nothing() -> None:
    assert run(boot_hostdev.HOOK, domain(""), {"boot_hostdev": b""}).outcome == "unchanged"


@pytest.mark.parametrize(
    "value",
    [
        b"pci_0000_0c_00_0",
        b"usb_2_9",
        b"usb_2_1_4",
        b"scsi_4_0_0_0",
        b"scsi_2_0",
        b"pci_zz_0b_00_0",
        b"pci",
        b"usb_",
        b"net_eth0",
        b"\xff",
        b" ",
        b"usb" + b"_1" * 60,
        "usb_٢_٨".encode(),
    ],
)
def test_a_bad_boot_hostdev(value: bytes) -> None:
    xml = domain(hostdev(*PCI) + hostdev(*SCSI) + hostdev(*USB) + hostdev("pci", 'domain="0x" bus="" slot="?"'))
    assert_refused(run(boot_hostdev.HOOK, xml, {"boot_hostdev": value}), "bad-property")


@pytest.mark.parametrize("boot", ['<os><boot dev="hd"/></os>', '<boot order="x"/>', '<boot order="-1"/>'])
def test_boot_orders_that_can_not_be_moved(boot: str) -> None:
    made = run(boot_hostdev.HOOK, domain(hostdev(*PCI) + boot), {"boot_hostdev": b"pci_0000_0b_00_0"})
    assert_refused(made, "bad-xml")
