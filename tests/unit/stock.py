"""What the tests of the stock hooks share: one hook, one document, one decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lxml import etree

from tests import documents
from vdsm_hookd.decision import Decision, Request, decide
from vdsm_hookd.hook import Hook
from vdsm_hookd.host import Host
from vdsm_hookd.policy import Policy, Rule

START, CREATE, PLUG, UPDATE = ("before_vm_start", "before_device_create", "before_nic_hotplug", "before_update_device")
NOWHERE = Host(Path("/nonexistent"), Path("/nonexistent"))
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


def run(
    hook: Hook,
    xml: str | bytes,
    properties: dict[str, bytes],
    event: str = START,
    host: Host = NOWHERE,
    **configured: Any,
) -> Decision:
    chosen = hook.options(**configured)
    policy = Policy([Rule(hook, chosen, "here", always=hook.always(chosen))])
    document = xml.encode() if isinstance(xml, str) else xml
    request = Request(event, hook.name, {**properties, "vmId": documents.VM_ID.encode()}, document)
    return decide(request, policy, documents.view(), host)


def canonical(xml: str | bytes) -> str:
    return etree.tostring(etree.fromstring(xml), method="c14n").decode()


def assert_becomes(made: Decision, expected: str) -> None:
    assert made.outcome == "rewritten", made.message
    assert canonical(made.document) == canonical(expected)


def assert_refused(made: Decision, code: str) -> None:
    assert (made.outcome, made.code) == ("refused", code)
    assert made.message.isascii()
    assert made.message.isprintable()


def domain(inside: str) -> str:
    return f"<domain><name>web-01</name><uuid>{documents.VM_ID}</uuid>{inside}</domain>"


LITERALS = [
    b"",
    b"x",
    b"{",
    b"1",
    b"[]",
    b"None",
    b"{1: 2}",
    b"{'a': 1}",
    b"{1: 'a'}",
    b"{'a': ['b']}",
    b"{[]: 1}",
    b"{{}: 1}",
    b"\xff",
    b"{'a': 'b'",
    b"{'a': 'b'}\n",
    b"__import__('os')",
    b"{'a': open('/etc/passwd')}",
    b"{'a': f'{1}'}",
    b"{'a': 'b' * 9}",
    b"{**{}}",
    b"(" * 2000,
    b"[" * 150 + b"]" * 150,
    b"-" * 4000 + b"1",
    b"~" * 4000 + b"1",
    b"not " * 1000 + b"1",
    b"{'a':" * 600,
    b"1+" * 2000 + b"1",
    b"9" * 4096,
    b"'" + b"a" * 4096 + b"'",
    b"9**9**9",
]


def commandline(*arguments: str) -> str:
    values = "".join(f"<qemu:arg value={argument!r}/>" for argument in arguments)
    return f'<qemu:commandline xmlns:qemu="{QEMU}">{values}</qemu:commandline>'
