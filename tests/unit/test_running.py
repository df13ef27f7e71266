"""Updates of running vNICs, through the decision core: where each is afterwards, by what libvirt is told."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests import documents
from vdsm_hookd import networks, options, running
from vdsm_hookd.decision import Decision, Request, decide
from vdsm_hookd.events import UPDATE
from vdsm_hookd.hook import Call, Hook, Refusal
from vdsm_hookd.hooks import allocate_net, extnet, macbind, macspoof
from vdsm_hookd.host import Host
from vdsm_hookd.networks import Network, NetworkView
from vdsm_hookd.policy import Policy, Rule
from vdsm_hookd.running import DUMMY_BRIDGE, Look

MAC = "56:6f:1a:2b:00:04"
ALIAS = "ua-2b418ef2-91d8-4479-88b1-98461192a54e"
PORT = '<virtualport type="openvswitch"><parameters interfaceid="8b5d1af0-203b-455c-8164-a91cc0035e5e"/></virtualport>'


def vlan(tag: int) -> str:
    return f'<vlan><tag id="{tag}"/></vlan>'


class Place(NamedTuple):
    """Where a vNIC may run: its network, as defined and with its host bridge, and the live XML's part of it."""

    network: str
    bridge: str
    live: str


# As libvirt 9.0 shows them.
PLACES = {
    "isolated": Place('<bridge name="b-iso"/>', "b-iso", '<source network="isolated" portid="1" bridge="b-iso"/>'),
    "nat": Place(
        '<forward mode="nat"/><bridge name="b-nat"/>', "b-nat", '<source network="nat" portid="2" bridge="b-nat"/>'
    ),
    "bridge": Place(
        '<forward mode="bridge"/><bridge name="b-br"/>',
        "b-br",
        '<source network="bridge" portid="3" bridge="b-br"/>',
    ),
    "ovs": Place(
        '<forward mode="bridge"/><bridge name="b-ovs"/><virtualport type="openvswitch"/>'
        f'<portgroup name="lab-42">{vlan(42)}</portgroup><portgroup name="lab-43">{vlan(43)}</portgroup>',
        "b-ovs",
        f'<source network="ovs" portgroup="lab-42" portid="4" bridge="b-ovs"/>{vlan(42)}{PORT}',
    ),
    "macvtap": Place(
        '<forward mode="private"><interface dev="d-1"/></forward>',
        "",
        '<source network="macvtap" portid="5" dev="d-1" mode="private"/>',
    ),
    "passthrough": Place(
        '<forward mode="passthrough"><interface dev="d-2"/></forward>',
        "",
        '<source network="passthrough" portid="6" dev="d-2" mode="passthrough"/>',
    ),
}
TYPES = {"isolated": "network", "nat": "network", "macvtap": "direct", "passthrough": "direct"}
PLAIN = ("isolated", "nat", "bridge")


def live(name: str, more: str = "") -> str:
    """The live <interface> of a vNIC that runs in this place."""
    return (
        f'<interface type="{TYPES.get(name, "bridge")}"><mac address="{MAC}"/>{PLACES[name].live}<target dev="vnet5"/>'
        f'<model type="virtio"/><link state="up"/><mtu size="1500"/>{more}<alias name="{ALIAS}"/>'
        '<address type="pci" domain="0x0000" bus="0x06" slot="0x00" function="0x0"/></interface>'
    )


def parsed(name: str, active: bool = True) -> Network:
    xml = f"<network><name>{name}</name>{PLACES[name].network}</network>"
    return networks.parse(xml, active=active, persistent=True, autostart=True)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    bridges = [f"{PLACES[name].bridge}/bridge" for name in PLAIN]
    return host_with(tmp_path_factory.mktemp("sysfs"), *bridges, PLACES["ovs"].bridge, f"{DUMMY_BRIDGE}/bridge")


def host_with(folder: Path, *interfaces: str) -> Host:
    for name in filter(None, interfaces):
        (folder / "class/net" / name).mkdir(parents=True, exist_ok=True)
    return Host(folder, folder)


def view(*inactive: str, missing: str = "") -> NetworkView:
    """All places, but for those that are not active and the one that is gone."""
    return documents.view(*(parsed(name, name not in inactive) for name in PLACES if name != missing))


