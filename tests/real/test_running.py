"""vNICs on every kind of network, with real guests and vdsm's own order of events: where each is, and stays."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Callable

import libvirt
import pytest
from lxml import etree

from tests.real.hookd import hookctl_json, link_hook
from tests.real.kinds import KINDS, LINUX_BRIDGES, NOT_HERE, Kinds
from tests.real.libvirtd import Libvirtd, Network
from tests.real.makers import MakeBridge, MakeGuest, MakeHookd
from tests.real.ovs import OvsBridge
from tests.real.vdsm import ENGINE_BRIDGE, Update, Vm, Vnic
from tests.vdsm import run_hooks

URI = "network:///system"
CONFIGURATION = "[libvirt]\nask_timeout = 5s\n"
FILTER = "vdsm-no-mac-spoofing"
DUMMY_BRIDGE = ";vdsmdummy;"
_macs = (f"56:6f:1a:2b:{number >> 8:02x}:{number & 255:02x}" for number in itertools.count(256))

# What the Engine may write into a vNIC; each on each kind of network.
CONTENTS: dict[str, dict[str, object]] = {
    "plain": {},
    "filterref": {"filter": FILTER},
    "isolated": {"isolated": True},
    "both": {"filter": FILTER, "isolated": True},
    "mtu": {"mtu": 9000},
    "queues": {"content": '<driver name="vhost" queues="2"/>'},
    "bandwidth": {"content": '<bandwidth><inbound average="1000"/><outbound average="1000"/></bandwidth>'},
    "boot order": {"content": '<boot order="{number}"/>'},
    "link down": {"link": "down"},
}


@pytest.fixture
def kinds(libvirtd: Libvirtd, ovs_bridge: OvsBridge, cleanup: ExitStack, make_bridge: MakeBridge) -> Kinds:
    make_bridge(ENGINE_BRIDGE)
    make_bridge(DUMMY_BRIDGE)
    return Kinds(libvirtd, ovs_bridge, cleanup)


@pytest.fixture
def hooks(hooks_dir: Path) -> Path:
    """extnet and macspoof, linked as their packages do."""
    link_hook(hooks_dir)
    events = ("before_vm_start", "before_device_create", "before_nic_hotplug", "before_update_device")
    return link_hook(hooks_dir, "macspoof", events)


def vnic(kind: str, number: int = 1, **content: object) -> Vnic:
    """One for this kind of network."""
    return Vnic(next(_macs), {"extnet": Kinds.value(kind)}, **_numbered(content, number))


def _numbered(content: Mapping[str, object], number: int) -> dict[str, Any]:
    return {key: value.format(number=number) if isinstance(value, str) else value for key, value in content.items()}


def place(kinds: Kinds, vm: Vm, of: Vnic) -> str:
    target = etree.fromstring(vm.live(of)).find("target")
    assert target is not None
    return kinds.place(str(target.get("dev")))


def link_of(vm: Vm, of: Vnic) -> str:
    link = etree.fromstring(vm.live(of)).find("link")
    return "up" if link is None else str(link.get("state"))


def table(title: str, columns: Iterable[str], rows: Mapping[str, Iterable[str]]) -> str:
    lines = [("", *columns), *((name, *cells) for name, cells in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join([f"\n{title}", *("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)])


def tried(action: Callable[[], str], home: str) -> str:
    """`ok` where a vNIC ends up at home; else where it is, or what libvirt says."""
    try:
        found = action()
    except libvirt.libvirtError as error:
        return str(error)
    return "ok" if found == home else f"is on {found}"


@pytest.mark.timeout(300)
def test_every_content_starts_and_is_plugged_on_every_kind(
    make_hookd: MakeHookd, kinds: Kinds, hooks: Path, make_guest: MakeGuest, capsys: pytest.CaptureFixture[str]
) -> None:
    """What this kernel can't do on the Engine's own bridge either is not run, and the table says so."""
    make_hookd(URI, CONFIGURATION)
    rows: dict[str, list[str]] = {kind: [] for kind in KINDS}
    remarks = []

    def started(*of: Vnic) -> dict[str, str]:
        with Vm(hooks, make_guest, *of) as vm:
            return {each.mac: place(kinds, vm, each) for each in of}

    def start(of: Vnic) -> str:
        return started(of)[of.mac]

    def all_started(*of: Vnic) -> str:
        return str(started(*of))

    def plug(into: Vm, of: Vnic) -> str:
        into.plug(of)
        return place(kinds, into, of)

    for name, content in CONTENTS.items():
        engines = [Vnic(next(_macs), **_numbered(content, 11)) for _ in range(2)]
        vnics = {kind: vnic(kind, number, **content) for number, kind in enumerate(KINDS, start=1)}
        unable = {_words(tried(partial(start, engines[0]), ENGINE_BRIDGE))}
        homes = {of.mac: kinds.home(kind) for kind, of in vnics.items()}
        together = tried(partial(all_started, *vnics.values()), str(homes))
        cells = {
            # Alone, where they do not start together: to see which does not.
            kind: [together if together == "ok" else tried(partial(start, of), kinds.home(kind))]
            for kind, of in vnics.items()
        }
        # With a boot order at the start, or none could be plugged.
        with Vm(hooks, make_guest, Vnic(next(_macs), content='<boot order="12"/>')) as host:
            unable.add(_words(tried(partial(plug, host, engines[1]), ENGINE_BRIDGE)))
            for number, kind in enumerate(KINDS, start=1):
                of = vnic(kind, number, **content)
                cells[kind].append(tried(partial(plug, host, of), kinds.home(kind)))
        remarks += [f"-: {name} on the Engine's bridge, too: {why}" for why in unable if why != "ok"]
        for kind in KINDS:
            rows[kind].append("/".join("-" if _words(cell) in unable - {"ok"} else cell for cell in cells[kind]))
    shown = {**rows, **{kind: [why] + [""] * (len(CONTENTS) - 1) for kind, why in NOT_HERE.items()}}
    with capsys.disabled():
        print(table("started/plugged, each with a real guest (-: not run)", CONTENTS, shown), *remarks, sep="\n")
    for kind, row in rows.items():
        for name, cell in zip(CONTENTS, row):
            allowed = {"ok/ok", "ok/-", "-/ok", "-/-"} if name == "bandwidth" else {"ok/ok"}
            assert cell in allowed, (kind, name)


def _words(cell: str) -> str:
    """What went wrong, whichever device it was."""
    return " ".join(re.sub(r"\w*\d\w*", "N", cell).split())


def stays(kinds: Kinds, vm: Vm, of: Vnic, kind: str, done: Update, link: str) -> str:
    """`ok` where an update was taken, the link is as it says, and the vNIC where it was."""
    found = (done.failure, link_of(vm, of), place(kinds, vm, of))
    return "ok" if found == ("", link, kinds.home(kind)) else " ".join(map(str, found))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stock", [False, True], ids=["by us", "by the stock hook"])
def test_link_toggles_move_no_vnic(
    make_hookd: MakeHookd,
    kinds: Kinds,
    hooks: Path,
    make_guest: MakeGuest,
    capsys: pytest.CaptureFixture[str],
    stock: bool,
) -> None:
    """Before and after a restart of vdsm, and with a filter and port isolation in the Engine's XML.

    The stock hook starts no vNIC on Open vSwitch or macvtap with a filter. One that it started on passthrough with an
    MTU libvirt lets nobody change, so there it has none.
    """
    make_hookd(URI, CONFIGURATION)
    fits: dict[str, dict[str, Any]] = {kind: {"filter": FILTER, "isolated": True} for kind in KINDS}
    if stock:
        fits.update({kind: {} for kind in KINDS if kind not in LINUX_BRIDGES})
        fits["macvtap-passthrough"] = {"mtu": None}
    vnics = {kind: vnic(kind, **fits[kind]) for kind in KINDS}
    rows: dict[str, list[str]] = {kind: [] for kind in KINDS}
    with Vm(hooks, make_guest, *vnics.values(), stock=stock) as vm:
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
    hooks: Path,
    make_guest: MakeGuest,
    libvirtd: Libvirtd,
    cleanup: ExitStack,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each kind to each other, and to what can't be had. Every second update has another MTU, filter and link, too."""
    hookd = make_hookd(URI, f"{CONFIGURATION}[extnet]\ndeny = forbidden\n")
    for name in ("asleep", "forbidden"):
        xml = f'<network><name>{name}</name><forward mode="bridge"/><bridge name="kind-bridge"/></network>'
        network = cleanup.enter_context(Network(libvirtd, name, xml))
        if name == "asleep":
            network.destroy()
    hookd.wait_states({"asleep": False, "forbidden": True})
    vnics = {kind: vnic(kind) for kind in KINDS}
    targets = {**{Kinds.value(kind): kind for kind in KINDS}, **dict.fromkeys(WANTS, "")}
    rows: dict[str, list[str]] = {kind: [] for kind in KINDS}
    with Vm(hooks, make_guest, *vnics.values()) as vm:
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
    make_hookd: MakeHookd, kinds: Kinds, hooks: Path, make_guest: MakeGuest
) -> None:
    make_hookd(URI, CONFIGURATION)
    of = vnic("nat")
    with Vm(hooks, make_guest, of) as vm:
        assert hookctl_json("audit")["drifts"] == []
        assert vm.update(of, {"extnet": "openvswitch/lab-43"}) == Update()
        (drift,) = hookctl_json("audit")["drifts"]
        assert (drift["declared"], drift["actual"]) == ("openvswitch/lab-43", "nat")


