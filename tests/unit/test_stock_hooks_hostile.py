"""The hooks that vdsm ships too, against values that nobody means well with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from tests import documents
from vdsm_hookd import registry
from vdsm_hookd.decision import Decision, Request, decide
from vdsm_hookd.hook import Hook
from vdsm_hookd.hooks import qemucmdline, smbios
from vdsm_hookd.host import Host
from vdsm_hookd.ini import DEFAULT, Entry
from vdsm_hookd.policy import Policy, Rule

KNOWN = registry.find(Entry("hooks", "enabled", "", DEFAULT))
HOOKS = [hook for name, hook in KNOWN.items() if name != "extnet"]  # which is refused for the network, not the value
CASES = [(hook, event) for hook in HOOKS for event in hook.events]
DOMAIN = documents.read("domain.xml")
INTERFACE = documents.read("interface.xml")
BRIDGED = Host(Path("/nonexistent"), Path("/nonexistent"))
LONG = 128 * 1024 - 64  # what the kernel hands to a process in one variable, and the name's share

words = st.text(st.sampled_from("{}[]()':,\"\\^+-_/@?#*~ \t\n\x00\x1b\ufffe\ud7ff0aAu1x"), max_size=40)
strings = st.text(max_size=6)
nested = st.recursive(
    strings | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=6,
)
known = st.sampled_from(
    [
        b"true",
        b"on",
        b"+mmx,-mmx",
        b"https://s:1/a",
        b"pci_0000_0b_00_0",
        b"usb_1_2",
        b"{'serial': '1'}^{'uuid': 'x'}",
        b"{'image': {'compression': 'lz'}}",
        b"{'56:6f:1a:2b:00:04': 'lo'}",
        b'["-S", "-uuid", "x"]',
        b"red green",
    ]
)
values = (
    st.binary(max_size=60)
    | words.map(str.encode)
    | strings.map(str.encode)
    | nested.map(lambda value: json.dumps(value).encode())
    | nested.map(lambda value: repr(value).encode("utf-8", "surrogatepass"))
    | st.tuples(known, st.binary(max_size=4)).map(b"".join)
    | known
)


def run(hook: Hook, event: str, environment: dict[str, bytes]) -> Decision:
    options = hook.options()
    policy = Policy([Rule(hook, options, "here", always=hook.always(options))])
    xml = DOMAIN if event == "before_vm_start" else INTERFACE
    return decide(Request(event, hook.name, environment, xml), policy, documents.view(), BRIDGED)


def assert_sound(made: Decision) -> None:
    assert made.outcome in ("unchanged", "rewritten", "refused")
    if made.outcome == "refused":
        assert made.code in ("bad-property", "bad-xml", "option-not-allowed"), made.error
        assert re.fullmatch("[ -~]{1,600}", made.message)
        assert made.document == b""
    for note in made.notes:
        assert note.isprintable()
        assert note.isascii()
    if made.outcome == "rewritten":
        root = etree.fromstring(made.document)
        before = etree.fromstring(DOMAIN if root.tag == "domain" else INTERFACE)
        assert root.tag == before.tag
        assert root.findtext("uuid") == before.findtext("uuid")
        assert root.findtext("name") == before.findtext("name")


@pytest.mark.parametrize(("hook", "event"), CASES, ids=lambda case: case.name if isinstance(case, Hook) else case)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_value_breaks_a_hook(hook: Hook, event: str, data: st.DataObject) -> None:
    environment = {name: data.draw(values, label=name) for name in hook.properties}
    assert_sound(run(hook, event, environment))


@pytest.mark.parametrize(("hook", "event"), CASES, ids=lambda case: case.name if isinstance(case, Hook) else case)
@pytest.mark.parametrize(
    "unit",
    [
        b"a",
        b"1",
        b"[",
        b"(",
        b"-",
        b"{'a':",
        b"{1:",
        b'["a",',
        b"+a,",
        b"a^",
        b" ",
        b"\t",
        b"\xff",
        b"\\",
        b"'",
        b"usb_1",
    ],
)
def test_no_value_takes_long(hook: Hook, event: str, unit: bytes) -> None:
    """Far below what anything quadratic takes for 128 KiB, far above what a slow machine needs for anything linear."""
    value = (unit * LONG)[:LONG]
    begin = time.perf_counter()
    assert_sound(run(hook, event, dict.fromkeys(hook.properties, value)))
    assert time.perf_counter() - begin < 1


def test_many_arguments_take_their_time_and_no_more() -> None:
    arguments = ['"-"'] * (LONG // 5)
    begin = time.perf_counter()
    made = run(qemucmdline.HOOK, "before_vm_start", {"qemu_cmdline": f"[{','.join(arguments)}]".encode()})
    assert time.perf_counter() - begin < 2
    assert made.outcome == "rewritten"


def test_as_many_entries_as_a_value_holds() -> None:
    value = b"^".join(b"{'%d':''}" % number for number in range(350))
    begin = time.perf_counter()
    made = run(smbios.HOOK, "before_vm_start", {"smbios": value})
    assert time.perf_counter() - begin < 2
    assert made.outcome == "rewritten"


def test_odd_literals_leave_no_warnings() -> None:
    code = """if True:
        from lxml import etree
        from vdsm_hookd.hook import Call
        from vdsm_hookd.hooks import smbios
        from vdsm_hookd.networks import NetworkView
        value = rb"{'\\d': '\\q'}"
        call = Call("before_vm_start", {"smbios": value}, etree.Element("domain"), NetworkView({}, "", 0.0), None)
        print(smbios.set_entries(call))
    """
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\n", "")
