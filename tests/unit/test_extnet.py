"""extnet, through the decision core: what comes out for which vNIC, property and network."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from tests import documents
from vdsm_hookd import networks, options
from vdsm_hookd.decision import Decision, Request, decide
from vdsm_hookd.hooks import extnet
from vdsm_hookd.networks import NetworkView
from vdsm_hookd.policy import Policy, Rule
from vdsm_hookd.running import Look

UNSEEN = Look(failure="libvirt is away")
CREATE, PLUG, UPDATE, MIGRATE = (
    "before_device_create",
    "before_nic_hotplug",
    "before_update_device",
    "before_device_migrate_destination",
)
ALL = documents.view(*(documents.network(name) for name in ("glitter", "ovs-net", "wifi-nat")))
PLAIN = b'<interface type="bridge"><mac address="52:54:00:59:F5:3F"/><source bridge="rhevm"/></interface>'
FILTERED = (
    b'<interface type="bridge"><source bridge="rhevm"/><filterref filter="vdsm-no-mac-spoofing"/>'
    b'<port isolated="yes"/></interface>'
)


def extend(
    value: bytes, xml: bytes = PLAIN, event: str = CREATE, networks: NetworkView = ALL, **configured: Any
) -> Decision:
    """What comes of it; at before_update_device where nobody could look at the running vNIC."""
    policy = Policy([Rule(extnet.HOOK, extnet.Options(**configured), "here")])
    look = UNSEEN if event == UPDATE else None
    environment = {"extnet": value, "vmId": documents.VM_ID.encode()}
    return decide(Request(event, "extnet", environment, xml, look), policy, networks)


def canonical(xml: bytes) -> bytes:
    result: bytes = etree.tostring(etree.fromstring(xml), method="c14n")
    return result


@pytest.mark.parametrize("event", [CREATE, PLUG, UPDATE])
@pytest.mark.parametrize("sample", ["interface.xml", "interface-update.xml"])
def test_the_sample_vnics_join_the_network_and_keep_all_else(event: str, sample: str) -> None:
    xml = documents.read(sample)
    made = extend(b"glitter", xml, event)
    expected = etree.fromstring(xml)
    expected.set("type", "network")
    source = expected.find("source")
    assert source is not None
    del source.attrib["bridge"]
    source.set("network", "glitter")
    assert made.outcome == "rewritten"
    assert canonical(made.document) == etree.tostring(expected, method="c14n")
    unseen = "the running vNIC could not be looked at: libvirt is away"
    assert made.notes == ((unseen,) if event == UPDATE else ())


@pytest.mark.parametrize(
    ("source", "value", "expected"),
    [
        (b'<source bridge="rhevm"/>', b"glitter", {"network": "glitter"}),
        (b'<source network="default"/>', b"glitter", {"network": "glitter"}),
        (b'<source network="glitter" portid="1" bridge="br"/>', b"glitter", {"network": "glitter"}),
        (b'<source bridge="rhevm"/>', b"  glitter\t", {"network": "glitter"}),
        (b'<source bridge="rhevm"/>', b"ovs-net/lab-42", {"network": "ovs-net", "portgroup": "lab-42"}),
        (b'<source network="ovs-net" portgroup="lab-42"/>', b"wifi-nat", {"network": "wifi-nat"}),
        (b'<source bridge="rhevm" dev="x" mode="y"/>', b"glitter", {"network": "glitter", "dev": "x", "mode": "y"}),
    ],
)
def test_the_source_becomes_what_the_property_names(source: bytes, value: bytes, expected: dict[str, str]) -> None:
    made = extend(value, b'<interface type="bridge">' + source + b"</interface>")
    rewritten = etree.fromstring(made.document)
    assert rewritten.get("type") == "network"
    assert dict(rewritten.find("source").attrib) == expected  # type: ignore[union-attr]


def test_a_vnic_that_is_there_already_is_left_alone() -> None:
    made = extend(b"glitter", b'<interface type="network"><source network="glitter"/></interface>')
    assert (made.outcome, made.document) == ("unchanged", b"")


@pytest.mark.parametrize("kind", ["hostdev", "ethernet", "vhostuser", "direct", "user", "vdpa", ""])
@pytest.mark.parametrize("event", [CREATE, PLUG, UPDATE])
def test_other_kinds_of_interface_are_refused(kind: str, event: str) -> None:
    made = extend(b"glitter", f'<interface type="{kind}"><source/></interface>'.encode(), event)
    if (kind, event) == ("direct", UPDATE):  # what vdsm calls a running vNIC on macvtap after its restart
        assert made.outcome == "rewritten"
        return
    assert (made.outcome, made.code) == ("refused", "unsupported-interface")


def test_the_sample_passthrough_vnic_is_refused() -> None:
    made = extend(b"glitter", documents.read("interface-hostdev.xml"))
    assert (made.code, made.mac) == ("unsupported-interface", "56:6f:1a:2b:00:07")


@pytest.mark.parametrize(
    "xml",
    [
        b"<interface type='bridge'/>",
        b"<interface type='bridge'><source bridge='a'/><source bridge='b'/></interface>",
        b"<interface type='bridge'><bandwidth><source bridge='a'/></bandwidth></interface>",
        b"<devices>" + PLAIN + PLAIN + b"</devices>",
        b"<disk/>",
        b"<interface type='bridge'><source bridge='a'/>",
        b"not XML",
        b"",
        b"<!DOCTYPE interface><interface type='bridge'><source bridge='a'/></interface>",
    ],
)
@pytest.mark.parametrize("event", [CREATE, PLUG, UPDATE])
def test_anything_but_one_interface_with_one_source_is_bad_xml(xml: bytes, event: str) -> None:
    made = extend(b"glitter", xml, event)
    assert (made.outcome, made.code) == ("refused", "bad-xml")


@pytest.mark.parametrize(
    "value",
    [b"", b"  ", b"a" * 256, b"gl\nitter", b"gl\x7fitter", "gl\u0085".encode(), b"\xff", b"a/b/c", b"/", b"/b", b"a/"],
)
@pytest.mark.parametrize("event", [CREATE, PLUG, UPDATE, MIGRATE])
def test_a_bad_property_is_refused_at_every_event_in_one_line(value: bytes, event: str) -> None:
    made = extend(value, event=event)
    assert (made.outcome, made.code) == ("refused", "bad-property")
    assert made.message.isprintable()
    assert made.message.isascii()


def test_255_bytes_are_a_name() -> None:
    assert extend(b"a" * 255).code == "network-missing"


STATES = {
    "network-missing": documents.view(),
    "network-inactive": documents.view(documents.network("ovs-net", active=False)),
    "portgroup-missing": documents.view(documents.network("ovs-net")),
}


@pytest.mark.parametrize("code", STATES)
@pytest.mark.parametrize("event", [CREATE, PLUG, MIGRATE])
def test_without_the_network_the_device_is_refused(code: str, event: str) -> None:
    made = extend(b"ovs-net/other", event=event, networks=STATES[code])
    assert (made.outcome, made.code, made.network, made.doubts) == ("refused", code, "ovs-net", ("ovs-net",))


@pytest.mark.parametrize("code", STATES)
def test_an_update_of_a_vnic_that_nobody_could_look_at_is_not_refused_for_that(code: str) -> None:
    made = extend(b"ovs-net/other", event=UPDATE, networks=STATES[code])
    assert (made.outcome, made.doubts) == ("rewritten", ("ovs-net",))
    assert b'network="ovs-net"' in made.document
    assert "rewritten all the same" in made.notes[0]


@pytest.mark.parametrize("code", STATES)
@pytest.mark.parametrize("event", [CREATE, PLUG, MIGRATE])
def test_when_libvirt_is_out_of_reach_the_refusal_says_so(code: str, event: str) -> None:
    made = extend(b"ovs-net/other", event=event, networks=STATES[code].with_outage("libvirt is gone"))
    assert (made.outcome, made.code) == ("refused", "libvirt-unavailable")
    assert "libvirt is gone" in made.message


def test_when_libvirt_is_out_of_reach_the_last_view_answers_and_is_marked() -> None:
    made = extend(b"glitter", networks=ALL.with_outage("libvirt is gone"))
    assert made.outcome == "rewritten"
    assert "libvirt is gone" in made.notes[0]


def test_migration_is_only_checked() -> None:
    assert extend(b"glitter", event=MIGRATE).outcome == "unchanged"
    assert extend(b"glitter", documents.read("interface-hostdev.xml"), MIGRATE).outcome == "unchanged"


@pytest.mark.parametrize("event", [CREATE, PLUG, UPDATE])
def test_open_vswitch_gets_no_filter_and_no_port_isolation(event: str) -> None:
    made = extend(b"ovs-net", FILTERED, event)
    assert canonical(made.document) == b'<interface type="network"><source network="ovs-net"></source></interface>'
    assert "vdsm-no-mac-spoofing" in made.notes[0]
    assert "port isolation" in made.notes[0]


def test_open_vswitch_misfits_are_refused_or_kept_where_that_is_configured() -> None:
    refused = extend(b"ovs-net", FILTERED, incompatible="refuse")
    assert (refused.outcome, refused.code) == ("refused", "unsupported-interface")
    kept = extend(b"ovs-net", FILTERED, incompatible="keep")
    assert b"filterref" in kept.document
    assert b"isolated" in kept.document


@pytest.mark.parametrize("configured", ["refuse", "keep"])
def test_an_update_adapts_whatever_is_configured(configured: str) -> None:
    made = extend(b"ovs-net", FILTERED, UPDATE, incompatible=configured)
    assert made.outcome == "rewritten"
    assert b"filterref" not in made.document


PARTS = (
    b'<filterref filter="vdsm-no-mac-spoofing"/>',
    b'<port isolated="yes"/>',
    b'<mtu size="9000"/>',
    b'<bandwidth><inbound average="1000"/></bandwidth>',
    b'<link state="down"/>',
    b'<driver name="vhost" queues="2"/>',
)
FITS = b'<model type="virtio"/><boot order="1"/><link state="up"/><port isolated="no"/><driver name="vhost"/>'
KINDS = {
    "isolated": ("<bridge name='b'/>", ()),
    "nat": ("<forward mode='nat'/><bridge name='b'/>", ()),
    "route": ("<forward mode='route'/><bridge name='b'/>", ()),
    "open": ("<forward mode='open'/><bridge name='b'/>", ()),
    "bridge": ("<forward mode='bridge'/><bridge name='b'/>", ()),
    "openvswitch": ("<forward mode='bridge'/><bridge name='b'/><virtualport type='openvswitch'/>", (0, 1)),
    "macvtap-bridge": ("<forward mode='bridge'><interface dev='d'/></forward>", (0, 1)),
    "macvtap-private": ("<forward mode='private'><interface dev='d'/></forward>", (0, 1)),
    "macvtap-vepa": ("<forward mode='vepa'><interface dev='d'/></forward>", (0, 1)),
    "macvtap-passthrough": ("<forward mode='passthrough'><interface dev='d'/></forward>", (0, 1, 2)),
    "hostdev": ("<forward mode='hostdev' managed='yes'><pf dev='d'/></forward>", (0, 1, 3, 4, 5)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("event", [CREATE, PLUG])
def test_what_libvirt_refuses_on_a_kind_of_network_is_left_out_refused_or_kept(kind: str, event: str) -> None:
    """Those of hostdev by libvirt's source: no machine here has such a device. All others are tried in tests/real."""
    inner, unfit = KINDS[kind]
    xml = f"<network><name>net</name>{inner}</network>"
    known = documents.view(networks.parse(xml, active=True, persistent=True, autostart=True))
    assert known.by_name["net"].kind().name == kind
    vnic = b'<interface type="bridge"><source bridge="rhevm"/>' + b"".join(PARTS) + FITS + b"</interface>"
    made = extend(b"net", vnic, event, known)
    kept = [part.replace(b' queues="2"', b"") if number in unfit else part for number, part in enumerate(PARTS)]
    left = b"".join(part for number, part in enumerate(kept) if number not in unfit or number == 5)
    assert made.document == b'<interface type="network"><source network="net"/>' + left + FITS + b"</interface>"
    title = known.by_name["net"].kind().title
    assert [title in note for note in made.notes] == ([True] if unfit else [])
    refused = extend(b"net", vnic, event, known, incompatible="refuse")
    assert refused.code == ("unsupported-interface" if unfit else "")
    assert title in refused.what or not unfit
    every = extend(b"net", vnic, event, known, incompatible="keep")
    assert every.document == b'<interface type="network"><source network="net"/>' + b"".join(PARTS) + FITS + (
        b"</interface>"
    )


