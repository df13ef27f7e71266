"""Running vNICs on every kind of network, with real guests and vdsm's own order of events: where each is, and stays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import libvirt
import pytest

from tests.real.hookd import hookctl_json, link_hook
from tests.real.kinds import KINDS, LINUX_BRIDGES, Kinds
from tests.real.libvirtd import Libvirtd
from tests.real.makers import MakeHookd, StartNetwork
from tests.real.ovs import OvsBridge
from tests.real.vdsm import ENGINE_BRIDGE, Update, Vm, Vnic
from tests.real.vnics import CONFIGURATION, FILTER, URI, StartVm, link_of, new_mac, place, table, vnic
from tests.vdsm import run_hooks
from vdsm_hookd.running import DUMMY_BRIDGE


def stays(kinds: Kinds, vm: Vm, of: Vnic, kind: str, done: Update, link: str) -> str:
    """`ok` where an update was taken, the link is as it says, and the vNIC where it was."""
    found = (done.failure, link_of(vm, of), place(kinds, vm, of))
    return "ok" if found == ("", link, kinds.home(kind)) else " ".join(map(str, found))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stock", [False, True], ids=["by us", "by the stock hook"])
def test_link_toggles_move_no_vnic(
    make_hookd: MakeHookd,
    kinds: Kinds,
    start_vm: StartVm,
    capsys: pytest.CaptureFixture[str],
    stock: bool,
) -> None:
    """Before and after a restart of vdsm, and with a filter and port isolation in the Engine's XML.

    The stock hook starts no vNIC on Open vSwitch or macvtap with a filter. One that it started on passthrough with an
    MTU libvirt lets nobody change, so there it has none.
    """
    make_hookd(URI).wait_states(dict.fromkeys(KINDS, True))  # and with the default time limits
    fits: dict[str, dict[str, Any]] = {kind: {"filter": FILTER, "isolated": True} for kind in KINDS}
    if stock:
        fits.update({kind: {} for kind in KINDS if kind not in LINUX_BRIDGES})
        fits["macvtap-passthrough"] = {"mtu": None}
    vnics = {kind: vnic(kind, **fits[kind]) for kind in KINDS}
    rows: dict[str, list[str]] = {kind: [] for kind in KINDS}
    with start_vm(*vnics.values(), stock=stock) as vm:
        for restarted in (False, True):
            if restarted:
                vm.restart_vdsm()
            for link in ("down", "up"):
                for kind, of in vnics.items():
                    rows[kind].append(stays(kinds, vm, of, kind, vm.update(of, link=link), link))
    with capsys.disabled():
        started = "the stock hook" if stock else "us"
        print(table(f"link toggles, VM started by {started}", ("down", "up", "restarted: down", "up"), rows))
    assert {cell for cells in rows.values() for cell in cells} == {"ok"}


# What a profile may come to say while the VM runs, and the code of the reason why nothing moves.
WANTS = {
    "gone": "network-missing",
    "asleep": "network-inactive",
    "forbidden": "network-not-allowed",
    "a/b/c": "bad-property",
    "": "bad-property",
    "openvswitch/none": "portgroup-missing",
}


@pytest.mark.timeout(300)
def test_a_changed_profile_moves_a_vnic_only_where_both_want_it_and_libvirt_can(
    make_hookd: MakeHookd,
    kinds: Kinds,
    start_vm: StartVm,
    start_network: StartNetwork,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each kind to each other, and to what can't be had. Every second update has another MTU, filter and link, too."""
    hookd = make_hookd(URI, f"{CONFIGURATION}[extnet]\ndeny = forbidden\n")
    for name in ("asleep", "forbidden"):
        xml = f'<network><name>{name}</name><forward mode="bridge"/><bridge name="kind-bridge"/></network>'
        network = start_network(name, xml)
        if name == "asleep":
            network.destroy()
    hookd.wait_states({"asleep": False, "forbidden": True})
    vnics = {kind: vnic(kind) for kind in KINDS}
    targets = {**{Kinds.value(kind): kind for kind in KINDS}, **dict.fromkeys(WANTS, "")}
    rows: dict[str, list[str]] = {kind: [] for kind in KINDS}
    with start_vm(*vnics.values()) as vm:
        for number, (value, target) in enumerate(targets.items()):
            for kind, of in vnics.items():
                link = ("down", "up")[number % 2]
                changes = {"mtu": 1400, "filter": FILTER} if number % 2 else {"mtu": 1500, "filter": ""}
                done = vm.update(of, {"extnet": value}, link=link, **changes)
                moves = target in LINUX_BRIDGES and kind in LINUX_BRIDGES
                home = kinds.home(target if moves else kind)
                found = (done.failure, link_of(vm, of), place(kinds, vm, of))
                (record,) = hookd.ask("history", last=1)["records"]
                outcome = ("rewritten", "") if moves or target == kind else ("held", WANTS.get(value, "not-live"))
                says = (record["outcome"], record["code"]) == outcome and (
                    not outcome[1] or all(word in record["message"] for word in value.split("/"))
                )
                right = found == ("", link, home) and says
                rows[kind].append(("moved" if moves and target != kind else "stayed") if right else f"{found} {record}")
                if moves:  # and back
                    assert vm.update(of, {"extnet": Kinds.value(kind)}).failure == ""
                    assert place(kinds, vm, of) == kinds.home(kind)
    columns = [target or value or "(empty)" for value, target in targets.items()]
    with capsys.disabled():
        print(table("a profile that comes to name", columns, rows))
    assert {cell for cells in rows.values() for cell in cells} == {"moved", "stayed"}
    counted = hookd.ask("status")["requests"]["held"]
    assert counted == sum(cells.count("stayed") for cells in rows.values()) - len(KINDS)