def test_a_changed_portgroup_changes_the_vlan(
    make_hookd: MakeHookd, kinds: Kinds, hooks: Path, make_guest: MakeGuest, ovs_bridge: OvsBridge
) -> None:
    """libvirt 9.0 alone takes the old tag off and sets none; from 10.6 on it refuses, and the vNIC stays."""
    make_hookd(URI, CONFIGURATION)
    of = vnic("openvswitch")
    with Vm(hooks, make_guest, of) as vm:
        for value, tag in (("openvswitch/lab-43", 43), ("openvswitch", None), ("openvswitch/lab-42", 42)):
            assert vm.update(of, {"extnet": value}) == Update()
            assert place(kinds, vm, of) == f"{ovs_bridge.name} tag {tag}"
            for link in ("down", "up"):
                assert vm.update(of, link=link) == Update()
                assert place(kinds, vm, of) == f"{ovs_bridge.name} tag {tag}"


def test_a_portgroup_that_was_changed_or_taken_away_leaves_running_vnics_their_vlan(
    make_hookd: MakeHookd, kinds: Kinds, hooks: Path, make_guest: MakeGuest, libvirtd: Libvirtd
) -> None:
    make_hookd(URI, CONFIGURATION)
    of = vnic("openvswitch")
    network = libvirtd.conn.networkLookupByName("openvswitch")
    flags = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
    section = libvirt.VIR_NETWORK_SECTION_PORTGROUP
    with Vm(hooks, make_guest, of) as vm:
        group = '<portgroup name="lab-42"><vlan><tag id="99"/></vlan></portgroup>'
        network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, section, -1, group, flags)
        assert vm.update(of, link="down") == Update()
        assert place(kinds, vm, of) == kinds.home("openvswitch")
        network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, -1, group, flags)
        assert vm.update(of, link="up") == Update()
        assert place(kinds, vm, of) == kinds.home("openvswitch")


