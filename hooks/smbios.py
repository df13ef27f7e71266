"""smbios: entries of the SMBIOS tables that the guest sees.

    smbios={'serial': '1234'}^{'vendor': 'oVirt'}       a property of the VM

`vendor`, `version`, `date` and `release` are entries of the BIOS, all others of the system. An entry that is there
changes its value, a new one is added; where <sysinfo type="smbios">, <bios> or <system> is missing, it is made.

Like vdsm's hook before Python 3 broke it, but a part with several entries is refused: that hook served one of them.
"""

from __future__ import annotations

from lxml import etree

from vdsm_hookd import tree
from vdsm_hookd.hook import Call, Hook, bad_property, text_property

_BIOS = frozenset({"vendor", "version", "date", "release"})


def set_entries(call: Call) -> bool:
    """before_vm_start."""
    wanted = [_entry(call, part) for part in text_property(call, "smbios", tree.MAX_LITERAL).split("^")]
    sysinfo = _sysinfo(tree.domain(call))
    tables: dict[str, _Table] = {}
    changed = False
    for name, value in wanted:
        tag = "bios" if name in _BIOS else "system"
        if tag not in tables:
            tables[tag] = _Table(sysinfo, tag)
        changed = tables[tag].set(name, value) or changed
    return changed


HOOK = Hook(
    name="smbios",
    properties=("smbios",),
    events={"before_vm_start": set_entries},
    vm_properties={"smbios": r"^\{.*\}$"},
)


def _entry(call: Call, text: str) -> tuple[str, str]:
    value = tree.literal(call, "smbios", text)
    pairs = list(value.items()) if isinstance(value, dict) else []
    if len(pairs) != 1 or not all(isinstance(part, str) for part in pairs[0]):
        raise bad_property(call, "smbios", "is not {'name': 'value'}^{'name': 'value'}...")
    if not all(map(tree.xml_can_carry, pairs[0])):
        raise bad_property(call, "smbios", "holds a character that XML can't carry")
    name, entry = pairs[0]
    return name, entry


def _sysinfo(domain: etree._Element) -> etree._Element:
    for sysinfo in domain.iter("sysinfo"):
        if sysinfo.get("type") == "smbios":
            return sysinfo
    return etree.SubElement(domain, "sysinfo", {"type": "smbios"})


class _Table:
    """One table, <bios> or <system>, with its entries by name."""

    def __init__(self, sysinfo: etree._Element, tag: str) -> None:
        present = next(sysinfo.iter(tag), None)
        self._element = etree.SubElement(sysinfo, tag) if present is None else present
        self._entries: dict[str, etree._Element] = {}
        for entry in self._element.iter("entry"):
            self._entries.setdefault(entry.get("name", ""), entry)

    def set(self, name: str, value: str) -> bool:
        """Give the entry this value; returns whether that changed anything."""
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = etree.SubElement(self._element, "entry", {"name": name})
        elif len(entry) == 0 and (entry.text or "") == value:
            return False
        del entry[:]
        entry.text = value
        return True
