"""The events at which vdsm runs hooks (vdsm's hooks man page): a misspelt one would never come."""

from __future__ import annotations

_AROUND = (
    "device_create",
    "device_destroy",
    "device_migrate_destination",
    "device_migrate_source",
    "disk_hotplug",
    "disk_hotunplug",
    "memory_hotplug",
    "nic_hotplug",
    "nic_hotunplug",
    "set_num_of_cpus",
    "update_device",
    "vm_cont",
    "vm_dehibernate",
    "vm_destroy",
    "vm_hibernate",
    "vm_migrate_destination",
    "vm_migrate_source",
    "vm_pause",
    "vm_set_ticket",
    "vm_start",
)
_FAILURES = ("after_nic_hotplug_fail", "after_nic_hotunplug_fail", "after_update_device_fail")

UPDATE = "before_update_device"
"""The Engine changes a running vNIC. vdsm answers a refusal with the Engine's own XML, which plugs it into the Engine's
bridge."""

XML_EVENTS = frozenset(f"{when}_{event}" for when in ("before", "after") for event in _AROUND) | frozenset(_FAILURES)
"""Those that come with an XML document, or an empty one. The JSON events have none to rewrite."""
