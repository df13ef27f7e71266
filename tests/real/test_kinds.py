"""A vNIC with every content on every kind of network, at start and at hotplug, with a real guest each."""

from __future__ import annotations

import re
from functools import partial
from typing import Callable

import libvirt
import pytest

from tests.real.kinds import KINDS, LINUX_BRIDGES, NOT_HERE, Kinds
from tests.real.makers import MakeHookd
from tests.real.vdsm import ENGINE_BRIDGE, Vm, Vnic
from tests.real.vnics import CONFIGURATION, FILTER, URI, StartVm, new_mac, numbered, place, table, vnic

# What the Engine may write into a vNIC; each on each kind of network.
CONTENTS: dict[str, dict[str, object]] = {
    "plain": {},
    "filterref": {"filter": FILTER},
    "isolated": {"isolated": True},
    "both": {"filter": FILTER, "isolated": True},
    "mtu": {"mtu": 9000},
    "queues": {"content": '<driver name="vhost" queues="2"/>'},
    "bandwidth": {"content": '<bandwidth><inbound average="1000"/><outbound average="1000"/></bandwidth>'},
    "boot order": {"content": '<boot order="{number}"/>'},
    "link down": {"link": "down"},
}


def tried(action: Callable[[], str], home: str) -> str:
    """`ok` where a vNIC ends up at home; else where it is, or what libvirt says."""
    try:
        found = action()
    except libvirt.libvirtError as error:
        return str(error)
    return "ok" if found == home else f"is on {found}"


@pytest.mark.timeout(300)
def test_every_content_starts_and_is_plugged_on_every_kind(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm, capsys: pytest.CaptureFixture[str]
) -> None:
    """What this kernel can't do on the Engine's own bridge either is not run, and the table says so."""
    make_hookd(URI, CONFIGURATION)
    rows: dict[str, list[str]] = {kind: [] for kind in KINDS}
    remarks = []

    def started(*of: Vnic) -> dict[str, str]:
        with start_vm(*of) as vm:
            return {each.mac: place(kinds, vm, each) for each in of}

    def start(of: Vnic) -> str:
        return started(of)[of.mac]

    def all_started(*of: Vnic) -> str:
        return str(started(*of))

    def plug(into: Vm, of: Vnic) -> str:
        into.plug(of)
        return place(kinds, into, of)

    for name, content in CONTENTS.items():
        engines = [Vnic(new_mac(), **numbered(content, 11)) for _ in range(2)]
        vnics = {kind: vnic(kind, number, **content) for number, kind in enumerate(KINDS, start=1)}
        unable = {_words(tried(partial(start, engines[0]), ENGINE_BRIDGE))}
        homes = {of.mac: kinds.home(kind) for kind, of in vnics.items()}
        together = tried(partial(all_started, *vnics.values()), str(homes))
        cells = {
            # Alone, where they do not start together: to see which does not.
            kind: [together if together == "ok" else tried(partial(start, of), kinds.home(kind))]
            for kind, of in vnics.items()
        }
        # With a boot order at the start, or none could be plugged.
        with start_vm(Vnic(new_mac(), content='<boot order="12"/>')) as host:
            unable.add(_words(tried(partial(plug, host, engines[1]), ENGINE_BRIDGE)))
            for number, kind in enumerate(KINDS, start=1):
                of = vnic(kind, number, **content)
                cells[kind].append(tried(partial(plug, host, of), kinds.home(kind)))
        remarks += [f"-: {name} on the Engine's bridge, too: {why}" for why in unable if why != "ok"]
        for kind in KINDS:
            rows[kind].append("/".join("-" if _words(cell) in unable - {"ok"} else cell for cell in cells[kind]))
    shown = {**rows, **{kind: [why] + [""] * (len(CONTENTS) - 1) for kind, why in NOT_HERE.items()}}
    with capsys.disabled():
        print(table("started/plugged, each with a real guest (-: not run)", CONTENTS, shown), *remarks, sep="\n")
    for kind, row in rows.items():
        for name, cell in zip(CONTENTS, row):
            allowed = {"ok/ok", "ok/-", "-/ok", "-/-"} if name == "bandwidth" else {"ok/ok"}
            assert cell in allowed, (kind, name)


def _words(cell: str) -> str:
    """What went wrong, whichever device it was."""
    return " ".join(re.sub(r"\w*\d\w*", "N", cell).split())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LINUX_BRIDGES])
def test_what_does_not_fit_is_refused_or_kept_as_configured(
    make_hookd: MakeHookd, kinds: Kinds, start_vm: StartVm, kind: str
) -> None:
    hookd = make_hookd(URI, f"{CONFIGURATION}[extnet]\nincompatible = refuse\n")
    title = "Open vSwitch" if kind == "openvswitch" else "macvtap"
    for content in ({"filter": FILTER}, {"isolated": True}):
        with pytest.raises(AssertionError, match=f"unsupported-interface: network '{kind}' is {title}"):
            start_vm(vnic(kind, **content))
    hookd.configuration.write_text(f"{CONFIGURATION}[extnet]\nincompatible = keep\n")
    hookd.ask("reload")
    for content in ({"filter": FILTER}, {"isolated": True}):
        with pytest.raises(libvirt.libvirtError, match="is not supported for network interfaces"):
            start_vm(vnic(kind, **content))
