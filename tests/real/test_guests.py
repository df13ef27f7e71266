"""The whole way, to a running QEMU whose tap is in the right bridge."""

from __future__ import annotations

from pathlib import Path

import libvirt
import pytest
from lxml import etree

from tests.real.guest import domain_with
from tests.real.host import Bridge
from tests.real.libvirtd import Network
from tests.real.makers import MakeBridge, MakeGuest, MakeHookd, MakeNetwork
from tests.real.ovs import OvsBridge
from tests.vdsm import run_hooks

URI = "network:///system"
MAC = "56:6f:1a:2b:00:04"
PLUGGED = "56:6f:1a:2b:00:0a"
PROPERTY = {"extnet": "glitter"}
VNIC = (
    '<interface type="bridge"><model type="virtio"/><source bridge="ovirtmgmt"/><mac address="{mac}"/>'
    '<filterref filter="vdsm-no-mac-spoofing"/><port isolated="yes"/></interface>'
)


def hooked(extnet: Path, event: str, xml: str, value: str) -> str:
    """What vdsm hands to libvirt; the hook must succeed."""
    run = run_hooks(extnet, event, xml, {"extnet": value})
    assert (run.failed, run.stderr) == (False, "")
    return run.xml


@pytest.fixture(autouse=True)
def engine_bridge(make_bridge: MakeBridge) -> Bridge:
    """Where a vNIC ends up that the hook forgets."""
    return make_bridge("ovirtmgmt")


def test_a_guest_starts_on_glitter(
    make_hookd: MakeHookd, glitter: Network, bridge: Bridge, extnet: Path, make_guest: MakeGuest
) -> None:
    make_hookd(URI)
    interface = hooked(extnet, "before_device_create", VNIC.format(mac=MAC), "glitter")
    guest = make_guest(domain_with(interface))
    assert guest.bridge_of(MAC) == bridge.name
    assert "vdsm-no-mac-spoofing" in guest.interface(MAC)


def test_a_guest_starts_on_open_vswitch_though_its_vnic_has_a_filter(
    make_hookd: MakeHookd, ovs_network: Network, ovs_bridge: OvsBridge, extnet: Path, make_guest: MakeGuest
) -> None:
    make_hookd(URI)
    vnic = VNIC.format(mac=MAC)
    interface = hooked(extnet, "before_device_create", vnic, "ovs-net/lab-42")
    guest = make_guest(domain_with(interface))
    assert guest.bridge_of(MAC) == ovs_bridge.name
    assert ovs_bridge.tag_of(guest.tap(MAC)) == 42


def test_what_is_kept_for_open_vswitch_is_refused_by_libvirt(
    make_hookd: MakeHookd, ovs_network: Network, extnet: Path, make_guest: MakeGuest
) -> None:
    make_hookd(URI, "[extnet]\nincompatible = keep\n")
    interface = hooked(extnet, "before_device_create", VNIC.format(mac=MAC), "ovs-net")
    with pytest.raises(libvirt.libvirtError, match="not supported"):
        make_guest(domain_with(interface))


def test_a_vnic_is_plugged_into_a_running_guest(
    make_hookd: MakeHookd, glitter: Network, bridge: Bridge, extnet: Path, make_guest: MakeGuest
) -> None:
    make_hookd(URI)
    guest = make_guest(domain_with(VNIC.format(mac=MAC).replace('<port isolated="yes"/>', "")))
    assert guest.bridge_of(MAC) == "ovirtmgmt"
    guest.attach(hooked(extnet, "before_nic_hotplug", VNIC.format(mac=PLUGGED), "glitter"))
    assert guest.bridge_of(PLUGGED) == bridge.name
    assert guest.bridge_of(MAC) == "ovirtmgmt"


@pytest.mark.parametrize("kind", ["bridge", "network"])
def test_a_link_toggle_leaves_a_running_vnic_on_its_network(
    make_hookd: MakeHookd, glitter: Network, bridge: Bridge, extnet: Path, make_guest: MakeGuest, kind: str
) -> None:
    make_hookd(URI)
    started = hooked(extnet, "before_device_create", VNIC.format(mac=MAC), "glitter")
    guest = make_guest(domain_with(started))
    assert guest.bridge_of(MAC) == bridge.name
    # As vdsm builds it: the running vNIC, but on the Engine's bridge and with the new link state.
    interface = etree.fromstring(guest.interface(MAC))
    for name in ("target", "link"):
        for element in interface.findall(name):
            interface.remove(element)
    interface.set("type", kind)
    source = interface.find("source")
    assert source is not None
    source.attrib.clear()
    source.set("bridge", "ovirtmgmt")
    for state in ("down", "up"):
        for link in interface.findall("link"):
            interface.remove(link)
        etree.SubElement(interface, "link", state=state)
        wanted = str(etree.tostring(interface, encoding="unicode"))
        guest.update(hooked(extnet, "before_update_device", wanted, "glitter"))
        assert guest.link_state(MAC) == state
        assert guest.bridge_of(MAC) == bridge.name


def test_a_network_that_was_just_defined_is_known_at_once(
    make_hookd: MakeHookd, make_network: MakeNetwork, bridge: Bridge, extnet: Path
) -> None:
    make_hookd(URI, "[libvirt]\nask_timeout = 2s\n")
    make_network("fresh", bridge)
    assert "fresh" in hooked(extnet, "before_device_create", VNIC.format(mac=MAC), "fresh")