@pytest.mark.parametrize("undefined", [False, True], ids=["destroyed", "undefined"])
def test_a_network_that_is_gone_under_a_running_vnic_is_no_way_to_the_engines_bridge(
    make_hookd: MakeHookd, kinds: Kinds, hooks: Path, make_guest: MakeGuest, undefined: bool
) -> None:
    """On a bridge of its own the vNIC stays there. With a NAT network libvirt deletes the bridge: it is on none then.

    On Open vSwitch and macvtap libvirt refuses any update, and the Engine's XML as well.
    """
    make_hookd(URI, CONFIGURATION)
    vnics = {kind: vnic(kind) for kind in ("bridge", "nat", "isolated", "openvswitch", "macvtap-bridge")}
    with Vm(hooks, make_guest, *vnics.values()) as vm:
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


def test_a_mapped_vnic_and_one_without_a_filter_stay(
    make_hookd: MakeHookd, kinds: Kinds, hooks: Path, make_guest: MakeGuest
) -> None:
    """By [map], without any property; and macspoof, which answers the same update after extnet."""
    make_hookd(URI, f"{CONFIGURATION}[map]\n{ENGINE_BRIDGE} = nat\n")
    mapped = Vnic(next(_macs), filter=FILTER)
    free = vnic("bridge", filter=FILTER)
    free.custom = {**free.custom, "ifacemacspoof": "true"}
    with Vm(hooks, make_guest, mapped, free) as vm:
        for link in ("down", "up"):
            assert stays(kinds, vm, mapped, "nat", vm.update(mapped, link=link), link) == "ok"
            assert stays(kinds, vm, free, "bridge", vm.update(free, link=link), link) == "ok"
            assert (FILTER in vm.live(mapped), FILTER in vm.live(free)) == (True, False)


