"""The wall clock jumps: nothing that the daemon waits for or judges goes by it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from tests.faults import held
from tests.real.guest import sample
from tests.real.hookd import Hookd, hookctl, hookctl_json
from tests.real.libvirtd import Libvirtd, Network
from tests.real.peer import connected
from tests.vdsm import run_hooks

pytestmark = pytest.mark.own_process

DAY = 86_400
JUMPS = (DAY, -DAY, 3600, 0)
"""Seconds that the daemon's wall clock is off."""
PING = 0.2  # seconds


class Clock:
    """The wall clock of a process: the real one, and off by so many seconds. No process may set the machine's."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "offset"
        self.set(0)
        places = (*Path("/usr/lib").glob("*/faketime"), Path("/usr/lib64/faketime"))  # Debian's, EL's
        library = next(file for folder in places if (file := folder / "libfaketimeMT.so.1").exists())
        self.environment = (
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={self._offset}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "DONT_FAKE_MONOTONIC=1",
        )

    def set(self, offset: int) -> None:
        new = self._offset.with_suffix(".new")
        new.write_text(f"{offset:+d}\n")
        new.replace(self._offset)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def start(libvirtd: Libvirtd, glitter: Network, clock: Clock, tmp_path: Path) -> Iterator[Callable[[str], Hookd]]:
    """start(resync): the daemon on that clock, with libvirtd on the real one."""
    started: list[Hookd] = []

    def start(resync: str) -> Hookd:
        environment = [*clock.environment, f"WATCHDOG_USEC={2 * PING * 1e6:.0f}"]
        daemon = Hookd(tmp_path, "network:///system", f"[libvirt]\nresync = {resync}\n", environment)
        started.append(daemon)
        daemon.start()
        daemon.wait_states({"glitter": True})
        return daemon

    yield start
    for daemon in started:
        daemon.close()


def resync_age() -> float:
    found = re.search(r"^vdsm_hookd_libvirt_resync_age_seconds (\S+)$", hookctl("metrics").stdout, re.MULTILINE)
    assert found
    return float(found[1])


def jump_to(offset: int, clock: Clock, extnet: Path) -> None:
    """Set the daemon's clock, and see by how it dates a request that it goes by it."""
    clock.set(offset)
    assert run_hooks(extnet, "before_device_create", sample("interface.xml"), {"extnet": "glitter"}).stderr == ""
    assert abs(hookctl_json("history", "-n", "1")[-1]["at"] - time.time() - offset) < 5


def test_a_clock_that_jumps_changes_nothing(
    start: Callable[[str], Hookd], clock: Clock, glitter: Network, extnet: Path
) -> None:
    hookd = start("200ms")
    for jump in JUMPS:
        with connected() as idle:
            began = time.monotonic()
            jump_to(jump, clock, extnet)
            pings = hookd.told().count("WATCHDOG=1")
            for change, expected in ((glitter.destroy, False), (glitter.start, True)):
                change()
                hookd.wait_states({"glitter": expected}, deadline=2)
            assert idle.recv(1) == b""
            assert 1.5 < time.monotonic() - began < 3
        assert hookd.told().count("WATCHDOG=1") - pings >= 3
        status = hookctl_json("status")
        assert (status["degraded"], status["libvirt"]["reconnects"]) == ("", 0)
    held("clocks", len(JUMPS), "jumps of a day and an hour changed nothing")


def test_a_view_does_not_look_old_because_the_clock_jumped(
    start: Callable[[str], Hookd], clock: Clock, extnet: Path
) -> None:
    start("1h")
    for jump in JUMPS:
        jump_to(jump, clock, extnet)
        assert 0 <= resync_age() < 60
    held("clocks", len(JUMPS), "no view looked old")