def engine(link: str = "down", kind: str = "bridge", more: str = "", mtu: int = 1500) -> bytes:
    """What vdsm asks libvirt for: the vNIC on the Engine's bridge."""
    return (
        f'<interface type="{kind}"><mac address="{MAC.upper()}"/><model type="virtio"/><source bridge="ovirtmgmt"/>'
        f'<mtu size="{mtu}"/><link state="{link}"/>{more}<alias name="{ALIAS}"/></interface>'
    ).encode()


def look(name: str, more: str = "", version: int = 9_000_000) -> Look:
    return running.find(f"<domain><devices>{live(name, more)}</devices></domain>".encode(), engine(), version)


def update(
    seen: Look | None,
    value: str,
    host: Host,
    known: NetworkView | None = None,
    xml: bytes = engine(),
    deny: str = "",
) -> Decision:
    policy = Policy([Rule(extnet.HOOK, extnet.Options(deny=options.globs(deny)), "here")])
    request = Request(UPDATE, "extnet", {"extnet": value.encode(), "vmId": documents.VM_ID.encode()}, xml, seen)
    return decide(request, policy, known or view(), host)


def place_of(xml: bytes) -> tuple[str, dict[str, str], str]:
    """Type, source and VLAN of an answer."""
    interface = etree.fromstring(xml)
    (source,) = interface.iterfind("source")
    tags = [tag.get("id", "") for tag in interface.iterfind("vlan/tag")]
    return interface.get("type", ""), {str(name): str(value) for name, value in source.items()}, " ".join(tags)


def staying(name: str) -> tuple[str, dict[str, str], str]:
    """The answer that leaves a vNIC in this place."""
    if name == "passthrough":  # by its network it would get a second device
        return "direct", {"dev": "d-2", "mode": "passthrough"}, ""
    if name == "ovs":
        return "network", {"network": "ovs", "portgroup": "lab-42"}, "42"
    return "network", {"network": name}, ""


def declared(name: str) -> str:
    return "ovs/lab-42" if name == "ovs" else name


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("kind", ["bridge", "network", "direct"])
@pytest.mark.parametrize("link", ["down", "up"])
def test_a_link_toggle_leaves_a_vnic_where_it_is(name: str, kind: str, link: str, host: Host) -> None:
    made = update(look(name), declared(name), host, xml=engine(link, kind))
    assert (made.outcome, made.notes, made.doubts) == ("rewritten", (), (name,))
    assert place_of(made.document) == staying(name)
    answer = etree.fromstring(made.document)
    assert answer.find("link").get("state") == link  # type: ignore[union-attr]
    assert (answer.find("virtualport") is not None) == (name == "ovs")


@pytest.mark.parametrize("origin", PLACES)
@pytest.mark.parametrize("target", PLACES)
def test_a_vnic_moves_between_linux_bridges_and_to_nothing_else(origin: str, target: str, host: Host) -> None:
    made = update(look(origin), declared(target), host)
    if origin == target or (origin in PLAIN and target in PLAIN):
        assert (made.outcome, place_of(made.document)) == ("rewritten", staying(target))
        return
    assert (made.outcome, made.code) == ("held", "not-live")
    assert place_of(made.document) == staying(origin)
    assert f"is to join network '{declared(target)}'" in made.message
    assert "stays on network" in made.message
    assert made.message.endswith("restart the VM, which starts it there")


@pytest.mark.parametrize("origin", PLACES)
@pytest.mark.parametrize(
    ("value", "code", "known", "deny"),
    [
        ("gone", "network-missing", view(), ""),
        ("isolated", "network-inactive", view("isolated"), ""),
        ("nat", "network-not-allowed", view(), "nat"),
        ("ovs/none", "portgroup-missing", view(), ""),
        ("", "bad-property", view(), ""),
        ("a/b/c", "bad-property", view(), ""),
        ("nat", "libvirt-unavailable", view("nat").with_outage("libvirt is gone"), ""),
    ],
)
def test_what_can_not_be_had_leaves_a_vnic_where_it_is(
    origin: str, value: str, code: str, known: NetworkView, deny: str, host: Host
) -> None:
    made = update(look(origin), value, host, known, deny=deny)
    assert (made.outcome, made.code) == ("held", code)
    if known.outage and origin in PLAIN:  # what is known of the network may be old
        assert place_of(made.document) == ("bridge", {"bridge": PLACES[origin].bridge}, "")
    elif origin == "isolated" and not known.by_name["isolated"].active:
        assert place_of(made.document) == ("bridge", {"bridge": "b-iso"}, "")
    elif origin == "nat" and not known.by_name["nat"].active:
        assert place_of(made.document) == ("bridge", {"bridge": "b-nat"}, "")
    else:
        assert place_of(made.document) == staying(origin)
    assert "the running vNIC stays on network" in made.message
    assert "restart the VM" in made.message
    assert made.message.isprintable()