def test_vnics_that_macbind_and_allocate_net_have_placed_stay(
    make_hookd: MakeHookd, kinds: Kinds, hooks: Path, make_guest: MakeGuest
) -> None:
    make_hookd(URI, f"{CONFIGURATION}[hooks]\nenabled = extnet macspoof macbind allocate_net\n")
    link_hook(hooks, "macbind", ("before_vm_start", "before_update_device"))
    link_hook(hooks, "allocate_net", ("before_device_create", "before_update_device"))
    bound, allocated = Vnic(next(_macs)), Vnic(next(_macs), {"equivnets": "kind-bridge"})
    with Vm(hooks, make_guest, bound, allocated, macbind=f"{{'{bound.mac}': 'kind-isolated'}}") as vm:
        for of, kind in ((bound, "isolated"), (allocated, "bridge")):
            for link in ("down", "up"):
                assert stays(kinds, vm, of, kind, vm.update(of, link=link), link) == "ok"


def test_the_two_of_a_pair_with_one_mac_address_are_told_apart(
    make_hookd: MakeHookd, kinds: Kinds, hooks: Path, make_guest: MakeGuest
) -> None:
    make_hookd(URI, CONFIGURATION)
    standby = vnic("nat", teaming='<teaming type="persistent"/>')
    other = vnic("bridge")
    other.mac = standby.mac
    with Vm(hooks, make_guest, standby, other) as vm:
        for of, kind in ((standby, "nat"), (other, "bridge")):
            for link in ("down", "up"):
                assert stays(kinds, vm, of, kind, vm.update(of, link=link, filter=FILTER), link) == "ok"
        assert "<teaming" in vm.live(standby)


def test_a_libvirt_that_does_not_answer_costs_the_deadline_and_a_note(
    make_hookd: MakeHookd, kinds: Kinds, hooks: Path, make_guest: MakeGuest, libvirtd: Libvirtd
) -> None:
    """The best answer without a look, which libvirt gets when it answers again."""
    hookd = make_hookd(URI, f"{CONFIGURATION}look_timeout = 1s\n")
    of = vnic("nat")
    with Vm(hooks, make_guest, of) as vm:
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
    make_hookd: MakeHookd, kinds: Kinds, hooks: Path, make_guest: MakeGuest, tmp_path: Path
) -> None:
    make_hookd(URI, CONFIGURATION)
    of = vnic("nat")
    file = tmp_path / "vnic.xml"
    file.write_text(of.xml())
    with Vm(hooks, make_guest, of) as vm:
        properties = ["--prop", f"vmId={vm.vm_id}", "--prop", "extnet=openvswitch"]
        explained = hookctl_json(
            "explain", "--event", "before_update_device", "--hook", "extnet", *properties, str(file)
        )
        assert (explained[0]["outcome"], explained[0]["code"]) == ("held", "not-live")
        assert vm.update(of, {"extnet": "openvswitch"}) == Update()
        (record,) = hookctl_json("history", "-n", "1")
        replayed = hookctl_json("replay", str(record["id"]))
        assert replayed["differs"] == []
