"""log_console and log_firmware, through the decision core: what comes out for which property and document."""

from __future__ import annotations

import pytest

from tests.unit.stock import (
    assert_becomes,
    assert_refused,
    commandline,
    domain,
    run,
)
from vdsm_hookd.hook import Hook
from vdsm_hookd.hooks import (
    log_console,
    log_firmware,
)
from vdsm_hookd.regex import Regex


def test_log_console_logs_the_first_serial_console() -> None:
    made = run(
        log_console.HOOK, domain("<devices><a/><serial><b/></serial><serial/></devices>"), {"log_console": b"on"}
    )
    log = '<log file="/var/log/libvirt/qemu/web-01-console.log" append="on"/>'
    assert_becomes(made, domain(f"<devices><a/><serial><b/>{log}</serial><serial/></devices>"))
    redirected = run(
        log_console.HOOK, domain('<devices><serial><log file="x"/></serial></devices>'), {"log_console": b"on"}
    )
    assert_becomes(redirected, domain(f"<devices><serial>{log}</serial></devices>"))


def test_log_console_without_a_serial_console() -> None:
    made = run(log_console.HOOK, domain("<devices/>"), {"log_console": b"on"})
    assert (made.outcome, made.notes) == ("unchanged", ("log_console: the VM has no serial console",))
    assert_refused(run(log_console.HOOK, domain(""), {"log_console": b"on"}), "bad-xml")


def test_log_firmware_adds_a_debug_console() -> None:
    made = run(log_firmware.HOOK, domain(commandline("-S")), {"log_firmware": b"on"})
    path = "file,id=firmware,path=/var/log/qemu-firmware/web-01-firmware.log"
    device = "isa-debugcon,iobase=0x402,chardev=firmware"
    assert_becomes(made, domain(commandline("-S", "-chardev", path, "-device", device)))
    made = run(log_firmware.HOOK, "<domain><name>a,b</name></domain>", {"log_firmware": b"on"}, directory="/log")
    assert b'"file,id=firmware,path=/log/a,,b-firmware.log"' in made.document


@pytest.mark.parametrize(
    ("properties", "regexp", "logs"),
    [
        ({"{}": b"off"}, "", False),
        ({"{}": b"off"}, "web", False),
        ({"{}": b"ON"}, "", False),
        ({"{}": b"\xff"}, "", False),
        ({"{}": b""}, "web-[0-9]+", True),
        ({}, "web", True),
        ({}, "db|web", True),
        ({}, "01", False),
        ({}, "web$", False),
        ({}, "", False),
        ({"{}_vm_regexp": b"."}, "", False),
    ],
)
@pytest.mark.parametrize("hook", [log_console.HOOK, log_firmware.HOOK], ids=["console", "firmware"])
def test_logging_by_the_vms_name(hook: Hook, properties: dict[str, bytes], regexp: str, logs: bool) -> None:
    named = {name.format(hook.name): value for name, value in properties.items()}
    vm_regexp = hook.options.__dataclass_fields__["vm_regexp"].metadata["parse"](regexp)  # type: ignore[attr-defined]
    assert vm_regexp is None or isinstance(vm_regexp, Regex)
    made = run(hook, domain("<devices><serial/></devices>"), named, vm_regexp=vm_regexp)
    assert made.outcome == ("rewritten" if logs else "unchanged")


@pytest.mark.parametrize("xml", ["<domain/>", "<domain><name/></domain>", "<domain><name>../x</name></domain>", "<a/>"])
@pytest.mark.parametrize("hook", [log_console.HOOK, log_firmware.HOOK], ids=["console", "firmware"])
def test_a_vm_whose_name_is_no_file_name(hook: Hook, xml: str) -> None:
    assert_refused(run(hook, xml, {hook.name: b"on"}), "bad-xml")


@pytest.mark.parametrize("value", ["log", "", "/a\0b"])
def test_a_log_directory_has_to_be_absolute(value: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        log_firmware.Options.__dataclass_fields__["directory"].metadata["parse"](value)