@pytest.mark.parametrize("name", [*PLAIN, "ovs", "macvtap"])
def test_where_its_network_is_gone_a_vnic_stays_on_its_bridge_or_device(name: str, host: Host) -> None:
    for known in (view(name), view(missing=name)):
        made = update(look(name), declared(name), host, known)
        assert made.outcome == "held"
        kind, source, tags = place_of(made.document)
        if name == "macvtap":
            assert (kind, source) == ("direct", {"dev": "d-1", "mode": "private"})
        else:
            assert (kind, source) == ("bridge", {"bridge": PLACES[name].bridge})
            assert tags == ("42" if name == "ovs" else "")


def test_where_its_bridge_is_gone_too_it_stays_on_no_network(tmp_path: Path) -> None:
    """libvirt deletes the bridge of a NAT network with the network, and the Engine's would take the vNIC."""
    with_dummy = host_with(tmp_path / "with", DUMMY_BRIDGE)
    made = update(look("nat"), "nat", with_dummy, view("nat"))
    assert (made.outcome, place_of(made.document)) == ("held", ("bridge", {"bridge": DUMMY_BRIDGE}, ""))
    assert "is on no network" in made.notes[0]


def test_a_network_whose_bridge_is_gone_gets_no_vnic(tmp_path: Path) -> None:
    """libvirt goes on to call it active; told to, it would refuse, and vdsm send the Engine's bridge."""
    made = update(look("nat"), "isolated", host_with(tmp_path, "b-nat"))
    assert (made.code, place_of(made.document)) == ("not-live", staying("nat"))
    assert "has no bridge 'b-iso'" in made.message


def test_a_portgroup_changes_with_its_vlan_until_libvirt_refuses_that(host: Host) -> None:
    made = update(look("ovs", version=10_005_000), "ovs/lab-43", host)
    assert (made.outcome, place_of(made.document)) == (
        "rewritten",
        ("network", {"network": "ovs", "portgroup": "lab-43"}, "43"),
    )
    made = update(look("ovs", version=10_005_000), "ovs", host)
    assert place_of(made.document) == ("network", {"network": "ovs"}, "")
    made = update(look("ovs", version=10_006_000), "ovs/lab-43", host)
    assert (made.code, place_of(made.document)) == ("not-live", staying("ovs"))


def test_what_libvirt_can_not_change_stays_and_what_it_can_is_changed(host: Host) -> None:
    more = '<driver name="vhost" queues="4"/><boot order="2"/><filterref filter="new"/><port isolated="yes"/>'
    teaming = '<teaming type="persistent"/><driver name="vhost" queues="2"/>'
    made = update(
        look("nat", teaming)._replace(filters=frozenset({"new"})), "nat", host, xml=engine(more=more, mtu=9000)
    )
    answer = etree.fromstring(made.document)
    assert answer.find("mtu").get("size") == "1500"  # type: ignore[union-attr]
    assert answer.find("driver").get("queues") == "2"  # type: ignore[union-attr]
    assert answer.find("address").get("bus") == "0x06"  # type: ignore[union-attr]
    assert [answer.find(tag) is None for tag in ("boot", "teaming", "filterref", "port")] == [True, False, False, False]
    assert [note.split()[0] for note in made.notes] == ["<driver>", "<mtu>", "<boot>"]


@pytest.mark.parametrize("name", ["ovs", "macvtap"])
def test_a_filter_that_libvirt_refuses_there_is_left_out_unless_it_runs_with_it(name: str, host: Host) -> None:
    more = '<filterref filter="vdsm-no-mac-spoofing"/><port isolated="yes"/>'
    made = update(look(name), declared(name), host, xml=engine(more=more))
    assert (b"filterref" in made.document, b"<port" in made.document) == (False, False)
    assert len(made.notes) == 2
    kept = update(look(name, more), declared(name), host, xml=engine(more=more))
    assert (b"filterref" in kept.document, kept.notes) == (True, ())


