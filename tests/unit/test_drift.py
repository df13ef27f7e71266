"""Where a vNIC was declared to be, and where it is."""

from __future__ import annotations

import pytest

from tests import documents
from vdsm_hookd.drift import Drift, Vnic, judge, vnics

VIEW = documents.view(documents.network("glitter"), documents.network("ovs-net"))
MAC = "56:6f:1a:2b:00:04"


def vnic(source: str, custom: str = "<o:extnet>glitter</o:extnet>", of_vm: str = "", mac: str = MAC.upper()) -> Vnic:
    xml = f"""<domain xmlns:o="http://ovirt.org/vm/1.0"><name>web-01</name><uuid>u</uuid>
        <metadata><o:vm><o:custom>{of_vm}</o:custom><o:device devtype="disk" name="sda"/>
        <o:device mac_address="{mac}"><o:network>storage</o:network><o:custom>{custom}</o:custom></o:device></o:vm>
        </metadata><devices><interface type="bridge"><mac address="{MAC}"/>{source}</interface></devices></domain>"""
    (found,) = vnics(xml.encode())
    return found


@pytest.mark.parametrize(
    "found",
    [
        vnic('<source network="glitter" portid="p" bridge="br-glitter"/>'),
        vnic('<source bridge="br-glitter"/>'),
        vnic('<source network="other" bridge="br-glitter"/>'),
        vnic('<source network="ovs-net" portgroup="lab-42"/>', "<o:extnet> ovs-net/lab-42 </o:extnet>"),
        vnic('<source network="ovs-net" portgroup="lab-42"/>', "<o:extnet>ovs-net</o:extnet>"),
        vnic('<source bridge="anything"/>', ""),
        vnic('<source bridge="anything"/>', "<o:other>1</o:other>"),
        vnic('<source bridge="anything"/>', mac="56:6f:1a:2b:00:05"),
        vnic('<source network="glitter"/>', of_vm="<o:extnet>glitter</o:extnet>"),
        vnic('<source network="glitter"/>', "", of_vm="<o:extnet>glitter</o:extnet>"),
    ],
)
def test_a_vnic_that_is_where_it_was_declared_is_no_drift(found: Vnic) -> None:
    assert judge(found, VIEW, {}) is None


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (vnic('<source bridge="ovirtmgmt"/>'), "web-01 56:6f:1a:2b:00:04 declared glitter, is on ovirtmgmt"),
        (vnic(""), "web-01 56:6f:1a:2b:00:04 declared glitter, is on no network"),
        (
            vnic('<source network="ovs-net" portgroup="engineering"/>', "<o:extnet>ovs-net/lab-42</o:extnet>"),
            "web-01 56:6f:1a:2b:00:04 declared ovs-net/lab-42, is on ovs-net/engineering",
        ),
        (
            vnic('<source network="glitter"/>', of_vm="<o:extnet>ovs-net</o:extnet>"),
            "web-01 56:6f:1a:2b:00:04 declared ovs-net, is on glitter",
        ),
        (
            vnic('<source bridge="ovirtmgmt"/>', "", of_vm="<o:extnet>glitter</o:extnet>"),
            "web-01 56:6f:1a:2b:00:04 declared glitter, is on ovirtmgmt",
        ),
        (
            vnic('<source bridge="x"/>', "<o:extnet>a&#10;b</o:extnet>"),
            "web-01 56:6f:1a:2b:00:04 declared 'a\\nb', is on x",
        ),
    ],
)
def test_a_vnic_that_is_elsewhere_is_told_of(found: Vnic, text: str) -> None:
    drift = judge(found, VIEW, {})
    assert drift is not None
    assert drift.text == text


def test_the_map_declares_where_no_property_does() -> None:
    mapped = {"storage": "glitter"}
    there, elsewhere = vnic('<source network="glitter"/>', ""), vnic('<source bridge="storage"/>', "")
    assert judge(there, VIEW, mapped) is None
    assert judge(elsewhere, VIEW, mapped) == Drift("web-01", "u", MAC, "glitter", "storage")
    assert judge(vnic('<source network="ovs-net"/>', "<o:extnet>ovs-net</o:extnet>"), VIEW, mapped) is None


def test_the_sample_domain() -> None:
    first, second = vnics(documents.read("domain.xml"))
    assert (first.extnet, first.engine_network, first.bridge) == ("glitter", "ovirtmgmt", "ovirtmgmt")
    assert (second.extnet, second.engine_network, second.bridge) == ("", "storage", "storage")


def test_the_two_of_a_failover_pair_are_told_apart_by_their_alias() -> None:
    def device(alias: str, extnet: str) -> str:
        custom = f"<o:custom><o:extnet>{extnet}</o:extnet></o:custom>"
        return f'<o:device alias="{alias}" mac_address="{MAC}">{custom}</o:device>'

    def interface(alias: str, network: str) -> str:
        return (
            f'<interface type="bridge"><mac address="{MAC}"/><source network="{network}"/><alias name="{alias}"/>'
            "</interface>"
        )

    xml = (
        '<domain xmlns:o="http://ovirt.org/vm/1.0"><name>n</name><metadata><o:vm>'
        f"{device('ua-a', 'glitter')}{device('ua-b', 'ovs-net')}</o:vm></metadata><devices>"
        f"{interface('ua-a', 'glitter')}{interface('ua-b', 'glitter')}</devices></domain>"
    )
    first, second = (judge(found, VIEW, {}) for found in vnics(xml.encode()))
    assert first is None
    assert second is not None
    assert (second.declared, second.actual) == ("ovs-net", "glitter")
