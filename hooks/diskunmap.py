"""diskunmap: disks hand the guest's TRIM on to the storage.

    diskunmap=on        a property of the VM; off, like any other value, changes nothing

Every disk or LUN on a SCSI or IDE bus gets <driver discard="unmap">.
"""

from __future__ import annotations

from vdsm_hookd import tree
from vdsm_hookd.hook import Call, Hook


def unmap(call: Call) -> bool:
    """before_vm_start."""
    if call.properties["diskunmap"] != b"on":
        return False
    changed = False
    for disk in tree.domain(call).iter("disk"):
        if disk.get("device") not in ("disk", "lun"):
            continue
        target, driver = (next(disk.iter(tag), None) for tag in ("target", "driver"))
        if target is None:
            raise tree.bad_xml("the domain has a <disk> without <target>")
        if target.get("bus") not in ("scsi", "ide"):
            continue
        if driver is None:
            raise tree.bad_xml("the domain has a <disk> without <driver>")
        changed = changed or driver.get("discard") != "unmap"
        driver.set("discard", "unmap")
    return changed


HOOK = Hook(
    name="diskunmap",
    properties=("diskunmap",),
    events={"before_vm_start": unmap},
    vm_properties={"diskunmap": "^(on|off)$"},
)
