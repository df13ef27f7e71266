"""The infrastructure itself, and the facts about libvirt that the product rests on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import libvirt
import pytest
from lxml import etree

from tests.real.guest import attachable, bootable, domain_with, sample
from tests.real.host import Bridge
from tests.real.libvirtd import URI, Libvirtd, Network
from tests.real.makers import MakeBridge, MakeGuest
from tests.real.ovs import OvsBridge
from tests.vdsm import run_hooks

# A libvirt call has no deadline and can't be interrupted: only a thread ends the run.
pytestmark = pytest.mark.timeout(60, method="thread")

MAC = "56:6f:1a:2b:00:04"
HOTPLUGGED = "56:6f:1a:2b:00:0a"
FILTER = '<filterref filter="vdsm-no-mac-spoofing"/>'
ISOLATED = '<port isolated="yes"/>'
LINK_DOWN = '<link state="down"/>'


def vnic(network: str, more: str = "", *, mac: str = MAC, portgroup: str | None = None) -> str:
    group = f' portgroup="{portgroup}"' if portgroup else ""
    return (
        f'<interface type="network"><mac address="{mac}"/><model type="virtio"/>'
        f'<source network="{network}"{group}/>{more}</interface>'
    )


def test_the_sample_domain_starts_on_the_engines_bridges(engine_bridges: None, make_guest: MakeGuest) -> None:
    guest = make_guest(bootable(sample("domain.xml")))
    assert guest.running
    assert guest.bridge_of(MAC) == "ovirtmgmt"
    assert "vdsm-no-mac-spoofing" in guest.interface(MAC)
    assert "extnet" in guest.xml


def test_a_vnic_on_a_network_is_plugged_into_its_bridge(
    glitter: Network, bridge: Bridge, make_guest: MakeGuest
) -> None:
    guest = make_guest(domain_with(vnic("glitter", FILTER)))
    assert guest.bridge_of(MAC) == bridge.name
    assert bridge.ports() == [guest.tap(MAC)]


def test_a_vm_on_a_network_whose_bridge_is_gone_is_refused_by_libvirt_itself(
    glitter: Network, bridge: Bridge, make_guest: MakeGuest
) -> None:
    bridge.delete()
    assert glitter.active
    with pytest.raises(libvirt.libvirtError, match=bridge.name):
        make_guest(domain_with(vnic("glitter")))


def test_a_vnic_on_an_ovs_network_is_plugged_into_its_bridge(
    ovs_network: Network, ovs_bridge: OvsBridge, make_guest: MakeGuest
) -> None:
    guest = make_guest(domain_with(vnic("ovs-net", portgroup="lab-42")))
    assert guest.bridge_of(MAC) == ovs_bridge.name
    assert ovs_bridge.ports() == [guest.tap(MAC)]
    assert ovs_bridge.tag_of(guest.tap(MAC)) == 42


def test_a_link_update_on_an_ovs_network_must_repeat_the_interfaceid(
    ovs_network: Network, ovs_bridge: OvsBridge, make_guest: MakeGuest
) -> None:
    """libvirt makes up a new one where it is missing, and then refuses the difference."""
    guest = make_guest(domain_with(vnic("ovs-net")))
    tap = guest.tap(MAC)
    with pytest.raises(libvirt.libvirtError, match="unable to change config"):
        guest.update(vnic("ovs-net", LINK_DOWN))
    assert guest.link_state(MAC) == "up"

    virtualport = etree.fromstring(guest.interface(MAC)).find("virtualport")
    assert virtualport is not None
    guest.update(vnic("ovs-net", str(etree.tostring(virtualport, encoding="unicode")) + LINK_DOWN))

    assert guest.link_state(MAC) == "down"
    assert ovs_bridge.ports() == [tap]


def test_libvirt_cannot_move_a_running_vnic_between_kinds_of_bridges(
    glitter: Network, bridge: Bridge, ovs_network: Network, make_guest: MakeGuest
) -> None:
    guest = make_guest(domain_with(vnic("glitter")))
    with pytest.raises(libvirt.libvirtError, match="unable to change config"):
        guest.update(vnic("ovs-net"))
    assert guest.bridge_of(MAC) == bridge.name


@pytest.mark.parametrize("element", [FILTER, ISOLATED])
def test_libvirt_refuses_what_the_engine_adds_on_an_ovs_network(
    element: str, ovs_network: Network, make_guest: MakeGuest
) -> None:
    with pytest.raises(libvirt.libvirtError, match=r"is not supported .*openvswitch"):
        make_guest(domain_with(vnic("ovs-net", element)))


def test_a_vnic_can_be_hotplugged(glitter: Network, bridge: Bridge, make_guest: MakeGuest) -> None:
    guest = make_guest(domain_with(vnic("glitter")))
    guest.attach(vnic("glitter", mac=HOTPLUGGED))
    assert guest.bridge_of(HOTPLUGGED) == bridge.name


def test_the_sample_vnic_can_be_hotplugged(make_bridge: MakeBridge, bridge: Bridge, make_guest: MakeGuest) -> None:
    guest = make_guest(
        domain_with(f'<interface type="bridge"><mac address="{MAC}"/><source bridge="{bridge.name}"/></interface>')
    )
    make_bridge("rhevm")
    guest.attach(attachable(sample("interface.xml")))
    assert guest.bridge_of("52:54:00:59:F5:3F") == "rhevm"


def test_an_unhooked_link_update_moves_the_vnic_to_the_engines_bridge(
    glitter: Network, bridge: Bridge, engine_bridges: None, make_guest: MakeGuest
) -> None:
    guest = make_guest(domain_with(vnic("glitter", FILTER)))
    assert guest.bridge_of(MAC) == bridge.name

    guest.update(
        f'<interface type="bridge"><mac address="{MAC}"/><model type="virtio"/>'
        f'<source bridge="ovirtmgmt"/>{FILTER}{LINK_DOWN}</interface>'
    )

    assert guest.bridge_of(MAC) == "ovirtmgmt"
    assert guest.link_state(MAC) == "down"
    assert bridge.ports() == []


def test_a_link_update_that_names_the_network_leaves_the_vnic_there(
    glitter: Network, bridge: Bridge, make_guest: MakeGuest
) -> None:
    guest = make_guest(domain_with(vnic("glitter", FILTER)))
    tap = guest.tap(MAC)

    guest.update(vnic("glitter", FILTER + LINK_DOWN))

    assert guest.link_state(MAC) == "down"
    assert guest.tap(MAC) == tap
    assert bridge.ports() == [tap]


def test_guests_and_networks_survive_a_restart_of_libvirtd(
    libvirtd: Libvirtd, glitter: Network, bridge: Bridge, make_guest: MakeGuest
) -> None:
    guest = make_guest(domain_with(vnic("glitter")))
    qemu = guest.pid

    libvirtd.restart()

    assert guest.running
    assert guest.pid == qemu
    assert glitter.active
    assert guest.bridge_of(MAC) == bridge.name


def test_a_killed_libvirtd_leaves_the_guest_plugged_in(
    libvirtd: Libvirtd, glitter: Network, bridge: Bridge, make_guest: MakeGuest
) -> None:
    guest = make_guest(domain_with(vnic("glitter")))
    tap = guest.tap(MAC)

    libvirtd.kill()
    assert bridge.ports() == [tap]

    libvirtd.start()
    assert guest.running


def test_a_frozen_libvirtd_answers_nobody_until_it_is_thawed(libvirtd: Libvirtd) -> None:
    ask = ["virsh", "--readonly", "--connect", URI, "net-list"]
    libvirtd.sigstop()
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(ask, capture_output=True, timeout=0.5, check=False)
    libvirtd.sigcont()
    subprocess.run(ask, capture_output=True, timeout=10, check=True)


def test_a_destroyed_network_keeps_running_guests_but_refuses_new_ones_and_updates(
    glitter: Network, bridge: Bridge, make_guest: MakeGuest
) -> None:
    guest = make_guest(domain_with(vnic("glitter")))
    glitter.destroy()
    assert guest.bridge_of(MAC) == bridge.name
    with pytest.raises(libvirt.libvirtError, match="network 'glitter' is not active"):
        make_guest(domain_with(vnic("glitter")))
    with pytest.raises(libvirt.libvirtError, match="network 'glitter' is not active"):
        guest.update(vnic("glitter", LINK_DOWN))
    glitter.start()
    make_guest(domain_with(vnic("glitter")))


@pytest.mark.parametrize(("options", "allowed"), [(["--readonly"], True), ([], False)])
def test_the_vdsm_user_may_read_libvirt_but_not_write(glitter: Network, options: list[str], allowed: bool) -> None:
    done = subprocess.run(
        ["virsh", *options, "--connect", URI, "net-list", "--name"],
        user="vdsm",
        group="kvm",
        extra_groups=[],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert (done.returncode == 0) is allowed
    assert ("glitter" in done.stdout) is allowed


def test_a_guest_starts_from_what_a_hook_run_by_vdsm_wrote(
    hooks_dir: Path,
    glitter: Network,
    bridge: Bridge,
    engine_bridges: None,
    make_guest: MakeGuest,
) -> None:
    hook = hooks_dir / "before_vm_start" / "50_stand_in"
    hook.parent.mkdir()
    hook.write_text(
        "#!/bin/sh\n"
        """sed -e 's|bridge="ovirtmgmt"|network="'$extnet'"|' """
        """-e 's|type="bridge"|type="network"|' """
        """-e 's|bridge="storage"|network="'$extnet'"|' """
        '"$_hook_domxml" >"$_hook_domxml.new" && mv "$_hook_domxml.new" "$_hook_domxml"\n'
    )
    hook.chmod(0o755)

    done = run_hooks(
        hooks_dir,
        "before_vm_start",
        bootable(sample("domain.xml")),
        {"extnet": "glitter"},
        user="vdsm",
    )

    assert not done.failed, done.stderr
    assert done.litter == ()
    assert make_guest(done.xml).bridge_of(MAC) == bridge.name