@pytest.mark.parametrize(
    ("live_filter", "wanted", "after"),
    [
        ("", '<filterref filter="sure"/>', "sure"),
        ("", '<filterref filter="missing"/>', ""),
        ("", '<filterref filter="sure"><parameter name="IP" value="nonsense"/></filterref>', ""),
        ('<filterref filter="old"/>', '<filterref filter="sure"/>', "sure"),
        ('<filterref filter="old"/>', '<filterref filter="missing"/>', "old"),
        ('<filterref filter="old"/>', '<filterref filter="old"/>', "old"),
        ('<filterref filter="old"/>', "", ""),
        (
            '<filterref filter="old"><parameter name="IP" value="1.2.3.4"/></filterref>',
            '<filterref filter="old"><parameter name="IP" value="1.2.3.5"/></filterref>',
            "old 1.2.3.4",
        ),
    ],
)
@pytest.mark.parametrize("target", ["nat", "isolated"])
def test_a_filter_that_libvirt_may_not_build_stays_as_it_was(
    live_filter: str, wanted: str, after: str, target: str, host: Host
) -> None:
    """libvirt plugs the vNIC in first: where the filter then fails, the rollback leaves it on the Engine's bridge."""
    seen = look("nat", live_filter)._replace(filters=frozenset({"sure"}))
    made = update(seen, target, host, xml=engine(more=wanted))
    assert place_of(made.document) == staying(target)
    found = etree.fromstring(made.document).find("filterref")
    says = "" if found is None else " ".join([found.get("filter", ""), *(each.get("value", "") for each in found)])
    assert says == after
    asked = etree.fromstring(engine(more=wanted)).find("filterref")
    changed = asked is not None and (asked.get("filter") != after.split(" ")[0] or "1.2.3.4" in after)
    assert bool(made.notes) == changed


@pytest.mark.parametrize("name", ["nat", "bridge", "ovs", "macvtap"])
def test_a_network_that_became_another_one_takes_no_vnic_along(name: str, host: Host) -> None:
    """Defined anew under its name while the vNIC runs: by that name libvirt would refuse it, or plug it elsewhere."""
    others = {
        "ovs": PLACES["ovs"].network.replace("b-ovs", "b-new"),
        "macvtap": PLACES["macvtap"].network.replace("d-1", "d-9"),
        "bridge": '<forward mode="bridge"/><bridge name="b-ovs"/>',
    }
    for inner in others.values():
        xml = f"<network><name>{name}</name>{inner}</network>"
        new = networks.parse(xml, active=True, persistent=True, autostart=True)
        made = update(look(name), declared(name), host, documents.view(new))
        kind, source, _tags = place_of(made.document)
        assert made.outcome == "held"
        if name == "macvtap":
            assert (kind, source) == ("direct", {"dev": "d-1", "mode": "private"})
        elif (name, inner) == ("ovs", others["bridge"]):
            assert kind == "bridge"
        else:
            assert (kind, source) == ("bridge", {"bridge": PLACES[name].bridge})


def test_macvtap_vnics_that_share_devices_are_named_by_their_own(host: Host) -> None:
    """By their network they would get another device of it."""
    xml = (
        '<network><name>macvtap</name><forward mode="private"><interface dev="d-0"/><interface dev="d-1"/></forward>'
        "</network>"
    )
    pool = networks.parse(xml, active=True, persistent=True, autostart=True)
    made = update(look("macvtap"), "macvtap", host, documents.view(pool))
    assert (made.outcome, place_of(made.document)) == ("rewritten", ("direct", {"dev": "d-1", "mode": "private"}, ""))
    assert networks.MTU in pool.kind().unfit


def test_what_libvirt_was_never_asked_about_is_named_so_that_it_may_be_true(host: Host) -> None:
    never = NetworkView(outage="libvirt has not been reached yet")
    made = update(look("nat"), "nat", host, never)
    assert place_of(made.document) == ("bridge", {"bridge": "b-nat"}, "")
    assert place_of(update(look("ovs"), "ovs/lab-42", host, never).document) == staying("ovs")
    assert place_of(update(look("macvtap"), "macvtap", host, never).document) == staying("macvtap")


def test_a_portgroup_on_a_linux_bridge_is_said_not_to_change(host: Host) -> None:
    """libvirt accepts another one, and keeps the old."""
    inner = PLACES["bridge"].network + '<portgroup name="a"/><portgroup name="b"/>'
    xml = f"<network><name>bridge</name>{inner}</network>"
    known = documents.view(networks.parse(xml, active=True, persistent=True, autostart=True))
    on_a = look("bridge")._replace(
        xml=look("bridge").xml.replace(b'network="bridge"', b'network="bridge" portgroup="a"')
    )
    assert update(on_a, "bridge/a", host, known).outcome == "rewritten"
    made = update(on_a, "bridge/b", host, known)
    assert (made.outcome, made.code) == ("held", "not-live")
    assert place_of(made.document)[1] == {"network": "bridge", "portgroup": "a"}


