"""cpuflags: CPU features that the guest has to see, or may not see.

    cpuflags=+mmx,-syscall,SAP      a property of the VM; SAP stands for +invtsc,+rdtscp
    sap_agent=true                  the same as cpuflags=SAP, where there is no cpuflags

The features go into the first <cpu>, in the order given, each once. One that is there already changes its policy;
vdsm's hook adds a second, which libvirt refuses.
"""

from __future__ import annotations

from vdsm_hookd import tree
from vdsm_hookd.hook import Call, Hook, bad_property, quote, text_property

MAX_FLAGS = 4096
"""Bytes of the property's value."""

_GROUPS = {"SAP": ("+invtsc", "+rdtscp")}
_POLICIES = {"+": "require", "-": "disable"}


def set_features(call: Call) -> bool:
    """before_vm_start."""
    features = _features(call)
    if not features:
        return False
    cpu = tree.first(call, "cpu")
    changed = False
    for name, policy in features.items():
        changed = tree.set_cpu_feature(cpu, name, policy) or changed
    return changed


HOOK = Hook(
    name="cpuflags",
    properties=("cpuflags", "sap_agent"),
    events={"before_vm_start": set_features},
    vm_properties={"cpuflags": "^(SAP|[+-][^,]+)(,(SAP|[+-][^,]+))*$", "sap_agent": "^(true|false)$"},
)


def _features(call: Call) -> dict[str, str]:
    """Policies by feature name."""
    features: dict[str, str] = {}
    for flag in _flags(call):
        name, policy = flag[1:], _POLICIES.get(flag[:1])
        if policy is None or not name:
            raise bad_property(call, "cpuflags", f"has {quote(flag)}, which is not +feature, -feature or SAP")
        if features.setdefault(name, policy) != policy:
            raise bad_property(call, "cpuflags", f"both demands and bans {quote(name)}")
    return features


def _flags(call: Call) -> list[str]:
    if "cpuflags" not in call.properties:
        return list(_GROUPS["SAP"]) if tree.boolean(call, "sap_agent") else []
    if not call.properties["cpuflags"].strip():
        return []
    words = [word.strip() for word in text_property(call, "cpuflags", MAX_FLAGS).split(",")]
    return [flag for word in words for flag in _GROUPS.get(word, (word,))]
