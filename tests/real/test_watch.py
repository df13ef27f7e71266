"""The network view against a real libvirtd that changes, restarts, hangs and dies."""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults import held
from tests.real.guest import sample
from tests.real.hookd import Hookd, hookctl, hookctl_json, link_hook
from tests.real.host import Bridge
from tests.real.libvirtd import Libvirtd, Network
from tests.real.makers import MakeHookd, MakeNetwork
from tests.real.wait import wait_for
from tests.vdsm import HookRun, run_hooks

URI = "network:///system"
PATIENT = "[libvirt]\nask_timeout = 2s\n"
"""For what is to be seen once libvirt has answered, on a machine that may be busy."""
WATCHDOG = 3.0
"""Seconds; the unit's."""


def create(extnet: Path, value: str = "glitter") -> HookRun:
    return run_hooks(extnet, "before_device_create", sample("interface.xml"), {"extnet": value})


def code(run: HookRun) -> str:
    return run.stderr.split(": ")[1] if run.failed else ""


def add_portgroup(name: str) -> None:
    """A change of ovs-net that sends no event."""
    change = ["net-update", "ovs-net", "add", "portgroup", f"<portgroup name='{name}'/>", "--live"]
    subprocess.run(["virsh", "--connect", "qemu:///system", *change], check=True, capture_output=True)


def test_a_destroyed_and_a_restarted_network_are_seen_within_100_ms(make_hookd: MakeHookd, glitter: Network) -> None:
    """The median of ten, for the machine may be busy with something else in one of them."""
    hookd = make_hookd(URI, PATIENT)
    hookd.wait_states({"glitter": True})
    delays = []
    for _ in range(5):
        for change, expected in ((glitter.destroy, False), (glitter.start, True)):
            change()
            started = time.monotonic()
            hookd.wait_states({"glitter": expected}, deadline=5)
            delays.append(time.monotonic() - started)
    assert statistics.median(delays) < 0.1


def test_the_answers_follow_the_networks_state(make_hookd: MakeHookd, glitter: Network, extnet: Path) -> None:
    hookd = make_hookd(URI, PATIENT)
    assert code(create(extnet)) == ""
    glitter.destroy()
    hookd.wait_states({"glitter": False})
    assert code(create(extnet)) == "network-inactive"
    glitter.undefine()
    assert code(create(extnet)) == "network-missing"
    glitter.define()
    assert code(create(extnet)) == "network-inactive"
    glitter.start()
    assert code(create(extnet)) == ""


def test_libvirt_is_asked_before_a_refusal_where_no_event_came(
    make_hookd: MakeHookd, ovs_network: Network, libvirtd: Libvirtd, extnet: Path
) -> None:
    """net-update sends no event, and the next resync is far away."""
    hookd = make_hookd(URI, PATIENT + "resync = 1h\n")
    hookd.wait_states({"ovs-net": True})
    assert code(create(extnet, "ovs-net/new")) == "portgroup-missing"
    add_portgroup("new")
    assert code(create(extnet, "ovs-net/new")) == ""


def test_libvirt_is_asked_about_every_network_in_doubt(
    make_hookd: MakeHookd, glitter: Network, bridge: Bridge, libvirtd: Libvirtd, hooks_dir: Path
) -> None:
    """The second comes into doubt by what libvirt says of the first."""
    rewrite = (
        "[rewrite r]\nhook = r\nevents = before_device_create\nwhen =\n    property p present\n"
        "    network by-hand inactive\n    network by-hand-too inactive\nxpath = /interface/source\nset bridge = both\n"
    )
    hookd = make_hookd(URI, PATIENT + "resync = 1h\n" + rewrite)
    hookd.wait_states({"glitter": True})
    names = ("by-hand", "by-hand-too")
    files = [Path(f"/etc/libvirt/qemu/networks/{name}.xml") for name in names]
    xml = re.sub("<uuid>.*</uuid>", "", glitter.xml)
    for number, (name, file) in enumerate(zip(names, files)):
        file.write_text(xml.replace(">glitter<", f">{name}<").replace(bridge.name, f"br-by-hand{number}"))
    try:
        os.kill(libvirtd.pid, signal.SIGHUP)
        wait_for(lambda: all(map(libvirtd.knows, names)), "the reload of libvirtd")
        link_hook(hooks_dir, "r", ["before_device_create"])
        run = run_hooks(hooks_dir, "before_device_create", sample("interface.xml"), {"p": "1"})
        assert (run.stderr, '<source bridge="both"/>' in run.xml) == ("", True)
    finally:
        for file in files:
            file.unlink()
        libvirtd.restart()


