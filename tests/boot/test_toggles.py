"""A running vNIC stays where it is while its link is toggled, whatever happens to the daemon meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.boot.configuration import BAD, SITE
from tests.boot.machine import Machine
from tests.boot.network import add_network
from tests.boot.packages import Packages
from tests.faults import held
from tests.real.wait import wait_for

SERVICE = "vdsm-hookd.service"
# As tests/real has it: without cgroups, and without the user for whom a start takes 14 s.
_QEMU = 'user = "root"\ngroup = "root"\ncgroup_controllers = []\nstdio_handler = "file"\n'


@contextmanager
def toggling(machine: Machine, seen: dict[str, Any]) -> Iterator[None]:
    """A VM whose vNIC's link goes down and up inside the block; afterwards what came of it."""
    process = machine.start_module("tests.boot.toggles", stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n", process.communicate("", timeout=60)[1]
    yield
    output, errors = process.communicate("", timeout=60)
    assert process.returncode == 0, errors
    seen.update(json.loads(output))


def replaced(machine: Machine, dead: int) -> bool:
    return machine.pid() not in (0, dead) and machine.active(SERVICE)


@pytest.mark.timeout(300)
def test_link_toggles_succeed_whatever_happens_to_the_daemon(
    bare: Machine, packages: Packages, capsys: pytest.CaptureFixture[str]
) -> None:
    add_network(bare)
    bare.write("/etc/libvirt/qemu.conf", _QEMU)
    bare.run("systemctl", "restart", "libvirtd.service")
    bare.run("ip", "link", "add", "ovirtmgmt", "up", "type", "bridge")
    packages.install(bare, 1)
    bare.run("systemctl", "start", SERVICE)

    def kill() -> None:
        dead = bare.pid()
        bare.kill(signal.SIGKILL)
        wait_for(lambda: replaced(bare, dead), "the service after a kill", 20)

    def kill_often() -> None:
        for _ in range(5):
            kill()

    def restart() -> None:
        for _ in range(5):
            bare.run("systemctl", "restart", SERVICE)

    def stop_for_a_while() -> None:
        """Longer than the 5 s that all other events are given."""
        bare.run("systemctl", "stop", SERVICE, "vdsm-hookd.socket", "vdsm-hookd-control.socket")
        bare.run("sleep", "8")
        bare.run("systemctl", "start", "vdsm-hookd.socket", "vdsm-hookd-control.socket", SERVICE)

    def upgrade() -> None:
        dead = bare.pid()
        packages.install(bare, 2)
        wait_for(lambda: replaced(bare, dead), "the service after an upgrade", 20)

    def start_on_a_bad_configuration() -> None:
        bare.write(SITE, BAD)
        kill()
        kill()
        bare.run("rm", SITE)
        bare.run("hookctl", "reload")

    for blow in (kill_often, restart, stop_for_a_while, upgrade, start_on_a_bad_configuration):
        seen: dict[str, Any] = {}
        with toggling(bare, seen):
            blow()
        text = (
            f"{blow.__name__}: {seen['toggles']} toggles, {len(seen['failures'])} failed, worst {seen['worst']:.2f} s"
        )
        with capsys.disabled():
            print(f"\n{text}")
        assert seen["failures"] == []
        held("running-vnics", seen["toggles"], text)