@pytest.mark.parametrize("has", ["", "yes", "no"])
@pytest.mark.parametrize("wants", ["", "yes", "no"])
def test_where_no_port_can_be_isolated_its_element_stays_as_it_is(has: str, wants: str, host: Host) -> None:
    """libvirt takes none for another one than isolated="no", and fails."""
    ports = [f'<port isolated="{word}"/>' if word else "" for word in (has, wants)]
    made = update(look("ovs", ports[0]), "ovs/lab-42", host, xml=engine(more=ports[1]))
    port = etree.fromstring(made.document).find("port")
    assert (port.get("isolated") if port is not None else "") == has
    assert bool(made.notes) == (wants == "yes" and has != "yes")


@pytest.mark.parametrize("name", PLACES)
def test_whatever_else_refuses_leaves_the_vnic_where_it_is(name: str, host: Host) -> None:
    """Another rule of the same hook, a bug in one, and a hook that is not enabled any more."""

    def refuse(call: Call) -> bool:
        call.document.clear()
        raise Refusal("no-match", "nothing matched", "correct the rule")

    def fail(call: Call) -> bool:
        call.document.clear()
        raise ZeroDivisionError

    rules = [Rule(extnet.HOOK, extnet.Options(), "here")]
    environment = {"extnet": declared(name).encode()}
    for also in (refuse, fail, None):
        hook = Hook("extnet", ("extnet",), {UPDATE: also}) if also else None
        policy = Policy([*rules, Rule(hook, None, "there")] if hook else [])
        made = decide(Request(UPDATE, "extnet", environment, engine(), look(name)), policy, view(), host)
        assert (made.outcome, place_of(made.document)) == ("held", staying(name))
        assert made.code in ("no-match", "internal", "unknown-hook")
        assert (made.error is None) == (also is not fail)


def test_macspoof_never_makes_an_update_fail(host: Host) -> None:
    policy = Policy([Rule(macspoof.HOOK, macspoof.Options(), "here")])
    filtered = engine(more='<filterref filter="vdsm-no-mac-spoofing"/>')
    for value, removed in ((b"true", True), (b"\xff", False), (b"", False), (b"9" * 5000, False)):
        made = decide(Request(UPDATE, "macspoof", {"ifacemacspoof": value}, filtered), policy, view(), host)
        assert made.outcome == ("rewritten" if removed else "unchanged")
    two = b"<devices>" + filtered + filtered + b"</devices>"
    assert decide(Request(UPDATE, "macspoof", {"ifacemacspoof": b"1"}, two), policy, view(), host).outcome != "refused"


@pytest.mark.parametrize(
    ("hook", "name", "value", "outcome", "bridge"),
    [
        (macbind.HOOK, "macbind", f"{{'{MAC}': 'b-iso'}}", "rewritten", "b-iso"),
        (macbind.HOOK, "macbind", f"{{'{MAC.upper()}': 'b-br'}}", "rewritten", "b-br"),
        (macbind.HOOK, "macbind", "{'00:00:00:00:00:01': 'b-br'}", "unchanged", ""),
        (macbind.HOOK, "macbind", f"{{'{MAC}': 'gone'}}", "held", "b-iso"),
        (macbind.HOOK, "macbind", "no literal", "held", "b-iso"),
        (allocate_net.HOOK, "equivnets", "b-br b-iso b-nat", "rewritten", "b-iso"),
        (allocate_net.HOOK, "equivnets", "b-br", "rewritten", "b-br"),
        (allocate_net.HOOK, "equivnets", "gone", "held", "b-iso"),
        (allocate_net.HOOK, "equivnets", " ", "held", "b-iso"),
    ],
)
def test_other_hooks_that_choose_a_bridge_keep_a_running_vnic_on_it(
    hook: Hook, name: str, value: str, outcome: str, bridge: str, tmp_path: Path
) -> None:
    own = host_with(tmp_path, "b-iso/bridge", "b-br/bridge", "b-nat/bridge")
    policy = Policy([Rule(hook, None, "here")])
    on = f'<interface type="bridge"><mac address="{MAC}"/><source bridge="b-iso"/><alias name="{ALIAS}"/></interface>'
    seen = running.find(f"<domain><devices>{on}</devices></domain>".encode(), engine(), 9_000_000)
    made = decide(Request(UPDATE, hook.name, {name: value.encode()}, engine(), seen), policy, view(), own)
    assert made.outcome == outcome
    if bridge:
        assert place_of(made.document) == ("bridge", {"bridge": bridge}, "")
    on_ovs = decide(Request(UPDATE, hook.name, {name: value.encode()}, engine(), look("ovs")), policy, view(), own)
    assert on_ovs.outcome in ("held", "unchanged")
    unseen = Request(UPDATE, hook.name, {name: value.encode()}, engine(), Look(failure="away"))
    assert decide(unseen, policy, view(), own).outcome == {"held": "refused"}.get(outcome, outcome) or "gone" in value


