"""The decision core as a whole: what holds for every hook and every document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests import documents
from vdsm_hookd.decision import Request, decide
from vdsm_hookd.document import Memory
from vdsm_hookd.hook import Call, Hook
from vdsm_hookd.hooks import extnet
from vdsm_hookd.policy import Policy, Rule

NETWORKS = documents.view(documents.network("glitter"), documents.network("ovs-net"))
POLICY = Policy([Rule(extnet.HOOK, extnet.Options(), "here")])
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufffe\uffff"), max_size=20)
SPECIAL = {"interface", "source", "filterref", "port"}


def elements(depth: int) -> st.SearchStrategy[etree._Element]:
    children = elements(depth - 1) if depth else st.nothing()
    return st.builds(
        _element,
        NAMES.filter(lambda name: name not in SPECIAL),
        st.sampled_from(["", "http://ovirt.org/vm/1.0", "http://libvirt.org/schemas/domain/qemu/1.0"]),
        st.dictionaries(NAMES, TEXT, max_size=3),
        TEXT,
        st.lists(
            children | st.builds(etree.Comment, _comments()) | st.builds(etree.PI, NAMES, _comments()), max_size=4
        ),
        TEXT,
    )


def _comments() -> st.SearchStrategy[str]:
    return TEXT.map(lambda text: text.replace("-", "").replace("?", "").strip())


def _element(
    name: str, namespace: str, attributes: dict[str, str], text: str, children: list[Any], tail: str
) -> etree._Element:
    element = etree.Element(f"{{{namespace}}}{name}" if namespace else name, attributes)
    element.text = text
    element.extend(children)
    element.tail = tail
    return element


@st.composite
def interfaces(draw: st.DrawFn) -> bytes:
    """A vNIC with one source among random elements, comments, namespaces and processing instructions."""
    interface = etree.Element("interface", {"type": draw(st.sampled_from(["bridge", "network"]))})
    source = etree.SubElement(interface, "source", draw(st.dictionaries(NAMES, TEXT, max_size=2)))
    for name in draw(st.sets(st.sampled_from(["bridge", "network", "portid"]))):
        source.set(name, draw(TEXT))
    for child in draw(st.lists(elements(2), max_size=5)):
        interface.insert(draw(st.integers(0, len(interface))), child)
    for _ in range(draw(st.integers(0, 2))):
        interface.addprevious(etree.Comment(draw(_comments())))
        interface.addnext(etree.PI("after", draw(_comments())))
    return etree.tostring(interface.getroottree(), encoding="UTF-8", xml_declaration=draw(st.booleans()))


def canonical(xml: bytes) -> bytes:
    result: bytes = etree.tostring(etree.fromstring(xml).getroottree(), method="c14n", with_comments=True)
    return result


def decided(xml: bytes, value: bytes = b"glitter", event: str = "before_device_create") -> Any:
    return decide(Request(event, "extnet", {"extnet": value}, xml), POLICY, NETWORKS)


@given(interfaces())
def test_outside_the_source_a_rewrite_changes_nothing(xml: bytes) -> None:
    made = decided(xml)
    expected = etree.fromstring(xml)
    expected.set("type", "network")
    source = expected.find("source")
    assert source is not None
    for name in ("bridge", "portid", "portgroup"):
        if name in source.attrib:
            del source.attrib[name]
    source.set("network", "glitter")
    changed = etree.tostring(expected.getroottree(), method="c14n", with_comments=True)
    if made.outcome == "unchanged":
        assert canonical(xml) == changed
    else:
        assert made.outcome == "rewritten"
        assert canonical(made.document) == changed
        assert canonical(xml) != changed
        assert not made.document.startswith(b"<?xml")


@given(interfaces(), st.lists(st.sampled_from([b"glitter", b"ovs-net/lab-42", b"wifi-nat", b"no"]), max_size=4))
def test_a_memory_changes_no_decision(xml: bytes, row: list[bytes]) -> None:
    memory = Memory()
    for value in row:
        request = Request("before_device_create", "extnet", {"extnet": value}, xml)
        made = decide(request, POLICY, NETWORKS, memory=memory)
        assert made == decide(request, POLICY, NETWORKS)
        xml = made.document or xml


@given(interfaces())
def test_a_second_rewrite_changes_nothing(xml: bytes) -> None:
    once = decided(xml)
    document = once.document if once.outcome == "rewritten" else xml
    assert decided(document).outcome == "unchanged"


@given(
    st.one_of(st.binary(max_size=300), interfaces(), st.binary(max_size=20).map(lambda junk: b"<interface>" + junk)),
    st.one_of(st.binary(max_size=300), st.sampled_from([b"glitter", b"ovs-net/lab-42", b"nowhere"])),
    st.sampled_from([*extnet.HOOK.events, "before_vm_start", ""]),
)
def test_every_request_with_the_property_is_answered_right_or_refused(xml: bytes, value: bytes, event: str) -> None:
    made = decided(xml, value, event)
    if made.outcome == "refused":
        assert made.code
        assert made.code != "internal"
        assert made.message.isprintable()
        assert made.document == b""
    elif event == "before_device_migrate_destination":
        assert made.outcome == "unchanged"
    else:
        source = etree.fromstring(made.document or xml).find(".//source")
        assert source is not None
        assert source.get("network") == value.decode().strip(" \t").split("/")[0]
        assert source.get("bridge") is None


@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=8), st.binary(max_size=8), max_size=3))
def test_without_the_property_nothing_is_even_looked_at(xml: bytes, environment: dict[str, bytes]) -> None:
    environment.pop("extnet", None)
    made = decide(Request("before_device_create", "extnet", environment, xml), POLICY, NETWORKS)
    assert (made.outcome, made.document) == ("unchanged", b"")


def test_a_domain_in_place_of_a_device_is_bad_xml_and_names_its_vm() -> None:
    made = decided(documents.read("domain.xml"))
    assert (made.code, made.vm_name) == ("bad-xml", "web-01")
    assert "VM web-01" in made.message


def test_a_hook_that_is_not_enabled_is_refused_and_the_enabled_ones_are_named() -> None:
    environment = {"vmId": b"7a9c", "vmfex": b"{}"}
    made = decide(Request("before_vm_start", "vmfex\n", environment, b""), POLICY, NETWORKS)
    assert (made.outcome, made.code) == ("refused", "unknown-hook")
    assert "'vmfex\\n'" in made.message
    assert "extnet" in made.message


def test_an_event_that_the_hook_does_not_serve_is_refused() -> None:
    assert decided(b"<interface/>", event="before_vm_start").code == "unsupported-event"


def test_a_hook_that_raises_costs_one_request_and_is_named() -> None:
    def broken(call: Call) -> bool:
        raise ZeroDivisionError

    hook = Hook("broken", ("p",), {"before_vm_start": broken})
    request = Request("before_vm_start", "broken", {"p": b"1"}, b"<domain/>")
    made = decide(request, Policy([Rule(hook, None, "here")]), NETWORKS)
    assert (made.outcome, made.code) == ("refused", "internal")
    assert "broken" in made.message
    assert isinstance(made.error, ZeroDivisionError)


@pytest.mark.parametrize("vm_id", [b"\xff\n", b"x" * 1000, b"<a>\x1b[31m"])
def test_the_message_shows_a_hostile_vm_id_escaped_and_cut(vm_id: bytes) -> None:
    request = Request("before_device_create", "extnet", {"extnet": b"nope", "vmId": vm_id}, b"<interface/>")
    message = decide(request, POLICY, NETWORKS).message
    assert message.isprintable()
    assert message.isascii()
    assert len(message) < 600


def test_a_link_that_a_hook_left_behind_stops_no_vm() -> None:
    made = decide(Request("before_vm_start", "gone", {"vmId": b"7a9c"}, b"<domain/>"), POLICY, NETWORKS)
    assert made.outcome == "unchanged"
