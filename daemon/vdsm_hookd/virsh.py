"""The virsh commands that remedies name. Pasted into root's shell they do what they say; nothing here runs them."""

from __future__ import annotations

from lxml import etree

from vdsm_hookd.hook import operand
from vdsm_hookd.networks import Network


def define(network: str) -> str:
    """Define and start it, from a file that only the reader has."""
    return f"virsh net-define FILE && {start(network)}"


def start(network: str) -> str:
    """Start it, now and whenever libvirtd starts."""
    name = _name(network)
    return f"virsh net-start {name}; virsh net-autostart {name}"


def restart(network: str) -> str:
    """Start it anew, for libvirt to make its bridge again."""
    name = _name(network)
    return f"virsh net-destroy {name}; virsh net-start {name}"


def add_portgroup(network: Network, portgroup: str) -> str:
    """Add the portgroup, in effect at once.

    One on Open vSwitch is there for its VLAN, which only the reader knows: libvirt refuses the command until VLAN is
    replaced. Without one, vNICs would join the network untagged.
    """
    element = etree.Element("portgroup", name=portgroup)
    if network.virtualport == "openvswitch":
        etree.SubElement(etree.SubElement(element, "vlan"), "tag", id="VLAN")
    xml = operand(etree.tostring(element).decode(), "FILE")
    # Options first: a name that begins with a dash ends them.
    options = "--live --config" if network.persistent else "--live"
    return f"virsh net-update {options} {_name(network.name)} add portgroup {xml}"


def _name(network: str) -> str:
    return operand(network, "NETWORK")