def test_the_two_of_a_failover_pair_are_told_apart_by_their_alias() -> None:
    standby, other = live("nat"), live("bridge").replace(ALIAS, "ua-other")
    domain = f"<domain><devices>{other}{standby}</devices></domain>".encode()
    assert running.Running(running.find(domain, engine(), 1)).network == "nat"
    nameless = engine().replace(f'<alias name="{ALIAS}"/>'.encode(), b"")
    assert "has 2 vNICs with MAC address" in running.find(domain, nameless, 1).failure
    assert (
        "has 0 vNICs" in running.find(domain, engine().replace(MAC.upper().encode(), b"00:00:00:00:00:01"), 1).failure
    )
    assert "can't be used" in running.find(b"<domain>", engine(), 1).failure


def test_without_a_look_one_is_asked_for_and_without_an_answer_the_best_is_given(host: Host) -> None:
    assert update(None, "nat", host).blind
    assert update(None, "", host).blind
    unseen = Look(failure="libvirt does not answer")
    made = update(unseen, "nat", host)
    assert (made.outcome, made.blind, place_of(made.document)) == (
        "rewritten",
        False,
        ("network", {"network": "nat"}, ""),
    )
    assert made.notes == ("the running vNIC could not be looked at: libvirt does not answer",)
    refused = update(unseen, "", host)
    assert (refused.outcome, refused.code) == ("refused", "bad-property")
    assert "libvirt does not answer" in refused.message


VALUES = st.sampled_from([*map(declared, PLACES), "ovs", "ovs/lab-43", "gone", "ovs/none", "", " ", "/", "a/b/c"])
MORE = st.sampled_from(
    ["", '<filterref filter="f"/>', '<port isolated="yes"/>', "<bandwidth/>", "<junk><source/></junk>"]
)


@given(
    st.sampled_from(list(PLACES)),
    st.one_of(VALUES, st.text(max_size=20).filter(lambda text: "\0" not in text and text.isprintable())),
    st.lists(st.sampled_from(list(PLACES)), max_size=3),
    st.sampled_from(["", "nat", "b*", "*"]),
    MORE,
    MORE,
    st.sampled_from([9_000_000, 10_006_000]),
)
def test_no_update_is_refused_and_none_goes_elsewhere_than_both_want(
    origin: str, value: str, inactive: list[str], deny: str, engines: str, own: str, version: int
) -> None:
    """The rule: where it was; or where the profile says, if root's policy lets it, libvirt has it, and can do it."""
    everywhere = _Everywhere()
    made = update(look(origin, own, version), value, everywhere, view(*inactive), xml=engine(more=engines), deny=deny)
    assert made.outcome in ("rewritten", "held")
    kind, source, tags = place_of(made.document)
    name = source.get("network", "")
    if made.outcome == "held" or value.strip(" \t") == declared(origin):
        by_hand = {"bridge": PLACES[origin].bridge} if PLACES[origin].bridge else {"dev": "d-1", "mode": "private"}
        assert (kind, source, tags) == staying(origin) or (origin in inactive and source == by_hand)
    else:
        assert name == value.strip(" \t").partition("/")[0]
        assert name not in inactive
        assert not options.globs(deny).match(name)
        assert (origin in PLAIN and name in PLAIN) or (origin == name == "ovs" and version < 10_006_000)
    assert "ovirtmgmt" not in source.values()


class _Everywhere(Host):
    def bridge_kind(self, name: str) -> str:
        return "bridge"

    def has_interface(self, name: str) -> bool:
        return True