@pytest.mark.parametrize("name", [b"glitter", b"wifi-nat"])
def test_other_networks_keep_the_filter(name: bytes) -> None:
    made = extend(name, FILTERED)
    assert b"filterref" in made.document
    assert b"isolated" in made.document


def test_text_around_a_dropped_element_stays() -> None:
    xml = b"<interface type='bridge'>a<filterref filter='f'/>b<source bridge='x'/>c<filterref filter='g'/>d</interface>"
    made = extend(b"ovs-net", xml)
    assert made.document == b'<interface type="network">ab<source network="ovs-net"/>cd</interface>'


@pytest.mark.parametrize(
    ("allow", "deny", "name", "allowed"),
    [
        ("*", "", b"glitter", True),
        ("glitter", "", b"glitter", True),
        ("wifi-*", "", b"glitter", False),
        ("wifi-* glit*", "", b"glitter", True),
        ("*", "glitter", b"glitter", False),
        ("*", "GLITTER", b"glitter", True),
        ("", "", b"glitter", False),
        ("glitter", "", b"glitter2", False),
    ],
)
@pytest.mark.parametrize("event", [CREATE, PLUG, UPDATE, MIGRATE])
def test_allow_and_deny(allow: str, deny: str, name: bytes, allowed: bool, event: str) -> None:
    made = extend(name, event=event, allow=options.globs(allow), deny=options.globs(deny))
    assert (made.code == "network-not-allowed") is (not allowed)
