"""The daemon can't start, hangs, or sleeps with its whole host: what the hooks then do, and systemd."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.boot.clients import CLIENTS, Clients
from tests.boot.configuration import BAD, REASON, SITE
from tests.boot.hooks import run_hook
from tests.boot.machine import Machine
from tests.faults import FULL, held
from tests.real.wait import wait_for
from vdsm_hookd.journal import MESSAGE_IDS

SERVICE = "vdsm-hookd.service"
DROP_IN = f"/etc/systemd/system/{SERVICE}.d/fault.conf"
DOWN = 20.0  # seconds
SLEEP = 60.0 if FULL else 12.0
"""Seconds that the host sleeps: in any case longer than the watchdog's 3 s and libvirt's keepalives, 7.5 s."""
JOURNAL_DOWN = 60.0 if FULL else 15.0  # seconds
DEADLINE = 5.0  # the shim's
LATE = 1.0
"""Seconds by which a busy machine may be late."""


def bad_configuration(machine: Machine) -> Callable[[], object]:
    """Returns what mends it."""
    machine.write(SITE, BAD)
    return lambda: machine.run("rm", SITE)


def bad_interpreter(machine: Machine) -> Callable[[], object]:
    """Returns what mends it."""
    program = "/usr/sbin/vdsm-hookd"
    first = machine.run("head", "-n1", program).strip()
    machine.run("sed", "-i", "1s,.*,#!/nonexistent/python3,", program)
    return lambda: machine.run("sed", "-i", f"1s,.*,{first},", program)


def bad_first_configuration(machine: Machine) -> Callable[[], object]:
    """Bad, and there was no good one before. Returns what mends it."""
    machine.run("rm", "/var/lib/vdsm-hookd/configuration")
    return bad_configuration(machine)


def test_while_the_configuration_is_bad_the_last_good_one_serves(machine: Machine) -> None:
    mend = bad_configuration(machine)
    served = 0
    try:
        for _ in range(5):
            dead = machine.pid()
            machine.kill(signal.SIGKILL)
            done = run_hook(machine)
            assert (done.network, done.stderr) == ("glitter", "")
            assert machine.pid() not in (0, dead)
            served += 1
        assert "the configuration on disk is not in force" in machine.call("hookctl", "status").stdout
        assert "alow" in machine.call("hookctl", "check").stdout
        message = f"MESSAGE_ID={MESSAGE_IDS['kept-serves']}"
        assert REASON in machine.journal(message)
    finally:
        mend()
    machine.run("systemctl", "restart", SERVICE)
    assert machine.status("hookctl", "status") == 0
    held("daemon-down", served, "bad configuration after a kill: served by the last good one")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("spoil", [bad_first_configuration, bad_interpreter])
def test_a_daemon_that_can_not_start_stops_only_the_vms_that_need_it(
    machine: Machine, spoil: Callable[[Machine], Callable[[], object]]
) -> None:
    mend = spoil(machine)
    try:
        machine.kill(signal.SIGKILL)
        ends = time.monotonic() + DOWN
        refused = 0
        while time.monotonic() < ends:
            without = run_hook(machine, properties={"extnetwork": "glitter"})
            assert (without.returncodes["50_extnet"], without.stderr, without.unchanged) == (0, "", True)
            assert without.seconds < LATE
            met = run_hook(machine)
            assert (met.returncodes["50_extnet"], met.code, met.unchanged) == (2, "daemon-unreachable", True)
            assert DEADLINE - 0.5 < met.seconds < DEADLINE + LATE
            refused += 1
    finally:
        mend()
        mended = time.monotonic()
    assert run_hook(machine).network == "glitter"
    seconds = time.monotonic() - mended
    assert seconds < 2
    name = spoil.__name__.replace("_", " ")
    held("daemon-down", refused, f"{name}: refused after 5 s, served {seconds:.1f} s after the repair")


def test_a_daemon_that_hangs_is_restarted_in_time_for_the_request_that_met_it(machine: Machine) -> None:
    slowest = 0.0
    for _ in range(3):
        pid = machine.pid()
        machine.kill(signal.SIGSTOP)
        done = run_hook(machine)
        assert (done.network, done.stderr) == ("glitter", "")
        assert machine.pid() not in (0, pid)
        slowest = max(slowest, done.seconds)
    assert machine.journal(f"--unit={SERVICE}").count("Watchdog timeout") >= 3
    held("daemon-stopped", 3, f"restarted by the watchdog, all served, worst {slowest:.1f} s")


def test_a_daemon_that_hangs_without_a_watchdog_costs_the_deadline(machine: Machine) -> None:
    machine.write(DROP_IN, "[Service]\nWatchdogSec=0\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", SERVICE)
    machine.kill(signal.SIGSTOP)
    try:
        done = run_hook(machine)
    finally:
        machine.kill(signal.SIGKILL)
    assert (done.returncodes["50_extnet"], done.code, done.unchanged) == (2, "daemon-unreachable", True)
    assert DEADLINE - 0.5 < done.seconds < DEADLINE + LATE
    held("daemon-stopped", 1, "without a watchdog refused at the deadline")


@pytest.mark.timeout(240)
def test_a_journal_that_does_not_read_holds_up_no_hook_and_no_start(machine: Machine) -> None:
    """Entries are lost instead, and counted; the journal is told when it is back."""
    pid, clock = machine.pid(), time.monotonic()
    machine.run("sh", "-c", "kill -STOP $(pidof systemd-journald)")
    try:
        with Clients(machine) as clients:
            wait_for(lambda: time.monotonic() > clock + JOURNAL_DOWN, "the journal's time", JOURNAL_DOWN + 5)
            assert machine.pid() == pid  # no watchdog's kill
            machine.run("systemctl", "restart", SERVICE)
            assert machine.pid() not in (0, pid)
            assert run_hook(machine).network == "glitter"
    finally:
        machine.run("sh", "-c", "kill -CONT $(pidof systemd-journald)")
    assert clients.failures == []
    assert clients.worst < 1
    held("journal-stopped", clients.calls, f"0 failed, worst {clients.worst:.2f} s; a restart meanwhile")


@contextmanager
def asleep(machine: Machine) -> Iterator[None]:
    """All of the host stands still inside the block, as in a suspend; but for the monotonic clock, which goes on here.

    The service manager sleeps first and wakes last, when the daemon's loop has turned: it judges by its clock, and with
    no ping to read would take an overslept one for a missed one.
    """
    manager, *others = pids = machine.processes()
    parents = {_parent(pid) for pid in pids} - {*pids, os.getpid()}
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        # nsenter stops with its child, and there nobody else continues it.
        for pid in (*reversed(others), *parents):
            os.kill(pid, signal.SIGCONT)
        for _ in range(2):  # between two answers it has looked at its timers, and pinged
            libvirt_link(machine)
        os.kill(manager, signal.SIGCONT)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.timeout(180)
def test_a_host_that_slept_goes_on_where_it_was(machine: Machine) -> None:
    """Hooks were on their way. Of those whose deadline passed meanwhile each may be refused, but no later one."""
    wait_for(lambda: libvirt_link(machine)["connected"], "in sync")
    before = (machine.pid(), libvirt_link(machine)["reconnects"])
    with Clients(machine) as clients:
        with asleep(machine):
            wakes = time.monotonic() + SLEEP
            wait_for(lambda: time.monotonic() > wakes, "the end of the sleep", SLEEP + 5)
        assert run_hook(machine).network == "glitter"
        settled = time.monotonic() + 10  # three times the watchdog's time, and more than the keepalive's
        wait_for(lambda: time.monotonic() > settled, "what may come late", 15)
    assert [each for each in clients.failures if "extnet: daemon-unreachable: " not in each] == []
    assert len(clients.failures) <= CLIENTS
    assert (machine.pid(), libvirt_link(machine)["reconnects"]) == before
    assert "decided from the network view of" not in machine.journal(f"--unit={SERVICE}", f"_PID={before[0]}")
    text = f"{clients.calls} hooks, {len(clients.failures)} of them refused" if clients.failures else "no hook refused"
    held("clocks", 1, f"whole host stopped for {SLEEP:.0f} s: no restart, no reconnect, {text}")


def libvirt_link(machine: Machine) -> Any:
    """What the daemon says of its connection."""
    return json.loads(machine.run("hookctl", "--json"))["libvirt"]
