"""spiceoptions: how SPICE compresses and streams.

    spiceoptions={'image': {'compression': 'auto_glz'}, 'streaming': {'mode': 'filter'}}      a property of the VM

Each option becomes an element of every <graphics type="spice">, behind those that are there; libvirt takes the last.

Like vdsm's hook before Python 3 broke it, but that one passed over an option that it did not know: here it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from vdsm_hookd import tree
from vdsm_hookd.hook import Call, Hook, bad_property, quote, text_property

_VALUES = {
    ("image", "compression"): ("auto_glz", "auto_lz", "quic", "glz", "lz", "off"),
    ("jpeg", "compression"): ("auto", "never", "always"),
    ("zlib", "compression"): ("auto", "never", "always"),
    ("playback", "compression"): ("on", "off"),
    ("streaming", "mode"): ("filter", "all", "off"),
    ("mouse", "mode"): ("server", "client"),
}


def set_options(call: Call) -> bool:
    """before_vm_start."""
    wanted = list(_wanted(call))
    consoles = [graphics for graphics in tree.domain(call).iter("graphics") if graphics.get("type") == "spice"]
    for graphics in consoles:
        for element, attribute, value in wanted:
            etree.SubElement(graphics, element, {attribute: value})
    return bool(consoles and wanted)


HOOK = Hook(
    name="spiceoptions",
    properties=("spiceoptions",),
    events={"before_vm_start": set_options},
    vm_properties={"spiceoptions": r"^\{.*\}$"},
)


def _wanted(call: Call) -> Iterator[tuple[str, str, str]]:
    """Element, attribute and value of each option."""
    value = tree.literal(call, "spiceoptions", text_property(call, "spiceoptions", tree.MAX_LITERAL))
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise bad_property(call, "spiceoptions", "is not {'element': {'attribute': 'value'}, ...}")
    for element, attributes in {name.lower(): attributes for name, attributes in value.items()}.items():
        if not isinstance(attributes, dict):
            raise bad_property(call, "spiceoptions", f"has no {{'attribute': 'value'}} for {quote(element)}")
        for attribute, chosen in attributes.items():
            known = _VALUES.get((element, attribute))
            if known is None:
                raise bad_property(call, "spiceoptions", f"has an unknown option in {quote(element)}")
            if chosen not in known:
                raise bad_property(call, "spiceoptions", f"needs one of {', '.join(known)} for {element}")
            yield element, attribute, chosen
