"""qemucmdline, through the decision core: what comes out for which property and document."""

from __future__ import annotations

import pytest

from tests.unit.stock import (
    QEMU,
    assert_becomes,
    assert_refused,
    commandline,
    domain,
    run,
)
from vdsm_hookd import options
from vdsm_hookd.hooks import (
    qemucmdline,
)


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        (b'["-cdrom", "/path/to.iso"]', ["-cdrom", "/path/to.iso"]),
        (b' [ "-S"\n,\t"-no-hpet" ]\r\n', ["-S", "-no-hpet"]),
        (b'["-append", "a=<&> \\u00e4"]', ["-append", "a=&lt;&amp;&gt; ä"]),
        ('["-name", "ü"]'.encode(), ["-name", "ü"]),
        (b'["-smbios", "a\\tb\\nc"]', ["-smbios", "a&#9;b&#10;c"]),
        (b'[""]', [""]),
        (b"[]", []),
    ],
)
def test_qemu_gets_the_arguments(value: bytes, arguments: list[str]) -> None:
    made = run(qemucmdline.HOOK, domain("<devices/>"), {"qemu_cmdline": value})
    assert_becomes(made, domain("<devices/>" + commandline(*arguments)))
    assert made.document.count(f'xmlns:qemu="{QEMU}"'.encode()) == 1


def test_a_command_line_that_is_there_is_extended() -> None:
    made = run(qemucmdline.HOOK, domain(commandline("-S") + "<devices/>"), {"qemu_cmdline": b'["-d", "int"]'})
    assert_becomes(made, domain(commandline("-S", "-d", "int") + "<devices/>"))


def test_a_namespace_that_the_root_declares_is_used() -> None:
    made = run(qemucmdline.HOOK, f'<domain xmlns:qemu="{QEMU}"/>', {"qemu_cmdline": b'["-S"]'})
    assert_becomes(
        made, f'<domain xmlns:qemu="{QEMU}"><qemu:commandline><qemu:arg value="-S"/></qemu:commandline></domain>'
    )


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"-S",
        b'"-S"',
        b'{"-S": "x"}',
        b"null",
        b"['-S']",
        b'["-S", 1]',
        b'["-S", null]',
        b'["-S", ["x"]]',
        b'["-S"',
        b'["-S"] x',
        b'["\xff"]',
        b'["\\ud800"]',
        b'["\\u0000"]',
        b'["\\u001b"]',
        b'["\\ufffe"]',
        b'["a\x01"]',
        b"[" * 100_000,
        b"[" + b"1" * 120_000 + b"]",
        b'["' + b"a" * (128 * 1024) + b'"]',
    ],
)
def test_anything_but_a_list_of_strings_is_a_bad_property(value: bytes) -> None:
    assert_refused(run(qemucmdline.HOOK, domain(""), {"qemu_cmdline": value}), "bad-property")


@pytest.mark.parametrize(
    ("allow", "deny", "value", "allowed"),
    [
        ("*", "-device -drive", b'["-cdrom", "x"]', True),
        ("*", "-device -drive", b'["-S", "-device", "x"]', False),
        ("*", "-device -drive", b'["--device", "x"]', False),
        ("*", "-net*", b'["-netdev", "x"]', False),
        ("*", "-net*", b'["-cdrom", "netdev"]', True),
        ("-cpu -smp", "", b'["-cpu", "host", "--smp", "4"]', True),
        ("-cpu -smp", "", b'["-cpu", "host", "-device", "x"]', False),
        ("-cpu -smp", "", b'["-cpu", "host", "/etc/shadow"]', False),
        ("-cpu -hda", "", b'["-cpu", "host", "/a.img"]', True),
        ("-cpu -smp", "", b'["/etc/shadow"]', False),
        ("*", "-hda", b'["/etc/shadow"]', False),
        ("-cpu", "-cpu", b'["-cpu", "host"]', False),
        ("*", "device net*", b'["-device", "x"]', False),
        ("*", "device net*", b'["--netdev", "x"]', False),
        ("cpu", "", b'["-cpu", "host"]', True),
        ("", "", b'["-cpu", "host"]', False),
        ("", "", b"[]", True),
        ("-cpu", "", b'["-cpu\\n-device", "x"]', False),
    ],
)
def test_qemus_options_can_be_limited(allow: str, deny: str, value: bytes, allowed: bool) -> None:
    made = run(
        qemucmdline.HOOK,
        domain(""),
        {"qemu_cmdline": value},
        allow=options.globs(allow),
        deny=options.globs(deny),
    )
    if allowed:
        assert made.outcome == "rewritten"
    else:
        assert_refused(made, "option-not-allowed")
