"""macspoof: vNICs that may send under any MAC address, for nested virtualisation, bonding in the guest and the like.

    macspoof=true           a property of the VM: all its vNICs
    ifacemacspoof=true      a property of a vNIC's profile: this vNIC

Takes the filters that `[macspoof] filters` names, vdsm's own by default, off the vNICs. Both are vdsm booleans: what is
neither `true` nor an integer other than 0 is false and leaves the filters on, so there is no bad value.

Beyond vdsm's hook, which was dropped in 2018, the VM's property counts for a vNIC that is plugged in later, and both
count at before_update_device, where a link toggle or a profile change would bring the filter back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

from vdsm_hookd import options, tree
from vdsm_hookd.events import UPDATE
from vdsm_hookd.hook import Call, Hook
from vdsm_hookd.options import option


@dataclass(frozen=True)
class Options:
    """Which filters stand in the way."""

    filters: tuple[str, ...] = option(
        "vdsm-no-mac-spoofing", options.words, "names of the network filters that macspoof takes off a vNIC"
    )


def free_all(call: Call) -> bool:
    """before_vm_start: all vNICs of the VM. Those with `ifacemacspoof` were served when they were made."""
    return tree.boolean(call, "macspoof") and _remove_filters(call, call.document.iter("interface"))


def free_one(call: Call) -> bool:
    """before_device_create, before_nic_hotplug, before_update_device: this vNIC.

    vdsm hands the VM's property to every kind of device, so a device that is no vNIC is left alone. An update is never
    refused: vdsm would plug the running vNIC into the Engine's bridge.
    """
    interfaces = list(call.document.iter("interface"))
    if tree.boolean(call, "ifacemacspoof"):
        if len(interfaces) != 1 and call.event != UPDATE:
            raise tree.bad_xml(f"the document has {len(interfaces)} <interface> elements, not one")
        return _remove_filters(call, interfaces)
    return tree.boolean(call, "macspoof") and _remove_filters(call, interfaces)


HOOK = Hook(
    name="macspoof",
    properties=("macspoof", "ifacemacspoof"),
    events={
        "before_vm_start": free_all,
        "before_device_create": free_one,
        "before_nic_hotplug": free_one,
        UPDATE: free_one,
    },
    options=Options,
    vm_properties={"macspoof": "^(true|false)$"},
    vnic_properties={"ifacemacspoof": "^(true|false)$"},
)


def _remove_filters(call: Call, interfaces: Iterable[etree._Element]) -> bool:
    unwanted = [
        reference
        for interface in interfaces
        for reference in interface.iterchildren("filterref")
        if reference.get("filter") in call.options.filters
    ]
    for reference in unwanted:
        tree.remove(reference)
    return bool(unwanted)
