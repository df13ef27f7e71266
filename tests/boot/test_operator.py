"""What hookctl tells of an installed host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.boot.machine import Machine

HOOKS = "/usr/libexec/vdsm/hooks"
LINK = f"{HOOKS}/before_device_create/50_extnet"


@pytest.fixture
def machine_without_link(machine: Machine) -> Iterator[Machine]:
    target = machine.run("readlink", LINK).strip()
    machine.run("rm", LINK)
    yield machine
    machine.run("ln", "-sfn", target, LINK)


def test_a_host_as_it_was_installed_has_nothing_to_mend(machine: Machine) -> None:
    for command in (["hookctl", "hooks"], ["hookctl", "check", "--host"]):
        done = machine.call(*command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_missing_link_is_named(machine_without_link: Machine) -> None:
    done = machine_without_link.call("hookctl", "hooks")
    assert done.returncode == 1
    assert "not-linked" in done.stdout
    assert LINK in done.stdout


def test_a_stock_script_in_the_links_place_is_named(machine_without_link: Machine) -> None:
    machine_without_link.run("install", "-m", "755", "/dev/null", LINK)
    done = machine_without_link.call("hookctl", "hooks")
    assert done.returncode == 1
    assert "stock-script" in done.stdout
    assert LINK in done.stdout
