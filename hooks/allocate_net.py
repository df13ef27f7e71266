"""allocate_net: a vNIC goes to one of several networks that are as good as each other.

    equivnets=red green blue        a property of a vNIC's profile: names of the host's networks, separated by blanks

The first attribute of each <source> gets the name. vdsm's hook draws lots at every start; here the vNIC's MAC address
decides, so that vNICs spread as evenly, each stays with its network, and `hookctl explain` says what will happen.
"""

from __future__ import annotations

import hashlib

from lxml import etree

from vdsm_hookd import tree
from vdsm_hookd.hook import Call, Hook, bad_property, text_property

MAX_NETWORKS = 4096
"""Bytes of the property's value."""


def allocate(call: Call) -> bool:
    """before_device_create."""
    networks = text_property(call, "equivnets", MAX_NETWORKS).split()
    if not networks:
        raise bad_property(call, "equivnets", "names no network")
    network = networks[_draw(call.document) % len(networks)]
    changed = False
    for source in call.document.iter("source"):
        if not source.attrib:
            raise tree.bad_xml("the document has a <source> without attributes")
        attribute = source.keys()[0]
        changed = changed or source.get(attribute) != network
        source.set(attribute, network)
    return changed


HOOK = Hook(
    name="allocate_net",
    properties=("equivnets",),
    events={"before_device_create": allocate},
    vnic_properties={"equivnets": r"^\S+( +\S+)*$"},
)


def _draw(document: etree._Element) -> int:
    """A number that looks drawn by lot, and is the same for the same vNIC."""
    mac = next(document.iter("mac"), None)
    seed = etree.tostring(document) if mac is None else mac.get("address", "").lower().encode()
    return int.from_bytes(hashlib.sha256(seed).digest()[:8], "big")
