"""allocate_net: a vNIC goes to one of several networks that are as good as each other.

    equivnets=red green blue        a property of a vNIC's profile: names of the host's networks, separated by blanks

The first attribute of each <source> gets the name. vdsm's hook draws lots at every start; here the vNIC's MAC address
decides, so that vNICs spread as evenly, each stays with its network, and `hookctl explain` says what will happen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from lxml import etree

from vdsm_hookd import tree
from vdsm_hookd.events import UPDATE
from vdsm_hookd.hook import Call, Hook, bad_property, text_property

MAX_NETWORKS = 4096
"""Bytes of the property's value."""


def allocate(call: Call) -> bool:
    """before_device_create."""
    return _allocate(call, _drawn(call, _networks(call)))


def keep_allocated(call: Call) -> bool:
    """before_update_device: a running vNIC stays on its network while that is one of them."""
    networks = _networks(call)
    running = call.look()
    interface = next(call.document.iter("interface"), None)
    if running is None or interface is None:
        return _allocate(call, _drawn(call, networks))
    bridge = running.bridge if running.bridge in networks else _drawn(call, networks)
    call.plug(interface, running, bridge)
    return True


def _networks(call: Call) -> list[str]:
    networks = text_property(call, "equivnets", MAX_NETWORKS).split()
    if not networks:
        raise bad_property(call, "equivnets", "names no network")
    return networks


def _allocate(call: Call, network: str) -> bool:
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
    events={"before_device_create": allocate, UPDATE: keep_allocated},
    vnic_properties={"equivnets": r"^\S+( +\S+)*$"},
)


def _drawn(call: Call, networks: Sequence[str]) -> str:
    """One that looks drawn by lot, and is the same for the same vNIC."""
    mac = next(call.document.iter("mac"), None)
    seed = etree.tostring(call.document) if mac is None else mac.get("address", "").lower().encode()
    return networks[int.from_bytes(hashlib.sha256(seed).digest()[:8], "big") % len(networks)]
