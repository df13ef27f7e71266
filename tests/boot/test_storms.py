"""Not one hook fails, whatever happens to the daemon while hooks run."""

from __future__ import annotations

import signal

import pytest

from tests.boot.clients import Clients
from tests.boot.machine import Machine
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


@pytest.mark.timeout(600)
def test_100_restarts_fail_no_hook(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    with Clients(machine) as clients:
        for _ in range(100):
            machine.run("systemctl", "restart", SERVICE)
    _report(capsys, "100 restarts", clients)
    assert clients.failures == []
    assert clients.worst < 3


def _report(capsys: pytest.CaptureFixture[str], what: str, clients: Clients) -> None:
    with capsys.disabled():
        print(f"\n{what}: {clients.calls} hooks, {len(clients.failures)} failed, worst {clients.worst:.2f} s")
