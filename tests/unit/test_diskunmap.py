"""diskunmap, through the decision core: what comes out for which property and document."""

from __future__ import annotations

import pytest

from tests.unit.stock import (
    assert_becomes,
    assert_refused,
    domain,
    run,
)
from vdsm_hookd.hooks import (
    diskunmap,
)


def disk(device: str, bus: str, driver: str = "<driver/>") -> str:
    return f'<disk device="{device}">{driver}<target dev="x" bus="{bus}"/></disk>'


def test_diskunmap_serves_disks_on_scsi_and_ide() -> None:
    on = '<driver discard="unmap"/>'
    others = disk("cdrom", "ide") + disk("disk", "virtio", "") + "<disk><target/></disk><disk/>"
    mine = [("disk", "scsi"), ("disk", "ide"), ("lun", "scsi")]
    made = run(diskunmap.HOOK, domain("".join(disk(*each) for each in mine) + others), {"diskunmap": b"on"})
    assert_becomes(made, domain("".join(disk(*each, on) for each in mine) + others))
    assert run(diskunmap.HOOK, made.document, {"diskunmap": b"on"}).outcome == "unchanged"


@pytest.mark.parametrize("value", [b"off", b"", b"ON", b"true", b"\xff"])
def test_diskunmap_is_on_or_off(value: bytes) -> None:
    assert run(diskunmap.HOOK, domain(disk("disk", "scsi")), {"diskunmap": value}).outcome == "unchanged"


@pytest.mark.parametrize("xml", [disk("disk", "scsi", ""), '<disk device="lun"/>'])
def test_a_disk_that_diskunmap_can_not_serve(xml: str) -> None:
    assert_refused(run(diskunmap.HOOK, domain(xml), {"diskunmap": b"on"}), "bad-xml")
