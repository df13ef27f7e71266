"""Declared rewrites: what they do to a document, and what is found wrong with them when they are loaded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests import documents
from vdsm_hookd import registry
from vdsm_hookd.decision import Decision, Request, decide
from vdsm_hookd.ini import ConfigError
from vdsm_hookd.networks import NetworkView
from vdsm_hookd.policy import Policy

DOMAIN = (
    b"<domain><name>web-01</name><uuid>7a9c</uuid><cpu match='exact'><model>Nehalem</model></cpu><devices/></domain>"
)
HEAD = "[rewrite site]\nhook = site\nevents = before_vm_start\n"
ON_CPU = HEAD + "when = property p present\nxpath = /domain/cpu\n"
VIEW = documents.view(documents.network("glitter"), documents.network("ovs-net", active=False))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vdsm-hookd.conf"


def policy(file: Path, text: str) -> Policy:
    file.write_text(text)
    return registry.configure(str(file))[1]


def decided(
    rules: Policy, xml: bytes = DOMAIN, event: str = "before_vm_start", view: NetworkView = VIEW, **properties: bytes
) -> Decision:
    return decide(Request(event, "site", properties, xml), rules, view)


def cpu(made: Decision) -> str:
    found = etree.fromstring(made.document).find("cpu")
    assert found is not None
    return etree.tostring(found, encoding="unicode", with_tail=False)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("set match = minimum", '<cpu match="minimum"><model>Nehalem</model></cpu>'),
        ("set a = <{p}>", '<cpu match="exact" a="&lt;v&gt;"><model>Nehalem</model></cpu>'),
        ("set a = {{p}}", '<cpu match="exact" a="{p}"><model>Nehalem</model></cpu>'),
        ("text = {p}", '<cpu match="exact">v<model>Nehalem</model></cpu>'),
        ("append = <feature name='{p}'/>", '<cpu match="exact"><model>Nehalem</model><feature name="v"/></cpu>'),
        ("append = <a/><b>{p}</b>", '<cpu match="exact"><model>Nehalem</model><a/><b>v</b></cpu>'),
        ("prepend = <a/><b/>", '<cpu match="exact"><a/><b/><model>Nehalem</model></cpu>'),
        ("set a = 1\nappend = <b/>\nset c = 2", '<cpu match="exact" a="1" c="2"><model>Nehalem</model><b/></cpu>'),
        ("replace = <cpu mode='host-model'/>", '<cpu mode="host-model"/>'),
    ],
)
def test_actions(file: Path, action: str, expected: str) -> None:
    made = decided(policy(file, ON_CPU + action), p=b" v ")
    assert made.outcome == "rewritten"
    assert cpu(made) == expected
    assert made.rule == f"rewrite site ({file}:1)"


@pytest.mark.parametrize(("xpath", "gone"), [("/domain/cpu/model", "model"), ("/domain/cpu/@match", "match")])
def test_remove_takes_elements_and_attributes(file: Path, xpath: str, gone: str) -> None:
    made = decided(policy(file, HEAD + f"when = property p present\nxpath = {xpath}\nremove = yes"), p=b"")
    assert gone not in cpu(made)


def test_namespaces_known_and_declared(file: Path) -> None:
    known = (
        ON_CPU.replace("/domain/cpu", "/domain")
        + "append = <qemu:commandline><qemu:arg value='{p}'/></qemu:commandline>"
    )
    made = decided(policy(file, known), p=b"-nodefaults")
    assert b'<qemu:arg value="-nodefaults"/>' in made.document
    declared = HEAD + "namespace x = urn:x\nwhen = property p present\nxpath = //x:y\nset x:z = 1"
    made = decided(policy(file, declared), DOMAIN.replace(b"<devices/>", b"<y xmlns='urn:x'/>"), p=b"1")
    assert etree.fromstring(made.document).find("{urn:x}y").get("{urn:x}z") == "1"  # type: ignore[union-attr]


CONDITIONS = {
    "property p present": (b"", True),
    "not property p present": (b"", False),
    "property p equals on": (b"on", True),
    "property p equals ON": (b"on", False),
    "property p glob o*": (b"on", True),
    "property p glob o": (b"on", False),
    "property p matches ^(1|on)$": (b" on ", True),
    "property p matches ^o$": (b"on", False),
    "property p matches .*": (b"\xff", True),
    "property p equals x": (b"\xff", False),
    "vm name equals web-01": (b"", True),
    "vm name glob db-*": (b"", False),
    "vm uuid equals 7a9c": (b"", True),
    "vm uuid equals 7a9d": (b"", False),
    "event equals before_vm_start": (b"", True),
    "event glob after_*": (b"", False),
    "xpath /domain/cpu/model": (b"", True),
    "xpath /domain/cpu[@match='strict']": (b"", False),
    "not xpath //disk": (b"", True),
    "network glitter active": (b"", True),
    "network ovs-net inactive": (b"", True),
    "network ovs-net active": (b"", False),
    "network nowhere missing": (b"", True),
    "not network nowhere active": (b"", True),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions(file: Path, condition: str) -> None:
    value, holds = CONDITIONS[condition]
    rules = policy(file, HEAD + f"when = {condition}\nxpath = /domain/cpu\nset a = 1")
    made = decided(rules, p=value, vmId=b"7a9c")
    assert (made.outcome == "rewritten") is holds


def test_all_conditions_must_hold(file: Path) -> None:
    rules = policy(file, ON_CPU + "when = property q equals 1\n  vm name glob web-*\nset a = 1")
    assert decided(rules, p=b"1", q=b"1").outcome == "rewritten"
    assert decided(rules, p=b"1", q=b"2").outcome == "unchanged"
    assert decided(rules, p=b"1").outcome == "unchanged"
    assert decided(rules, DOMAIN.replace(b"web-01", b"db-01"), p=b"1", q=b"1").outcome == "unchanged"


def test_on_no_match(file: Path) -> None:
    missing = ON_CPU.replace("/domain/cpu", "/domain/cputune") + "set a = 1\n"
    assert decided(policy(file, missing), p=b"1").outcome == "unchanged"
    made = decided(policy(file, missing + "on_no_match = refuse"), p=b"1")
    assert (made.outcome, made.code) == ("refused", "no-match")
    assert f"rewrite site ({file}:1)" in made.message


def test_rules_apply_in_file_order_and_a_later_file_replaces_a_whole_one(file: Path) -> None:
    one = ON_CPU + "text = one\n"
    two = one.replace("[rewrite site]", "[rewrite two]").replace("one", "{p}two")
    assert ">1two<" in cpu(decided(policy(file, one + two), p=b"1"))
    assert ">one<" in cpu(decided(policy(file, two + one), p=b"1"))
    folder = file.parent / "vdsm-hookd.conf.d"
    folder.mkdir()
    (folder / "50.conf").write_text(ON_CPU + "set b = 1\n")
    made = decided(policy(file, one), p=b"1")
    assert cpu(made) == '<cpu match="exact" b="1"><model>Nehalem</model></cpu>'
    assert made.rule == f"rewrite site ({folder / '50.conf'}:1)"


def test_the_vms_uuid_is_out_of_reach(file: Path) -> None:
    for action in ("xpath = /domain/uuid\ntext = 1", "xpath = /domain/uuid\nremove = yes"):
        made = decided(policy(file, HEAD + f"when = property p present\n{action}"), p=b"1")
        assert (made.outcome, made.code) == ("refused", "not-permitted")
    for xpath in ("/domain", "/*"):
        for action in ("remove = yes", "replace = <a/>"):
            made = decided(policy(file, HEAD + f"when = property p present\nxpath = {xpath}\n{action}"), p=b"1")
            assert (made.outcome, made.code) == ("refused", "bad-rule")


def test_what_only_a_document_shows_is_a_refusal_that_names_the_rule(file: Path) -> None:
    for xpath in ("/domain/cpu/model/text()", "//cpu[nonsense(1)]", "/domain/cpu/@match"):
        made = decided(policy(file, HEAD + f"when = property p present\nxpath = {xpath}\nset a = 1"), p=b"1")
        assert (made.outcome, made.code) == ("refused", "bad-rule")
        assert str(file) in made.message


@pytest.mark.parametrize("value", [b"\xff", b"a\nb", b"\x00", b"\xef\xbf\xbe", b"\x1b[31m"])
@pytest.mark.parametrize("action", ["set a = {p}", "text = {p}", "append = <a b='{p}'/>"])
def test_a_value_that_xml_can_not_carry_is_a_bad_property(file: Path, value: bytes, action: str) -> None:
    made = decided(policy(file, ON_CPU + action), p=value)
    assert (made.outcome, made.code) == ("refused", "bad-property")
    assert made.message.isascii()
    assert made.message.isprintable()


def test_a_property_that_only_a_value_names_has_to_be_set(file: Path) -> None:
    rules = policy(file, ON_CPU + "set a = {q}")
    assert decided(rules, p=b"1").code == "bad-property"
    assert decided(rules, q=b"1").outcome == "unchanged"
    assert 'a="2"' in cpu(decided(rules, p=b"1", q=b"2"))


@given(value=st.binary(max_size=200))
def test_no_value_becomes_xml(tmp_path_factory: Any, value: bytes) -> None:
    rules = policy(tmp_path_factory.mktemp("x") / "c", ON_CPU + "set a = {p}\nappend = <b c='{p}'>{p}</b>")
    made = decided(rules, p=value)
    if made.outcome == "refused":
        assert made.code == "bad-property"
        return
    root = etree.fromstring(made.document)
    assert [element.tag for element in root.iter()] == ["domain", "name", "uuid", "cpu", "model", "b", "devices"]
    added = root.find("cpu/b")
    assert added is not None
    assert (added.text or "") == added.get("c") == value.decode().strip(" \t")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (ON_CPU.replace("/domain/cpu", "/domain/[") + "set a = 1", 5, "bad XPath"),
        (ON_CPU.replace("/domain/cpu", "//nope:x") + "set a = 1", 5, "prefix 'nope'"),
        (ON_CPU.replace("/domain/cpu", "//x[y:z]") + "set a = 1", 5, "prefix 'y'"),
        (ON_CPU.replace("/domain/cpu", "count(//x)") + "set a = 1", 5, "does not select nodes"),
        (ON_CPU.replace("/domain/cpu", "//x[$v]") + "set a = 1", 5, "variables"),
        (ON_CPU.replace("before_vm_start", "before_vm_strat") + "set a = 1", 3, "no event before_vm_strat"),
        (ON_CPU + "append = <a>", 6, "bad XML"),
        (ON_CPU + "append = text", 6, "no element"),
        (ON_CPU + "append = <nope:a/>", 6, "bad XML"),
        (ON_CPU + "set a = {p", 6, "single '{'"),
        (ON_CPU + "set 1a = x", 6, "not an attribute's name"),
        (ON_CPU + "set y:a = x", 6, "prefix 'y'"),
        (ON_CPU + "remove = yes\nset a = 1", 7, "gone"),
        (ON_CPU + "remove = perhaps", 6, "remove = yes"),
        (ON_CPU + "frobnicate = 1", 6, "no option of a rewrite"),
        (ON_CPU + "set = 1", 6, "no option of a rewrite"),
        (ON_CPU + "on_no_match = panic\nset a = 1", 6, "ignore, refuse"),
        (ON_CPU, 1, "lacks an action"),
        ("[rewrite x]\nset a = 1", 1, "lacks hook"),
        (HEAD + "when = property p matches (\nxpath = /a\nset a = 1", 4, "regular expression"),
        (HEAD + "when = property p likes x\nxpath = /a\nset a = 1", 4, "comparison"),
        (HEAD + "when = disk present\nxpath = /a\nset a = 1", 4, "begins with"),
        (HEAD + "when = network x up\nxpath = /a\nset a = 1", 4, "active, inactive or missing"),
        (HEAD + "when = property a-b present\nxpath = /a\nset a = 1", 4, "not a property's name"),
        ("[rewrite x]\nhook = ../x\nset a = 1", 2, "file's name"),
        ("[rewrite x]", 1, "lacks hook"),
        ("[nope]", 1, "no section [nope]"),
        (ON_CPU + "set a = 1\nxpath = /b", 7, "already set in line 5"),
        (ON_CPU.replace("property p", "property vmId") + "set a = 1", 4, "vm uuid"),
        (ON_CPU + "set a = {vmId}", 6, "vdsm's own variable"),
        ("[hooks]\nenabled = extnet nope", 2, "no such hook"),
        ("[map]\nrhevm = a/b/c", 2, "neither NETWORK nor"),
    ],
)
def test_what_is_wrong_is_found_at_load_with_file_and_line(file: Path, text: str, line: int, reason: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        registry.configure(str(file))
    found = [str(problem) for problem in caught.value.problems]
    assert any(problem.startswith(f"{file}:{line}: ") and reason in problem for problem in found), found


def test_the_wake_table_tells_what_wakes_which_hook(file: Path) -> None:
    rules = policy(
        file,
        ON_CPU + "set a = {q}\n"
        "[rewrite other]\nhook = site\nevents = before_nic_hotplug\nwhen = not property r present\n"
        "xpath = /x\nset a = 1\n"
        "[map]\nrhevm = glitter\n[hooks]\nenabled = extnet\n",
    )
    lines = rules.wake_table().splitlines()
    assert "extnet before_device_create * extnet" in lines
    assert "extnet * extnet" in lines
    assert "site before_vm_start p q" in lines
    assert "site before_nic_hotplug * r" in lines
    assert lines.index("site before_nic_hotplug * r") < lines.index("site * p q r")


def test_a_thousand_rules_that_do_not_match_are_not_looked_at(file: Path) -> None:
    rule = (
        "[rewrite r{0}]\nhook = site\nevents = before_vm_start\nwhen = property {1}\nxpath = /domain/cpu\nset a = {0}\n"
    )
    many = policy(
        file,
        "".join(rule.format(number, f"p{number} present") for number in range(500))
        + "".join(rule.format(number, f"mode equals m{number}") for number in range(500, 1000)),
    )
    assert decided(many, mode=b"none").outcome == "unchanged"
    assert 'a="700"' in cpu(decided(many, mode=b" m700 "))
    assert 'a="7"' in cpu(decided(many, p7=b"", mode=b"x"))
    started = time.monotonic()
    for _ in range(200):
        decided(many, mode=b"none")
    assert time.monotonic() - started < 2


def test_what_the_engine_is_to_offer_is_declared(file: Path) -> None:
    declared = "vm_property p = ^(on|off)$\nvnic_property q = ^[0-9]{1,3}$\nset a = {q}\n"
    (rule,) = [rule for rule in policy(file, ON_CPU + declared).rules if rule.hook.name == "site"]
    assert (rule.hook.vm_properties, rule.hook.vnic_properties) == ({"p": "^(on|off)$"}, {"q": "^[0-9]{1,3}$"})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("vm_property = x", "with a NAME"),
        ("vm_property other = x", "reads no such property"),
        ("vm_property p = a;b", "no `;`"),
        ("vm_property p =", "not empty"),
        ("vnic_property p = a\nvnic_property p = b", "set twice"),
    ],
)
def test_a_property_that_the_engine_can_not_offer_is_named(file: Path, line: str, reason: str) -> None:
    with pytest.raises(ConfigError) as raised:
        policy(file, ON_CPU + "set a = b\n" + line + "\n")
    (problem,) = raised.value.problems
    assert problem.origin.line in (7, 8)
    assert reason in problem.reason