def test_what_sends_no_event_is_seen_at_the_next_resync(make_hookd: MakeHookd, ovs_network: Network) -> None:
    hookd = make_hookd(URI, PATIENT + "resync = 200ms\n")
    hookd.wait_states({"ovs-net": True})
    add_portgroup("new")

    def portgroups() -> list[str]:
        (network,) = hookd.ask("networks", name="ovs-net")
        return [group["name"] for group in network["portgroups"]]

    wait_for(lambda: "new" in portgroups(), "the new portgroup", 2)
    held("silent-changes", 1, "net-update seen at the next resync")


def test_a_network_that_a_reload_of_libvirtd_picks_up_is_seen_at_the_next_resync(
    make_hookd: MakeHookd, glitter: Network, bridge: Bridge, libvirtd: Libvirtd, extnet: Path
) -> None:
    """Its file was put there by hand."""
    hookd = make_hookd(URI, PATIENT + "resync = 200ms\n")
    hookd.wait_states({"glitter": True})
    name = "by-hand"
    xml = glitter.xml.replace("<name>glitter</name>", f"<name>{name}</name>").replace(bridge.name, "br-by-hand")
    file = Path(f"/etc/libvirt/qemu/networks/{name}.xml")
    file.write_text(re.sub("<uuid>.*</uuid>", "", xml))
    try:
        os.kill(libvirtd.pid, signal.SIGHUP)
        wait_for(lambda: libvirtd.knows(name), "the reload of libvirtd")
        hookd.wait_states({name: False}, deadline=2)
        assert code(create(extnet, name)) == "network-inactive"
    finally:
        file.unlink()
        libvirtd.restart()
    held("silent-changes", 1, "a network from libvirtd's reload seen at the next resync")


def test_a_bridge_that_was_deleted_is_reported_and_its_network_stays_the_vnics_own(
    make_hookd: MakeHookd, glitter: Network, bridge: Bridge, extnet: Path
) -> None:
    """libvirt goes on to call the network active, and refuses to start a VM on it: see tests/real/test_host.py."""
    hookd = make_hookd(URI, PATIENT)
    hookd.wait_states({"glitter": True})
    check = ("check", "--host", f"--config={hookd.configuration}")
    assert "bridge-missing" not in hookctl(*check).stdout
    bridge.delete()
    (known,) = hookctl_json("networks", "glitter")
    assert (known["active"], known["bridge_present"]) == (True, False)
    (finding,) = [each for each in hookctl_json(*check)["findings"] if each["code"] == "bridge-missing"]
    assert (finding["where"], bridge.name in finding["what"]) == ("network glitter", True)
    run = create(extnet)
    assert (code(run), '<source network="glitter"/>' in run.xml) == ("", True)
    held("silent-changes", 1, "a deleted bridge reported as missing")


def test_a_restarted_libvirtd_is_found_again_and_nothing_leaks(
    make_hookd: MakeHookd, glitter: Network, libvirtd: Libvirtd, extnet: Path
) -> None:
    hookd = make_hookd(URI, PATIENT)
    hookd.wait_states({"glitter": True})

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{hookd.pid}/fd"))

    def connected() -> bool:
        return bool(hookd.ask("status")["libvirt"]["connected"])

    settled = descriptors()
    for _ in range(3):
        libvirtd.stop()
        wait_for(lambda: not connected(), "the loss noticed", 3)
        run = create(extnet)
        assert not run.failed  # from the last view, and marked as such
        hookd.wait_logged("decided from the network view of")
        assert code(create(extnet, "nowhere")) == "libvirt-unavailable"
        status = hookctl("status")
        assert status.returncode == 1
        assert "out of reach since" in status.stdout
        libvirtd.start()
        wait_for(connected, "connected again", 5)
        assert code(create(extnet, "nowhere")) == "network-missing"
    wait_for(lambda: descriptors() <= settled, lambda: f"{settled} descriptors, not {descriptors()}")


