# SPDX-License-Identifier: GPL-2.0-or-later
"""Remedies are pasted into root's shell: each command in one does what it says to the name it is about, and no more.

Names are hostile here. tests/real runs such commands for good.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from lxml import etree

from tests import documents
from tests.remedies import Shell, commands
from tests.unit.test_extnet import extend
from vdsm_hookd import hook_directories, wire
from vdsm_hookd.decision import Decision
from vdsm_hookd.hook import UNFIT
from vdsm_hookd.hook_directories import Program
from vdsm_hookd.networks import Network, NetworkView, Portgroup
from vdsm_hookd.text import MAX_OPERAND, operand

ODD = " '\"\\$`;&|<>()[]{}*?!#~=-%,:\n\t\r\x1b\x7f\x9b\u2028\u202eé😀0"
CHARACTERS = st.one_of(st.sampled_from(ODD), st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"))
NAMES = st.one_of(
    st.text(CHARACTERS, min_size=1, max_size=40),
    st.sampled_from(
        [";vdsmdummy;", "$(touch x)", "`touch x`", "my net", "--help", "-- x", "-", "~", "~root", "a'b", "$'a'", "*"]
    ),
    st.text(st.sampled_from("a'é"), min_size=200, max_size=255),
)
# The kernel's limit, and text that a file name can hold.
FILES = NAMES.filter(lambda name: "/" not in name and name not in (".", "..") and len(name.encode()) <= 255)
LONG = "é" * 120
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    with tempfile.TemporaryDirectory() as folder:
        yield Shell(Path(folder))


def as_operand(name: str, stand_in: str = "") -> list[str]:
    """How it has to arrive; one that begins with a dash behind the end of options."""
    if stand_in and len(operand(name)) > MAX_OPERAND:
        return [stand_in]
    return ["--", name] if name.startswith("-") else [name]


@FEW
@given(
    name=st.one_of(
        NAMES,
        st.just(""),
        st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")),
    )
)
def test_an_operand_arrives_as_it_is(shell: Shell, name: str) -> None:
    word = operand(name)
    assert word.isascii()
    assert word.isprintable()
    assert shell.run(f"virsh a{'' if name.startswith('-') else ' '} {word} b") == [
        ["virsh", "a", *as_operand(name), "b"]
    ]


@FEW
@given(name=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_printable_ascii_arrives_in_a_small_shell_too(shell: Shell, name: str) -> None:
    assert shell.run(f"virsh {operand(name)}", "sh") == [["virsh", *as_operand(name)]]


def test_an_operand_at_a_prompt_is_no_history(shell: Shell) -> None:
    """An interactive bash replaces exclamation marks, before it reads quotes."""
    names = ["!", "!!", "a!b", "'!x", "!'!", "é!x", "é'!!", "\n!!", '"!x"', "!\\!é"]
    text = "".join(f"printf '%s\\0' {operand(name)}\n" for name in names)
    command = ["bash", "--norc", "--noprofile", "-i"]
    result = subprocess.run(command, input=text.encode(), cwd=shell.place, capture_output=True, timeout=60)
    assert result.stdout.decode().split("\0")[:-1] == names


def network(name: str, **changes: object) -> Network:
    fields = {"active": True, "persistent": True, "virtualport": "", "portgroups": (Portgroup("pg", False, ""),)}
    facts: dict[str, object] = {"uuid": "", "autostart": True, "forward": "bridge", "bridge": "br", **fields, **changes}
    return Network(name=name, **facts)  # type: ignore[arg-type]


def refusal(name: str, portgroup: str, *known: Network) -> Decision:
    """What extnet says of a property. The name has to be one that a property can carry."""
    value = f"{name}/{portgroup}" if portgroup else name
    assume("/" not in name + portgroup and not UNFIT.search(value))
    assume(value == value.strip(" \t") and len(value.encode()) <= 255)
    made = extend(value.encode(), networks=NetworkView({each.name: each for each in known}, "", synced_at=0.0))
    assert made.outcome == "refused"
    return made


@FEW
@given(name=NAMES)
@example(name=LONG)
def test_a_network_that_is_missing(shell: Shell, name: str) -> None:
    made = refusal(name, "")
    assert made.code == "network-missing"
    arrived = as_operand(name, "NETWORK")
    define, *start = shell.run(commands(made.remedy))
    assert define == ["virsh", "net-define", "FILE"]
    assert start == [["virsh", "net-start", *arrived], ["virsh", "net-autostart", *arrived]]


@FEW
@given(name=NAMES)
@example(name=LONG)
def test_a_network_that_is_not_active(shell: Shell, name: str) -> None:
    made = refusal(name, "", network(name, active=False))
    assert made.code == "network-inactive"
    arrived = as_operand(name, "NETWORK")
    assert shell.run(commands(made.remedy)) == [
        ["virsh", "net-start", *arrived],
        ["virsh", "net-autostart", *arrived],
    ]


@FEW
@given(name=NAMES, portgroup=NAMES, persistent=st.booleans(), virtualport=st.sampled_from(["", "openvswitch"]))
@example(name=LONG, portgroup="a", persistent=True, virtualport="")
@example(name="a", portgroup=LONG, persistent=True, virtualport="")
def test_a_portgroup_that_is_missing(
    shell: Shell, name: str, portgroup: str, persistent: bool, virtualport: str
) -> None:
    assume(portgroup != "pg")
    made = refusal(name, portgroup, network(name, persistent=persistent, virtualport=virtualport))
    assert made.code == "portgroup-missing"
    ((*call, xml),) = shell.run(commands(made.remedy))
    where = ["--live", "--config"] if persistent else ["--live"]
    assert call == ["virsh", "net-update", *where, *as_operand(name, "NETWORK"), "add", "portgroup"]
    if xml == "FILE":
        assert len(operand(portgroup)) > 100
        return
    element = etree.fromstring(xml)
    assert (element.tag, element.items()) == ("portgroup", [("name", portgroup)])
    assert [tag.get("id") for tag in element.iter("tag")] == (["VLAN"] if virtualport else [])


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (b"ovs-net:lab-42", "'ovs-net/lab-42'"),
        (b"ovs-net:no-such", "'ovs-net/no-such'"),
        (b"ovs-net:a:b", "'ovs-net/a:b'"),
        (b"a:b:lab-42", "'a:b/lab-42'"),
        (b"ovs-net:", ""),
        (b":lab-42", ""),
        (b"no-such:lab-42", ""),
        (b"ovs-net:lab-42/x", ""),
        (b"ovs-net.lab-42", ""),
    ],
)
def test_a_colon_in_place_of_the_slash(value: bytes, meant: str) -> None:
    made = extend(value, networks=documents.view(documents.network("ovs-net"), network("a:b")))
    assert made.code == "network-missing"
    assert made.what.partition("; did you mean ")[2] == (f"{meant}?" if meant else "")


def test_a_network_whose_name_has_a_colon_is_no_mistake() -> None:
    made = extend(b"ovs-net:lab-42", networks=documents.view(documents.network("ovs-net"), network("ovs-net:lab-42")))
    assert b'network="ovs-net:lab-42"' in made.document


@FEW
@given(name=NAMES, portgroup=st.one_of(st.just(""), NAMES), active=st.booleans(), known=st.booleans())
@example(name="two  blanks", portgroup="", active=False, known=True)
@example(name=LONG, portgroup="", active=False, known=True)
@example(name="a" * 126, portgroup="'" * 126, active=True, known=True)
def test_a_reply_has_the_whole_remedy(name: str, portgroup: str, active: bool, known: bool) -> None:
    """Whatever else is cut: the half of a command may be another command."""
    assume(not known or not active or portgroup not in ("", "pg"))
    made = refusal(name, portgroup, *([network(name, active=active, virtualport="openvswitch")] if known else []))
    line = body(made)
    assert len(line) <= wire.MAX_REFUSAL
    assert line.startswith(f"{made.code}: {made.what}"[:200])
    assert line.endswith(f": {made.remedy}")


def body(made: Decision) -> str:
    frame = wire.hook_reply(made)
    text: bytes = msgpack.unpackb(frame[4:])[2]
    return text.decode()


def test_a_remedy_that_is_too_long_is_left_out() -> None:
    made = Decision("refused", "event", "hook", code="bad-rule", what="this", remedy="rm " + "x" * 763)
    assert body(made).endswith(f": {made.remedy}")
    assert body(made._replace(remedy=f"{made.remedy}x")) == "bad-rule: this"
    line = body(made._replace(what="y" * 2000, remedy="rm x"))
    assert (len(line), line[-12:]) == (1024, "yyy...: rm x")


# vdsm's hook directories


@FEW
@given(file=FILES, folder=FILES, shim=FILES, is_linked=st.booleans(), kind=st.sampled_from(["link", "script", "shim"]))
def test_what_is_wrong_in_a_hook_directory(
    shell: Shell, file: str, folder: str, shim: str, is_linked: bool, kind: str
) -> None:
    directories, target = f"/{folder}", f"/{shim}"
    events = {"extnet": ["before_device_create"]}
    there = [Program("before_device_create", "50_extnet", "shim", "", True)] if is_linked else []
    intruder = Program("before_device_create", f"99_{file}", kind, "/else\nwhere", True)
    found = hook_directories.findings(
        [*there, intruder], {**events, intruder.hook: ["before_device_create"]}, directories, target
    )
    path, place = f"{directories}/before_device_create/99_{file}", f"{directories}/before_device_create"
    linking = [["mkdir", "-p", place], ["ln", "-sfn", target, path]]
    missing = [["mkdir", "-p", place], ["ln", "-sfn", target, f"{place}/50_extnet"]]
    expected = {"link-elsewhere": linking, "stock-script": [["rpm", "-qf", path]]}
    expected["not-linked"] = missing
    for finding in found:
        calls = shell.run(commands(finding.remedy))
        assert calls == expected[finding.code], finding
        if finding.code == "stock-script":
            assert shell.run(finding.remedy.partition(", then ")[2]) == linking


@FEW
@given(file=FILES, folder=FILES)
def test_links_that_serve_nothing(shell: Shell, file: str, folder: str) -> None:
    link = Program("before_vm_start", file, "shim", "", True)
    assume(not file.startswith("."))
    for events in ([], ["before_device_create"]):
        hooks = {link.hook: events} if events else {}
        found = hook_directories.findings([link], hooks, f"/{folder}")
        (finding,) = (each for each in found if each.code in ("not-enabled", "event-not-served"))
        assert shell.run(commands(finding.remedy)) == [["rm", f"/{folder}/before_vm_start/{file}"]]


@FEW
@given(first=FILES, folder=FILES)
def test_a_hook_that_is_linked_twice(shell: Shell, first: str, folder: str) -> None:
    links = [Program("before_vm_start", f"{number}_{first}", "shim", "", True) for number in (50, 60)]
    (finding,) = hook_directories.findings(links, {first: ["before_vm_start"]}, f"/{folder}")
    assert finding.code == "linked-twice"
    assert shell.run(commands(finding.remedy)) == [["rm", f"/{folder}/before_vm_start/60_{first}"]]


@pytest.mark.parametrize("name", ["my shim", "$(touch x)", "a;b", "é\n"])
@pytest.mark.parametrize("mode", [0o644, 0o777])
def test_the_shims_rights(shell: Shell, tmp_path: Path, name: str, mode: int) -> None:
    shim = tmp_path / name
    shim.write_text("")
    shim.chmod(mode)
    found = hook_directories.inspect({}, str(tmp_path), str(shim))[1]
    assert [shell.run(commands(finding.remedy)) for finding in found] == [[["chmod", "755", str(shim)]]]
