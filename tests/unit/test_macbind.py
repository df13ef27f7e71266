"""macbind, through the decision core: what comes out for which property and document."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stock import (
    LITERALS,
    assert_becomes,
    assert_refused,
    domain,
    run,
)
from vdsm_hookd.hooks import (
    macbind,
)
from vdsm_hookd.host import Host

MAC = '<mac address="00:1A:4a:60:d1:9a"/>'


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with one Linux bridge, one bridge of Open vSwitch and one network card."""
    (tmp_path / "class/net/br0/bridge").mkdir(parents=True)
    (tmp_path / "class/net/ovsbr0").mkdir()
    (tmp_path / "class/net/eth0").mkdir()
    (tmp_path / "openvswitch").mkdir()
    (tmp_path / "openvswitch/ovsbr0.mgmt").touch()
    return Host(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("{'00:1a:4a:60:d1:9a': 'br0'}", f'{MAC}<source bridge="x"/><a/>', f'{MAC}<a/><source bridge="br0"/>'),
        (
            "{'00:1A:4A:60:D1:9A':'ovsbr0'}",
            f'<source bridge="x" dev="y"/>{MAC}',
            f'{MAC}<source bridge="ovsbr0"/><virtualport type="openvswitch"/>',
        ),
        (
            "{'00:1a:4a:60:d1:9a': 'ovsbr0', '00:00:00:00:00:01': 'br0'}",
            f'{MAC}<source bridge="x"/><virtualport type="openvswitch"/>',
            f'{MAC}<virtualport type="openvswitch"/><source bridge="ovsbr0"/>',
        ),
    ],
)
def test_macbind_binds_vnics_to_bridges(host: Host, value: str, before: str, after: str) -> None:
    rest = '<interface type="hostdev"><source/></interface><interface><mac address="52:54:00:00:00:01"/></interface>'
    made = run(macbind.HOOK, domain(f"{rest}<interface>{before}</interface>"), {"macbind": value.encode()}, host=host)
    assert_becomes(made, domain(f"{rest}<interface>{after}</interface>"))


def test_a_mac_address_that_no_vnic_has_is_noted(host: Host) -> None:
    made = run(macbind.HOOK, domain(""), {"macbind": b"{'00:00:00:00:00:01': 'br0'}"}, host=host)
    assert made.outcome == "unchanged"
    assert "00:00:00:00:00:01" in made.notes[0]
    assert run(macbind.HOOK, domain(""), {"macbind": b"{}"}, host=host).notes == ()


@pytest.mark.parametrize("value", [*LITERALS, b"{'a': 'b'}^{}", b"{'a': '../br0'}", b"{'a': 'eth0'}", b"{'a': 'gone'}"])
def test_a_bad_macbind(host: Host, value: bytes) -> None:
    assert_refused(run(macbind.HOOK, domain(""), {"macbind": value}, host=host), "bad-property")


def test_macbind_needs_a_source(host: Host) -> None:
    xml = domain(f"<interface>{MAC}</interface>")
    assert_refused(run(macbind.HOOK, xml, {"macbind": b"{'00:1a:4a:60:d1:9a': 'br0'}"}, host=host), "bad-xml")