def test_a_network_that_a_restart_left_inactive_is_seen(
    make_hookd: MakeHookd, glitter: Network, libvirtd: Libvirtd, extnet: Path
) -> None:
    """libvirtd forgets a started network whose state file is gone, and sends no event for it."""
    hookd = make_hookd(URI, PATIENT)
    hookd.wait_states({"glitter": True})
    libvirtd.stop()
    for file in Path("/run/libvirt/network").glob("glitter.*"):
        file.unlink()
    libvirtd.start()
    hookd.wait_states({"glitter": False}, deadline=5)
    assert code(create(extnet)) == "network-inactive"
    held("silent-changes", 1, "inactive after a restart seen")


def quick(extnet: Path, hookd: Hookd, known: str) -> str:
    """Ask for a network that it knows, and for one that it does not, ten times each. What the answers took."""
    took = []
    for value, expected in ((known, ""), ("nowhere", "libvirt-unavailable")):
        runs = [create(extnet, value) for _ in range(10)]
        assert [code(run) for run in runs] == [expected] * 10
        seconds = [run.durations["50_extnet"] for run in runs]
        assert statistics.median(seconds) < 0.1
        took.append(max(seconds))
    return f"slowest answer {max(took) * 1000:.0f} ms"


def test_a_hanging_libvirtd_costs_no_request_more_than_its_deadline(
    make_hookd: MakeHookd, glitter: Network, libvirtd: Libvirtd, extnet: Path
) -> None:
    """The freeze lasts longer than the watchdog's time twice over."""
    hookd = make_hookd(URI)
    hookd.wait_states({"glitter": True})
    pid = hookd.pid
    libvirtd.sigstop()
    try:
        took = quick(extnet, hookd, "glitter")
        assert "libvirt did not answer within 80 ms" in create(extnet, "nowhere").stderr
        wait_for(lambda: not hookd.ask("status")["libvirt"]["connected"], "the hang noticed by the keepalive", 15)
        assert "keepalive" in hookd.ask("status")["degraded"]
        quick(extnet, hookd, "glitter")
    finally:
        libvirtd.sigcont()
    wait_for(lambda: hookd.ask("status")["libvirt"]["connected"], "in sync again", 5)
    assert code(create(extnet, "nowhere")) == "network-missing"
    assert hookd.pid == pid
    held("libvirt-stopped", 1, took)


def test_the_daemon_is_ready_though_libvirtd_hangs_from_before_its_start(
    make_hookd: MakeHookd, glitter: Network, libvirtd: Libvirtd, extnet: Path
) -> None:
    libvirtd.sigstop()
    try:
        hookd = make_hookd(URI, start_deadline=5)
        pid = hookd.pid
        runs = [create(extnet) for _ in range(10)]
        assert [code(run) for run in runs] == ["libvirt-unavailable"] * 10
        assert statistics.median(run.durations["50_extnet"] for run in runs) < 0.1
        assert hookctl().returncode == 1
        frozen_until = time.monotonic() + WATCHDOG * 1.5
        wait_for(lambda: time.monotonic() > frozen_until, "the watchdog's time", WATCHDOG * 2)
        libvirtd.sigcont()
        hookd.wait_states({"glitter": True}, deadline=5)
        assert code(create(extnet)) == ""
        assert hookd.pid == pid
    finally:
        libvirtd.sigcont()
    held("libvirt-stopped", 1, "READY without libvirt")


@pytest.mark.parametrize("down", [True, False])
def test_the_daemon_is_ready_without_any_libvirtd(
    make_hookd: MakeHookd, libvirtd: Libvirtd, make_network: MakeNetwork, bridge: Bridge, extnet: Path, down: bool
) -> None:
    make_network("late", bridge)
    if down:
        libvirtd.stop()
    hookd = make_hookd(URI, start_deadline=5)
    if down:
        assert code(create(extnet, "late")) == "libvirt-unavailable"
        libvirtd.start()
        hookd.wait_states({"late": True}, deadline=5)
    assert code(create(extnet, "late")) == ""