def test_what_the_profile_wants_but_the_running_vnic_has_not_is_a_drift(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm
) -> None:
    make_hookd(URI, CONFIGURATION)
    of = vnic("nat")
    with start_vm(of) as vm:
        assert hookctl_json("audit")["drifts"] == []
        assert vm.update(of, {"extnet": "openvswitch/lab-43"}) == Update()
        (drift,) = hookctl_json("audit")["drifts"]
        assert (drift["declared"], drift["actual"]) == ("openvswitch/lab-43", "nat")


def test_a_changed_portgroup_changes_the_vlan(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm, ovs_bridge: OvsBridge
) -> None:
    """libvirt 9.0 alone takes the old tag off and sets none; from 10.6 on it refuses, and the vNIC stays."""
    make_hookd(URI, CONFIGURATION)
    of = vnic("openvswitch")
    with start_vm(of) as vm:
        for value, tag in (("openvswitch/lab-43", 43), ("openvswitch", None), ("openvswitch/lab-42", 42)):
            assert vm.update(of, {"extnet": value}) == Update()
            assert place(kinds, vm, of) == f"{ovs_bridge.name} tag {tag}"
            for link in ("down", "up"):
                assert vm.update(of, link=link) == Update()
                assert place(kinds, vm, of) == f"{ovs_bridge.name} tag {tag}"


def test_a_portgroup_that_was_changed_or_taken_away_leaves_running_vnics_their_vlan(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm, libvirtd: Libvirtd
) -> None:
    make_hookd(URI, CONFIGURATION)
    of = vnic("openvswitch")
    network = libvirtd.conn.networkLookupByName("openvswitch")
    flags = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
    section = libvirt.VIR_NETWORK_SECTION_PORTGROUP
    with start_vm(of) as vm:
        group = '<portgroup name="lab-42"><vlan><tag id="99"/></vlan></portgroup>'
        network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, section, -1, group, flags)
        assert vm.update(of, link="down") == Update()
        assert place(kinds, vm, of) == kinds.home("openvswitch")
        network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, -1, group, flags)
        assert vm.update(of, link="up") == Update()
        assert place(kinds, vm, of) == kinds.home("openvswitch")


