"""smbios, through the decision core: what comes out for which property and document."""

from __future__ import annotations

import pytest

from tests import documents
from tests.unit.stock import (
    LITERALS,
    assert_becomes,
    assert_refused,
    domain,
    run,
)
from vdsm_hookd.hooks import (
    smbios,
)


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        (
            "{'serial': '1234'}^{'vendor': 'oVirt'}",
            "",
            '<sysinfo type="smbios"><system><entry name="serial">1234</entry></system>'
            '<bios><entry name="vendor">oVirt</entry></bios></sysinfo>',
        ),
        (
            "{'serial': 'new'}",
            '<sysinfo type="smbios"><system><entry name="a"/><entry name="serial">old</entry></system></sysinfo>',
            '<sysinfo type="smbios"><system><entry name="a"/><entry name="serial">new</entry></system></sysinfo>',
        ),
        (
            " {'a': '1'} ^ {'a': '2'} ^ {\"version\": u'<&>'}",
            '<sysinfo type="fwcfg"/><sysinfo type="smbios"><bios/></sysinfo>',
            '<sysinfo type="fwcfg"/><sysinfo type="smbios"><bios><entry name="version">&lt;&amp;&gt;</entry></bios>'
            '<system><entry name="a">2</entry></system></sysinfo>',
        ),
        (
            "{'x': ''}",
            '<sysinfo type="smbios"><system><entry name="x">a<!--b--></entry></system></sysinfo>',
            '<sysinfo type="smbios"><system><entry name="x"></entry></system></sysinfo>',
        ),
    ],
)
def test_smbios_sets_entries(value: str, before: str, after: str) -> None:
    assert_becomes(run(smbios.HOOK, domain(before), {"smbios": value.encode()}), domain(after))


def test_an_entry_that_has_its_value_is_left_alone() -> None:
    made = run(smbios.HOOK, documents.read("domain.xml"), {"smbios": b"{'manufacturer': 'oVirt'}"})
    assert made.outcome == "unchanged"


@pytest.mark.parametrize(
    "value",
    [
        *LITERALS,
        b"^",
        b"{'a': 'b'}^",
        b"{'a': 'b', 'c': 'd'}",
        b"{'a': '^'}",
        b"{}",
        b"{'a': '\\0'}",
        b"{'\\ud800': ''}",
    ],
)
def test_a_bad_smbios(value: bytes) -> None:
    assert_refused(run(smbios.HOOK, domain(""), {"smbios": value}), "bad-property")
