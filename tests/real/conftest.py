"""A real host as fixtures: libvirtd, guests, Linux bridges, Open vSwitch.

The daemons serve the whole session. Everything else belongs to one test and
ends with it, last made first, after libvirtd was brought back to life if the
test had stopped it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import libvirt
import pytest
from lxml import etree

from tests.real.guest import Guest, sample
from tests.real.hookd import Hookd, link_hook
from tests.real.host import Bridge, require_private_host
from tests.real.kinds import Kinds
from tests.real.libvirtd import Libvirtd, Network
from tests.real.makers import MakeBridge, MakeGuest, MakeHookd, MakeNetwork, StartNetwork
from tests.real.ovs import OpenVSwitch, OvsBridge
from tests.real.unit import HookdUnit
from tests.real.vdsm import ENGINE_BRIDGE, Vm, Vnic
from tests.real.vnics import StartVm
from vdsm_hookd.running import DUMMY_BRIDGE

# Interface names are short (15 characters) and unique per session.
_numbers = count(1)


@pytest.fixture(scope="session")
def private_host() -> None:
    """Fails, and does not skip: a skip would read as a pass in CI."""
    require_private_host()
    # libvirt prints every error on stderr, the expected ones too.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)


@pytest.fixture(scope="session")
def libvirtd_session(private_host: None) -> Iterator[Libvirtd]:
    daemon = Libvirtd()
    daemon.configure()
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def ovs(private_host: None) -> Iterator[OpenVSwitch]:
    switch = OpenVSwitch()
    switch.start()
    yield switch
    switch.stop()


@pytest.fixture
def libvirtd(libvirtd_session: Libvirtd) -> Iterator[Libvirtd]:
    """A libvirtd that serves; the test may stop, kill, freeze and restart it."""
    yield libvirtd_session
    libvirtd_session.revive()


@pytest.fixture
def cleanup(libvirtd: Libvirtd) -> Iterator[ExitStack]:
    """Where fixtures and tests enter what must go away after the test."""
    with ExitStack() as stack:
        yield stack
        libvirtd.revive()


@pytest.fixture
def make_bridge(cleanup: ExitStack) -> MakeBridge:
    """make_bridge(name=None): a new Linux bridge."""

    def make(name: str | None = None) -> Bridge:
        return cleanup.enter_context(Bridge(name or f"br-test{next(_numbers)}"))

    return make


@pytest.fixture
def bridge(make_bridge: MakeBridge) -> Bridge:
    return make_bridge()


@pytest.fixture
def engine_bridges(make_bridge: MakeBridge) -> None:
    """`ovirtmgmt` and `storage`, which the vNICs of domain.xml name."""
    make_bridge("ovirtmgmt")
    make_bridge("storage")


@pytest.fixture
def ovs_bridge(ovs: OpenVSwitch, cleanup: ExitStack) -> OvsBridge:
    return cleanup.enter_context(OvsBridge(ovs, f"ovs-test{next(_numbers)}"))


@pytest.fixture
def start_network(libvirtd: Libvirtd, cleanup: ExitStack) -> StartNetwork:
    """start_network(name, xml): a network, defined and started."""

    def start(name: str, xml: str) -> Network:
        return cleanup.enter_context(Network(libvirtd, name, xml))

    return start


@pytest.fixture
def make_network(start_network: StartNetwork) -> MakeNetwork:
    """make_network(name, bridge): a defined and started network on either kind of bridge."""

    def make(name: str, bridge: Bridge | OvsBridge) -> Network:
        kind = "network-ovs.xml" if isinstance(bridge, OvsBridge) else "network-glitter.xml"
        document = etree.fromstring(sample(kind).encode("utf-8"))
        _find(document, "name").text = name
        _find(document, "bridge").set("name", bridge.name)
        xml = str(etree.tostring(document, encoding="unicode"))
        return start_network(name, xml)

    return make


@pytest.fixture
def glitter(make_network: MakeNetwork, bridge: Bridge) -> Network:
    """The network `glitter`, which domain.xml asks for, on `bridge`."""
    return make_network("glitter", bridge)


@pytest.fixture
def ovs_network(make_network: MakeNetwork, ovs_bridge: OvsBridge) -> Network:
    """The network `ovs-net` on `ovs_bridge`, with the portgroup `lab-42` (VLAN 42)."""
    return make_network("ovs-net", ovs_bridge)


@pytest.fixture
def make_guest(libvirtd: Libvirtd, cleanup: ExitStack) -> MakeGuest:
    """make_guest(domain_xml): start it; see tests.real.guest.bootable."""

    def make(domain_xml: str) -> Guest:
        return cleanup.enter_context(Guest(libvirtd, domain_xml))

    return make


@pytest.fixture
def hooks_dir() -> Iterator[Path]:
    """For hooks that run as the vdsm user, who may not enter pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="hooks-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


def _find(document: etree._Element, name: str) -> etree._Element:
    element = document.find(name)
    assert element is not None, name
    return element


@pytest.fixture
def make_hookd(private_host: None, tmp_path: Path) -> Iterator[MakeHookd]:
    """make_hookd(uri, configuration="", start_deadline=20.0): the daemon under test, started."""
    started: list[Hookd] = []

    def make(uri: str, configuration: str = "", start_deadline: float = 20.0) -> Hookd:
        kind = HookdUnit if os.environ.get("HOOKD_UNDER_TEST") == "unit" else Hookd
        daemon = kind(tmp_path, uri, configuration)
        started.append(daemon)
        daemon.start(start_deadline)
        return daemon

    yield make
    for daemon in started:
        daemon.close()


@pytest.fixture
def kinds(libvirtd: Libvirtd, ovs_bridge: OvsBridge, cleanup: ExitStack, make_bridge: MakeBridge) -> Kinds:
    make_bridge(ENGINE_BRIDGE)
    make_bridge(DUMMY_BRIDGE)
    return Kinds(libvirtd, ovs_bridge, cleanup)


@pytest.fixture
def hooks(hooks_dir: Path) -> Path:
    """extnet and macspoof, linked as their packages do."""
    link_hook(hooks_dir)
    events = ("before_vm_start", "before_device_create", "before_nic_hotplug", "before_update_device")
    return link_hook(hooks_dir, "macspoof", events)


@pytest.fixture
def start_vm(hooks: Path, make_guest: MakeGuest) -> StartVm:
    """start_vm(*vnics, stock=False, **custom): a VM as vdsm runs it, with the hooks; see tests.real.vdsm.Vm."""

    def start(*vnics: Vnic, stock: bool = False, **custom: str) -> Vm:
        return Vm(hooks, make_guest, *vnics, stock=stock, **custom)

    return start


@pytest.fixture
def test_node(tmp_path: Path) -> str:
    """The URI of a private in-process libvirt that has the sample networks, all of them active."""
    node = tmp_path / "node.xml"
    networks = "".join(sample(f"network-{name}.xml") for name in ("glitter", "ovs", "wifi-nat"))
    node.write_text(f"<node>{networks}</node>")
    return f"test://{node}"


@pytest.fixture
def extnet(hooks_dir: Path) -> Path:
    """Hook directories with extnet in each that it serves."""
    return link_hook(hooks_dir)
