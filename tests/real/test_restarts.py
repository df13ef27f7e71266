"""libvirtd restarted again and again under one daemon."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults import FULL, held
from tests.real.guest import sample
from tests.real.hookd import Hookd
from tests.real.libvirtd import Libvirtd, Network
from tests.real.makers import MakeHookd
from tests.real.wait import wait_for
from tests.vdsm import run_hooks

TIMES = 200 if FULL else 60
SETTLE = 20
"""Restarts after which the daemon has made all that it keeps."""
MAX_GROWTH = 5 * 1024  # KiB
FRESH = 2.0
"""Seconds after the reconnect from which no answer may be stale."""
AUTOSTART = Path("/etc/libvirt/qemu/networks/autostart/glitter.xml")
STATE = Path("/run/libvirt/network")


def memory(pid: int) -> int:
    """Resident, in KiB."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def change_while_down(active: bool) -> None:
    """libvirtd forgets what it ran, so its next start makes the network active or leaves it inactive: without an
    event."""
    for file in (*STATE.glob("glitter.*"), *STATE.glob("autostarted")):  # the latter says that this boot had its turn
        file.unlink()
    if active:
        AUTOSTART.parent.mkdir(exist_ok=True)
        AUTOSTART.symlink_to("../glitter.xml")
    else:
        AUTOSTART.unlink(missing_ok=True)


@pytest.mark.timeout(600)
def test_restarts_of_libvirtd_leak_nothing_and_no_answer_is_stale(
    make_hookd: MakeHookd, glitter: Network, libvirtd: Libvirtd, extnet: Path
) -> None:
    """Each leaves the network in the other state."""
    hookd = make_hookd("network:///system", "[libvirt]\nask_timeout = 2s\n")
    hookd.wait_states({"glitter": True})
    settled = most = (0, 0)
    slowest = 0.0
    try:
        for number in range(TIMES):
            active = bool(number % 2)
            before = _link(hookd)["reconnects"]
            libvirtd.stop()
            change_while_down(active)
            libvirtd.start()
            wait_for(lambda known=before: _link(hookd)["reconnects"] > known, "connected again", 5)  # type: ignore[misc]
            connected = time.monotonic()
            hookd.wait_states({"glitter": active}, deadline=FRESH)
            wait_for(lambda: _link(hookd)["connected"], "the view confirmed", FRESH)
            slowest = max(slowest, time.monotonic() - connected)
            run = run_hooks(extnet, "before_device_create", sample("interface.xml"), {"extnet": "glitter"})
            assert (run.failed, "network-inactive" in run.stderr) == (not active, not active), run.stderr
            if number == SETTLE:
                settled = (descriptors(hookd.pid), memory(hookd.pid))
        most = (descriptors(hookd.pid), memory(hookd.pid))
    finally:
        AUTOSTART.unlink(missing_ok=True)
    assert most[0] <= settled[0]
    assert most[1] - settled[1] < MAX_GROWTH
    held("libvirt-restarted", TIMES, f"{most[1] - settled[1]:+d} KiB, fresh after {slowest:.2f} s at most")


def _link(hookd: Hookd) -> Any:
    return hookd.ask("status")["libvirt"]
