"""nestedvt: guests can be hosts.

No property: where this hook is enabled, every VM that starts gets the CPU's virtualisation, <feature name="vmx"
policy="require"/> or `svm`, as long as the host's KVM module lets guests have it. So it wakes the shim for every VM:
with the daemon dead, no VM starts. Where some VMs are enough, declare a rewrite with a condition instead.

Like vdsm's hook, but a feature that is there already changes its policy: libvirt refuses a second of that name.
"""

from __future__ import annotations

from vdsm_hookd import tree
from vdsm_hookd.hook import Call, Hook

_FEATURES = {"kvm_intel": "vmx", "kvm_amd": "svm"}


def add_feature(call: Call) -> bool:
    """before_vm_start."""
    module = call.host.nested_kvm_module()
    return bool(module) and tree.set_cpu_feature(tree.first(call, "cpu"), _FEATURES[module], "require")


HOOK = Hook(
    name="nestedvt",
    properties=(),
    events={"before_vm_start": add_feature},
    always=lambda options: True,
)
