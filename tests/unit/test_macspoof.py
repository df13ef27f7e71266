"""macspoof, through the decision core: what comes out for which property and document."""

from __future__ import annotations

import pytest

from tests.unit.stock import (
    CREATE,
    PLUG,
    START,
    UPDATE,
    assert_becomes,
    assert_refused,
    domain,
    run,
)
from vdsm_hookd.hooks import (
    macspoof,
)

FILTER, OTHER = '<filterref filter="vdsm-no-mac-spoofing"/>', '<filterref filter="clean-traffic"/>'
TRUE = [b"true", b"True", b"TRUE", b"1", b"-1", b" 7 ", b"+1", b"1_0"]
FALSE = [b"", b"false", b"0", b"00", b"on", b"yes", b" true", b"1.0", b"0x1", b"\xff", b"1" * 5000, b"\xff1"]


def vnic(inside: str) -> str:
    return f'<interface type="bridge">{inside}<link state="up"/></interface>'


@pytest.mark.parametrize("value", TRUE)
def test_macspoof_frees_all_vnics_of_a_vm(value: bytes) -> None:
    xml = domain(f"<devices>{vnic(FILTER)}{vnic(OTHER + FILTER)}{vnic('')}</devices>{FILTER}")
    made = run(macspoof.HOOK, xml, {"macspoof": value})
    assert_becomes(made, domain(f"<devices>{vnic('')}{vnic(OTHER)}{vnic('')}</devices>{FILTER}"))


@pytest.mark.parametrize("name", ["macspoof", "ifacemacspoof"])
@pytest.mark.parametrize("event", [CREATE, PLUG, UPDATE])
@pytest.mark.parametrize("value", TRUE)
def test_macspoof_frees_one_vnic(name: str, event: str, value: bytes) -> None:
    assert_becomes(run(macspoof.HOOK, vnic(FILTER), {name: value}, event), vnic(""))


@pytest.mark.parametrize("value", FALSE)
@pytest.mark.parametrize("event", [START, CREATE, PLUG, UPDATE])
def test_all_else_is_false(value: bytes, event: str) -> None:
    made = run(macspoof.HOOK, vnic(FILTER), {"macspoof": value, "ifacemacspoof": value}, event)
    assert made.outcome == "unchanged"


@pytest.mark.parametrize(
    ("vm", "profile", "event", "outcome"),
    [
        (b"true", b"false", CREATE, "rewritten"),
        (b"false", b"true", CREATE, "rewritten"),
        (b"false", b"true", START, "unchanged"),
        (b"true", b"false", START, "rewritten"),
    ],
)
def test_the_vms_word_or_the_profiles(vm: bytes, profile: bytes, event: str, outcome: str) -> None:
    made = run(macspoof.HOOK, vnic(FILTER), {"macspoof": vm, "ifacemacspoof": profile}, event)
    assert made.outcome == outcome


def test_only_a_vnics_own_filter_is_taken_off_and_the_text_around_it_stays() -> None:
    xml = f'<interface>\n  <nested>{FILTER}</nested>\n  {FILTER}\n  <link state="up"/>\n</interface>'
    made = run(macspoof.HOOK, xml, {"macspoof": b"1"}, PLUG)
    assert made.document.decode() == xml.replace(f"\n  {FILTER}", "\n  ")


def test_the_filters_are_configurable() -> None:
    made = run(macspoof.HOOK, vnic(FILTER + OTHER), {"macspoof": b"1"}, PLUG, filters=("clean-traffic", "x"))
    assert_becomes(made, vnic(FILTER))


def test_macspoof_of_the_vm_leaves_other_devices_alone_and_that_of_a_profile_needs_a_vnic() -> None:
    assert run(macspoof.HOOK, "<graphics/>", {"ifacemacspoof": b"1"}, UPDATE).outcome == "unchanged"
    for event in (CREATE, PLUG):
        assert run(macspoof.HOOK, "<graphics/>", {"macspoof": b"1"}, event).outcome == "unchanged"
        assert_refused(run(macspoof.HOOK, "<graphics/>", {"ifacemacspoof": b"1"}, event), "bad-xml")
        assert_refused(run(macspoof.HOOK, f"<x>{vnic('')}{vnic('')}</x>", {"ifacemacspoof": b"1"}, event), "bad-xml")
