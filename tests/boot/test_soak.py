"""16 clients for minutes, while networks flap, the policy changes, and daemon and libvirtd die: no wrong answer."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.boot.configuration import SITE
from tests.boot.machine import Machine
from tests.boot.soak import CASES, FICKLE, FLAPPING
from tests.faults import FULL, held
from tests.real.wait import wait_for

SECONDS = 600 if FULL else 40
CLIENTS = 16
SEED = 7
PAUSE = 0.3
"""Seconds between two blows."""
MAX_GROWTH = 5 * 1024  # KiB
SERVICE = "vdsm-hookd.service"
# A history that is full within the first seconds, for while it fills memory grows as it should.
HISTORY = "[history]\nentries = 100\n"
NETWORK = '<network><name>{0}</name><forward mode="bridge"/><bridge name="br-{0}"/></network>'


@pytest.fixture
def networks(machine: Machine) -> Iterator[Machine]:
    """The machine with two networks more."""
    for name in (FLAPPING, FICKLE):
        machine.run("ip", "link", "add", f"br-{name}", "type", "bridge")
        machine.write(f"/root/{name}.xml", NETWORK.format(name))
        for verb in (["net-define", f"/root/{name}.xml"], ["net-start", name], ["net-autostart", name]):
            machine.run("virsh", "--quiet", *verb)
    yield machine
    machine.run("systemctl", "start", "libvirtd.service")
    for name in (FLAPPING, FICKLE):
        machine.call("virsh", "--quiet", "net-destroy", name)
        machine.run("virsh", "--quiet", "net-undefine", name)
        machine.run("ip", "link", "delete", f"br-{name}")


class Blows:
    """What happens to the host meanwhile, at random but always the same."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._dice = random.Random(SEED)
        self._denied = self._down = False
        self.count = 0

    def rain(self, seconds: float, deadly: bool) -> None:
        """For so long; `deadly` ones end daemon and libvirtd too."""
        gentle = [self._flap, self._flap, self._reload]
        blows = [*gentle, self._kill, self._kill, self._restart_libvirtd] if deadly else gentle
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._dice.choice(blows)()
            self.count += 1
            pause = time.monotonic() + PAUSE
            wait_for(lambda until=pause: time.monotonic() > until, "the next blow")  # type: ignore[misc]

    def _flap(self) -> None:
        self._down = not self._down
        self._machine.call("virsh", "--quiet", "net-destroy" if self._down else "net-start", FLAPPING)

    def _reload(self) -> None:
        self._denied = not self._denied
        self._machine.write(SITE, HISTORY + (f"[extnet]\ndeny = {FICKLE}\n" if self._denied else ""))
        self._machine.call("systemctl", "reload", SERVICE)  # fails where it has just been killed: the start reads it

    def _kill(self) -> None:
        self._machine.call("systemctl", "kill", "--kill-whom=main", f"--signal={signal.SIGKILL.name}", SERVICE)

    def _restart_libvirtd(self) -> None:
        self._machine.run("systemctl", "reset-failed", "libvirtd.service")  # its unit limits how often it starts
        self._machine.run("systemctl", "restart", "libvirtd.service")


def memory(machine: Machine) -> int:
    """The daemon's, resident, in KiB."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", machine.run("cat", f"/proc/{machine.pid()}/status"), re.MULTILINE)
    assert found
    return int(found[1])


@pytest.mark.timeout(SECONDS + 300)
def test_no_answer_is_wrong_and_memory_stays_flat(networks: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine = networks
    machine.write(SITE, HISTORY)
    machine.run("systemctl", "restart", SERVICE)
    blows = Blows(machine)
    process = machine.start_module("tests.boot.soak", str(CLIENTS), str(SEED))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        blows.rain(SECONDS / 2, deadly=True)
        wait_for(machine.pid, "the daemon after the last kill")
        blows.rain(SECONDS / 8, deadly=False)
        pid, settled = machine.pid(), memory(machine)
        blows.rain(SECONDS * 3 / 8, deadly=False)
        grown = memory(machine) - settled
        output, _ = process.communicate("", timeout=60)
    finally:
        process.kill()
    seen = json.loads(output)
    with capsys.disabled():
        print(f"\nsoak: {blows.count} blows, {seen}, memory {grown:+d} KiB")
    assert seen["wrong"] == []
    assert seen["calls"] > SECONDS * CLIENTS
    assert 0 < seen["rewritten"] < seen["calls"]
    assert set(seen["refusals"]) >= {"network-missing", "network-inactive", "network-not-allowed"}
    assert machine.pid() == pid
    assert grown < MAX_GROWTH
    text = f"{SECONDS} s, {blows.count} blows, {len(CASES)} kinds of request, 0 wrong answers, memory {grown:+d} KiB"
    held("soak", seen["calls"], text)