@pytest.mark.parametrize("undefined", [False, True], ids=["destroyed", "undefined"])
def test_a_network_that_is_gone_under_a_running_vnic_is_no_way_to_the_engines_bridge(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm, undefined: bool
) -> None:
    """On a bridge of its own the vNIC stays there. With a NAT network libvirt deletes the bridge: it is on none then.

    On Open vSwitch and macvtap libvirt refuses any update, and the Engine's XML as well.
    """
    make_hookd(URI, CONFIGURATION)
    vnics = {kind: vnic(kind) for kind in ("bridge", "nat", "isolated", "openvswitch", "macvtap-bridge")}
    with start_vm(*vnics.values()) as vm:
        for kind in vnics:
            kinds.networks[kind].destroy()
            if undefined:
                kinds.networks[kind].undefine()
        homes = {kind: DUMMY_BRIDGE if kind in ("nat", "isolated") else kinds.home(kind) for kind in vnics}
        for link in ("down", "up"):
            for kind, of in vnics.items():
                done = vm.update(of, link=link)
                assert place(kinds, vm, of) == homes[kind]
                assert not done.rolled_back
                assert (done.failure == "") == (kind in LINUX_BRIDGES)
        if not undefined:
            kinds.networks["nat"].start()
            assert vm.update(vnics["nat"], link="up") == Update()
            assert place(kinds, vm, vnics["nat"]) == kinds.home("nat")


@pytest.mark.parametrize("kind", ["nat", "bridge"])
def test_a_filter_that_libvirt_can_not_build_moves_nothing(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm, kind: str
) -> None:
    """It plugs the vNIC in first. The Engine's XML would fail in the same way, but on the Engine's bridge."""
    make_hookd(URI, CONFIGURATION)
    of = vnic(kind)
    with start_vm(of) as vm:
        for name in ("no-such-filter", FILTER, "no-such-filter", ""):
            for link in ("down", "up"):
                assert stays(kinds, vm, of, kind, vm.update(of, link=link, filter=name), link) == "ok"
        assert FILTER not in vm.live(of)
        assert vm.update(of, filter=FILTER) == Update()
        assert FILTER in vm.live(of)


@pytest.mark.parametrize("became", ["openvswitch", "macvtap-bridge"])
def test_a_network_that_became_one_of_another_kind_moves_nothing(
    make_hookd: MakeHookd,
    kinds: Kinds,
    start_vm: StartVm,
    start_network: StartNetwork,
    became: str,
) -> None:
    """Under its own name, while the VM runs: libvirt would refuse the vNIC by it."""
    hookd = make_hookd(URI, CONFIGURATION)
    of = vnic("bridge")
    with start_vm(of) as vm:
        kinds.networks["bridge"].destroy()
        kinds.networks["bridge"].undefine()
        uuid = re.compile("<uuid>.*</uuid>")
        xml = uuid.sub("", kinds.networks[became].xml).replace(f"<name>{became}<", "<name>bridge<")
        kinds.networks[became].destroy()
        start_network("bridge", xml)
        hookd.wait_states({"bridge": True})
        for link in ("down", "up"):
            assert stays(kinds, vm, of, "bridge", vm.update(of, link=link), link) == "ok"


def test_a_network_that_is_no_linux_bridge_after_all_gets_no_running_vnic(
    make_hookd: MakeHookd,
    kinds: Kinds,
    start_vm: StartVm,
    start_network: StartNetwork,
    ovs_bridge: OvsBridge,
) -> None:
    """An Open vSwitch bridge whose network lacks <virtualport>."""
    make_hookd(URI, CONFIGURATION)
    xml = f'<network><name>slip</name><forward mode="bridge"/><bridge name="{ovs_bridge.name}"/></network>'
    start_network("slip", xml)
    of = vnic("nat")
    with start_vm(of) as vm:
        done = vm.update(of, {"extnet": "slip"}, link="down")
        assert stays(kinds, vm, of, "nat", done, "down") == "ok"


def test_a_network_that_stopped_while_libvirtd_was_away_moves_nothing(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm, libvirtd: Libvirtd
) -> None:
    """What is known of it is old then, and the daemon has not connected again."""
    for kind in ("nat", "route", "open"):  # without dnsmasq this libvirtd does not survive its restart with them
        kinds.networks[kind].destroy()
    make_hookd(URI, CONFIGURATION).wait_states({"bridge": True})
    of = vnic("bridge")
    with start_vm(of) as vm:
        libvirtd.stop()
        Path("/run/libvirt/network/bridge.xml").unlink()
        libvirtd.start()
        for link in ("down", "up"):
            assert stays(kinds, vm, of, "bridge", vm.update(of, link=link), link) == "ok"


