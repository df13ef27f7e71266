"""log_firmware: what the guest's firmware says on its debug port goes to a file NAME-firmware.log on the host.

    log_firmware=on     a property of the VM; off keeps it from doing so

Without `on` or `off`, `[log_firmware] vm_regexp` decides by the VM's name; while it is set, every VM's start wakes the
shim. `[log_firmware] directory` says where, and QEMU must be able to write there. vdsm's hook has both from vdsmd's
environment, log_firmware_vm_regexp and log_firmware_dir in /etc/sysconfig/vdsm: move them. The environment also holds
what users set, and they must not choose a file on the host.

QEMU is told by arguments of libvirt's pass-through, behind those that are there. A comma in the VM's name is doubled,
as QEMU wants it; vdsm's hook lets it end the path and begin another option.
"""

from __future__ import annotations

from dataclasses import dataclass

from vdsm_hookd import tree
from vdsm_hookd.hook import Call, Hook
from vdsm_hookd.options import option
from vdsm_hookd.regex import Regex


def _directory(value: str) -> str:
    if not value.startswith("/") or not tree.xml_can_carry(value):
        raise ValueError("must be an absolute path")
    return value


@dataclass(frozen=True)
class Options:
    """Which VMs have their firmware logged without being told to, and where."""

    vm_regexp: Regex | None = option("", tree.name_regex, "beginning of the names of VMs that log without a property")
    directory: str = option(
        "/var/log/qemu-firmware", _directory, "where the logs are; QEMU must be able to write there"
    )


def log(call: Call) -> bool:
    """before_vm_start."""
    if not tree.wants_log(call, "log_firmware", call.options.vm_regexp):
        return False
    path = f"{call.options.directory}/{tree.vm_name(call)}-firmware.log".replace(",", ",,")
    arguments = ("-chardev", f"file,id=firmware,path={path}", "-device", "isa-debugcon,iobase=0x402,chardev=firmware")
    tree.extend_qemu_commandline(tree.domain(call), arguments)
    return True


HOOK = Hook(
    name="log_firmware",
    properties=("log_firmware",),
    events={"before_vm_start": log},
    options=Options,
    always=lambda options: options.vm_regexp is not None,
    vm_properties={"log_firmware": "^(on|off)$"},
)
