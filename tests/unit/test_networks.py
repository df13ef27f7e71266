"""libvirt's network XML as values."""

from __future__ import annotations

import pytest

from tests import documents
from vdsm_hookd import document, networks


def parsed(xml: str) -> networks.Network:
    return networks.parse(xml, active=True, persistent=True, autostart=False)


@pytest.mark.parametrize(
    ("name", "forward", "bridge", "virtualport"),
    [
        ("glitter", "bridge", "br-glitter", ""),
        ("ovs-net", "bridge", "ovsbr0", "openvswitch"),
        ("wifi-nat", "nat", "virbr7", ""),
    ],
)
def test_the_samples(name: str, forward: str, bridge: str, virtualport: str) -> None:
    network = documents.network(name)
    assert (network.name, network.forward, network.bridge, network.virtualport) == (name, forward, bridge, virtualport)


def test_forward_modes_that_are_not_written_out() -> None:
    assert parsed("<network><name>n</name></network>").forward == "isolated"
    assert parsed("<network><name>n</name><forward/></network>").forward == "nat"


def test_a_portgroups_own_virtualport_wins() -> None:
    network = parsed(
        "<network><name>n</name><virtualport type='openvswitch'/>"
        "<portgroup name='a'><virtualport type='802.1Qbh'/></portgroup><portgroup name='b' default='yes'/></network>"
    )
    assert [network.virtualport_for(name) for name in ("a", "b", "", "missing")] == [
        "802.1Qbh",
        "openvswitch",
        "openvswitch",
        "openvswitch",
    ]
    assert network.portgroup("missing") is None


@pytest.mark.parametrize("xml", ["", "<network>", "<!DOCTYPE network><network/>"])
def test_what_is_no_network(xml: str) -> None:
    with pytest.raises(document.BadDocument):
        parsed(xml)
