"""allocate_net, through the decision core: what comes out for which property and document."""

from __future__ import annotations

import pytest

from tests.unit.stock import (
    CREATE,
    assert_becomes,
    assert_refused,
    run,
)
from vdsm_hookd.hook import Hook
from vdsm_hookd.hooks import (
    allocate_net,
    boot_hostdev,
    cpuflags,
    diskunmap,
    httpsisoboot,
    macbind,
    qemucmdline,
    smbios,
    spiceoptions,
)


def nic(network: str, mac: int = 1) -> str:
    return f'<interface><mac address="52:54:00:00:00:{mac:02x}"/><source bridge="{network}" x="y"/></interface>'


def test_allocate_net_chooses_one_of_the_networks() -> None:
    assert_becomes(run(allocate_net.HOOK, nic("meta"), {"equivnets": b"  red\t"}, CREATE), nic("red"))
    chosen = {
        run(allocate_net.HOOK, nic("meta", mac), {"equivnets": b"red green  blue"}, CREATE).document
        for mac in range(60)
    }
    assert {network for network in ("red", "green", "blue", "meta") if network in str(chosen)} == {
        "red",
        "green",
        "blue",
    }
    assert len(chosen) == 60


def test_a_vnic_keeps_its_network() -> None:
    made = [run(allocate_net.HOOK, nic(old), {"equivnets": b"red green blue"}, CREATE) for old in ("a", "a", "b")]
    assert len({each.document for each in made}) == 1
    assert run(allocate_net.HOOK, made[0].document, {"equivnets": b"red green blue"}, CREATE).outcome == "unchanged"
    no_mac = '<interface><source bridge="meta"/></interface>'
    assert run(allocate_net.HOOK, no_mac, {"equivnets": b"red green"}, CREATE).outcome == "rewritten"


@pytest.mark.parametrize("value", [b"", b" ", "\u3000".encode(), b"\xff", b"a\x01b", b"a\0", b"a " * 2100])
def test_bad_equivnets(value: bytes) -> None:
    assert_refused(run(allocate_net.HOOK, nic("meta"), {"equivnets": value}, CREATE), "bad-property")


def test_a_source_needs_an_attribute() -> None:
    assert_refused(run(allocate_net.HOOK, "<interface><source/></interface>", {"equivnets": b"a"}, CREATE), "bad-xml")


@pytest.mark.parametrize(
    ("hook", "properties"),
    [
        (qemucmdline.HOOK, {"qemu_cmdline": b"[]"}),
        (macbind.HOOK, {"macbind": b"{}"}),
        (smbios.HOOK, {"smbios": b"{'a': 'b'}"}),
        (spiceoptions.HOOK, {"spiceoptions": b"{}"}),
        (cpuflags.HOOK, {"cpuflags": b"+a"}),
        (diskunmap.HOOK, {"diskunmap": b"on"}),
        (httpsisoboot.HOOK, {"httpsisoboot": b"https://s/a"}),
        (boot_hostdev.HOOK, {"boot_hostdev": b"usb_usb1"}),
    ],
    ids=lambda value: value.name if isinstance(value, Hook) else "",
)
def test_what_belongs_to_a_domain_refuses_other_documents(hook: Hook, properties: dict[str, bytes]) -> None:
    assert_refused(run(hook, "<interface/>", properties), "bad-xml")
