"""macbind: vNICs, told by their MAC addresses, go to bridges of the host.

    macbind={'00:1a:4a:60:d1:9a': 'br0', '00:1a:4a:60:c4:88': 'ovsbr1'}      a property of the VM

A bridge of Open vSwitch brings <virtualport type="openvswitch"/> along. libvirt starts no such vNIC with a <filterref>:
give its profile no network filter, or the VM `macspoof=true`.

Like vdsm's hook before Python 3 broke it, but MAC addresses compare without case on both sides, a MAC address that no
vNIC has is noted, a vNIC that is on Open vSwitch already gets no second <virtualport>, and before_update_device keeps a
running vNIC on its bridge. What a bridge is says `Host.bridge_kind`, not the driver's name that ethtool gives: so
bridges whose frames Open vSwitch itself moves count.
"""

from __future__ import annotations

from lxml import etree

from vdsm_hookd import tree
from vdsm_hookd.events import UPDATE
from vdsm_hookd.hook import Call, Hook, Refusal, bad_property, quote, text_property


def bind(call: Call) -> bool:
    """before_vm_start."""
    wanted = _wanted(call)
    kinds = {bridge: call.host.bridge_kind(bridge) for bridge in set(wanted.values())}
    for bridge, kind in kinds.items():
        if not kind:
            raise _no_bridge(call, bridge)
    bound = set()
    for interface in list(tree.domain(call).iter("interface")):
        address = _mac(interface)
        if address in wanted:
            bridge = wanted[address]
            _bind(interface, bridge, kinds[bridge])
            bound.add(address)
    missing = [quote(address) for address in wanted if address not in bound]
    if missing:
        call.note(f"macbind: no vNIC has the MAC address {', '.join(missing)}")
    return bool(bound)


def keep_bound(call: Call) -> bool:
    """before_update_device: a link toggle or another profile leaves a running vNIC on its bridge."""
    wanted = _wanted(call)
    for interface in call.document.iter("interface"):
        bridge = wanted.get(_mac(interface), "")
        if not bridge:
            continue
        running = call.look()
        kind = call.host.bridge_kind(bridge)
        if not kind:
            raise _no_bridge(call, bridge)
        if running is None:
            _bind(interface, bridge, kind)
            return True
        call.plug(interface, running, bridge)
        return True
    return False


HOOK = Hook(
    name="macbind",
    properties=("macbind",),
    events={"before_vm_start": bind, UPDATE: keep_bound},
    vm_properties={"macbind": r"^\{.*\}$"},
)


def _mac(interface: etree._Element) -> str:
    mac = next(interface.iter("mac"), None)
    return "" if mac is None else mac.get("address", "").lower()


def _no_bridge(call: Call, bridge: str) -> Refusal:
    return bad_property(call, "macbind", f"names {quote(bridge)}, which is no bridge of this host")


def _wanted(call: Call) -> dict[str, str]:
    """Bridges by MAC address in lower case."""
    value = tree.literal(call, "macbind", text_property(call, "macbind", tree.MAX_LITERAL))
    if not isinstance(value, dict) or not all(isinstance(part, str) for pair in value.items() for part in pair):
        raise bad_property(call, "macbind", "is not {'MAC address': 'bridge', ...}")
    return {address.lower(): bridge for address, bridge in value.items()}


def _bind(interface: etree._Element, bridge: str, kind: str) -> None:
    source = interface.find("source")
    if source is None:
        raise tree.bad_xml("the vNIC that macbind names has no <source>")
    tree.remove(source)
    etree.SubElement(interface, "source", {"bridge": bridge})
    ports = interface.iterchildren("virtualport")
    if kind == "openvswitch" and not any(port.get("type") == "openvswitch" for port in ports):
        etree.SubElement(interface, "virtualport", {"type": "openvswitch"})