def test_a_mapped_vnic_and_one_without_a_filter_stay(make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm) -> None:
    """By [map], without any property; and macspoof, which answers the same update after extnet."""
    make_hookd(URI, f"{CONFIGURATION}[map]\n{ENGINE_BRIDGE} = nat\n")
    mapped = Vnic(new_mac(), filter=FILTER)
    free = vnic("bridge", filter=FILTER)
    free.custom = {**free.custom, "ifacemacspoof": "true"}
    with start_vm(mapped, free) as vm:
        for link in ("down", "up"):
            assert stays(kinds, vm, mapped, "nat", vm.update(mapped, link=link), link) == "ok"
            assert stays(kinds, vm, free, "bridge", vm.update(free, link=link), link) == "ok"
            assert (FILTER in vm.live(mapped), FILTER in vm.live(free)) == (True, False)


def test_vnics_that_macbind_and_allocate_net_have_placed_stay(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm, hooks: Path
) -> None:
    make_hookd(URI, f"{CONFIGURATION}[hooks]\nenabled = extnet macspoof macbind allocate_net\n")
    link_hook(hooks, "macbind", ("before_vm_start", "before_update_device"))
    link_hook(hooks, "allocate_net", ("before_device_create", "before_update_device"))
    bound, allocated = Vnic(new_mac()), Vnic(new_mac(), {"equivnets": "kind-bridge"})
    with start_vm(bound, allocated, macbind=f"{{'{bound.mac}': 'kind-isolated'}}") as vm:
        for of, kind in ((bound, "isolated"), (allocated, "bridge")):
            for link in ("down", "up"):
                assert stays(kinds, vm, of, kind, vm.update(of, link=link), link) == "ok"


def test_the_two_of_a_pair_with_one_mac_address_are_told_apart(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm
) -> None:
    make_hookd(URI, CONFIGURATION)
    standby = vnic("nat", teaming='<teaming type="persistent"/>')
    other = vnic("bridge")
    other.mac = standby.mac
    with start_vm(standby, other) as vm:
        for of, kind in ((standby, "nat"), (other, "bridge")):
            for link in ("down", "up"):
                assert stays(kinds, vm, of, kind, vm.update(of, link=link, filter=FILTER), link) == "ok"
        assert "<teaming" in vm.live(standby)


def test_a_libvirt_that_does_not_answer_costs_the_deadline_and_a_note(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm, hooks: Path, libvirtd: Libvirtd
) -> None:
    """The best answer without a look, which libvirt gets when it answers again."""
    hookd = make_hookd(URI, f"{CONFIGURATION}look_timeout = 1s\n")
    of = vnic("nat")
    with start_vm(of) as vm:
        libvirtd.sigstop()
        made = run_hooks(hooks, "before_update_device", of.xml(), of.custom, vm_id=vm.vm_id)
        libvirtd.sigcont()
        assert (made.failed, made.stderr) == (False, "")
        assert 0.9 < made.durations["50_extnet"] < 5
        vm.guest.update(made.xml)
        assert place(kinds, vm, of) == kinds.home("nat")
        hookd.wait_logged(
            "the running vNIC could not be looked at: libvirt at qemu:///system did not answer within 1 s"
        )


def test_explain_looks_at_the_running_vnic_as_an_update_would(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm, tmp_path: Path
) -> None:
    make_hookd(URI, CONFIGURATION)
    of = vnic("nat")
    file = tmp_path / "vnic.xml"
    file.write_text(of.xml())
    with start_vm(of) as vm:
        properties = ["--prop", f"vmId={vm.vm_id}", "--prop", "extnet=openvswitch"]
        explained = hookctl_json(
            "explain", "--event", "before_update_device", "--hook", "extnet", *properties, str(file)
        )
        assert (explained[0]["outcome"], explained[0]["code"]) == ("held", "not-live")
        assert vm.update(of, {"extnet": "openvswitch"}) == Update()
        (record,) = hookctl_json("history", "-n", "1")
        replayed = hookctl_json("replay", str(record["id"]))
        assert replayed["differs"] == []
