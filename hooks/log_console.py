"""log_console: the serial console goes to /var/log/libvirt/qemu/NAME-console.log on the host, too.

    log_console=on      a property of the VM; off keeps it from doing so

Without `on` or `off`, `[log_console] vm_regexp` decides by the VM's name; while it is set, every VM's start wakes the
shim. vdsm's hook has that expression from vdsmd's environment, log_console_vm_regexp in /etc/sysconfig/vdsm: move it.
The environment also holds what users set, and an expression from there could take for ever.

The first <serial> gets the <log>; a VM that has none is left alone. A <log> that is there already is redirected.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from vdsm_hookd import tree
from vdsm_hookd.hook import Call, Hook
from vdsm_hookd.options import option
from vdsm_hookd.regex import Regex


@dataclass(frozen=True)
class Options:
    """Which VMs have their console logged without being told to."""

    vm_regexp: Regex | None = option("", tree.name_regex, "beginning of the names of VMs that log without a property")


def log(call: Call) -> bool:
    """before_vm_start."""
    if not tree.wants_log(call, "log_console", call.options.vm_regexp):
        return False
    name = tree.vm_name(call)
    serial = next(tree.first(call, "devices").iterchildren("serial"), None)
    if serial is None:
        call.note("log_console: the VM has no serial console")
        return False
    present = serial.find("log")
    target = etree.SubElement(serial, "log") if present is None else present
    wanted = {"file": f"/var/log/libvirt/qemu/{name}-console.log", "append": "on"}
    return tree.set_attributes(target, wanted)


HOOK = Hook(
    name="log_console",
    properties=("log_console",),
    events={"before_vm_start": log},
    options=Options,
    always=lambda options: options.vm_regexp is not None,
    vm_properties={"log_console": "^(on|off)$"},
)
