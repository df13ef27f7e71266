"""Not one hook fails, whatever happens to the daemon while hooks run."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.boot.clients import Clients
from tests.boot.machine import Machine
from tests.faults import held
from tests.real.wait import wait_for

SERVICE = "vdsm-hookd.service"


@pytest.mark.timeout(600)
def test_200_kills_fail_no_hook(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """Every other one meets it while it starts."""
    dead = 0

    def is_there() -> bool:
        return machine.pid() not in (0, dead)

    def serves() -> bool:
        return is_there() and machine.active(SERVICE)

    with Clients(machine) as clients:
        for number in range(200):
            wait_for(serves if number % 2 else is_there, f"the service after {number} kills", 10)
            dead = machine.pid()
            machine.kill(signal.SIGKILL)
    _report(capsys, "200 kills", clients)
    assert clients.failures == []
    assert clients.worst < 3
    held("daemon-killed", 200, f"{clients.calls} hooks, 0 failed, worst {clients.worst:.2f} s")


@pytest.mark.timeout(600)
def test_100_restarts_fail_no_hook_and_each_stop_is_clean(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.time()
    with Clients(machine) as clients:
        for _ in range(100):
            machine.run("systemctl", "restart", SERVICE)
    _report(capsys, "100 restarts", clients)
    assert clients.failures == []
    assert clients.worst < 3
    stops = _stops(machine, began)
    assert len(stops) == 100
    assert max(stops) < 2
    held("sigterm", 100, f"{clients.calls} hooks of 8 clients, 0 failed, clean exit after {max(stops):.2f} s at most")


def _stops(machine: Machine, since: float) -> list[float]:
    """Seconds from each stop to the end with status 0, as systemd has logged them since."""
    machine.run("journalctl", "--sync")
    begun, stops = 0.0, []
    lines = machine.run("journalctl", "--boot", f"--unit={SERVICE}", "--output=json", "_PID=1")
    for entry in map(json.loads, lines.splitlines()):
        at = int(entry["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6
        if entry["MESSAGE"].startswith("Stopping "):
            begun = at
        elif entry["MESSAGE"] == f"{SERVICE}: Deactivated successfully." and begun > since:
            stops.append(at - begun)
    return stops


def _report(capsys: pytest.CaptureFixture[str], what: str, clients: Clients) -> None:
    with capsys.disabled():
        print(f"\n{what}: {clients.calls} hooks, {len(clients.failures)} failed, worst {clients.worst:.2f} s")
