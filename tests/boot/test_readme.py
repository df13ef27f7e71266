"""The commands of the README's "On a host", each as it stands there, on a host that has just been booted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.boot.hooks import run_hook
from tests.boot.machine import ROOT, Machine
from tests.boot.packages import Packages
from tests.boot.repository import STOCK, Repository
from tests.real.host import run

_OF_THE_ENGINE = ("engine-config", "ssh HOST hookctl engine-config", "sh add")
_WITHOUT_PACKAGES = "systemd-sysusers"
HOOKS = "/usr/libexec/vdsm/hooks"


def blocks() -> list[list[str]]:
    """The section's commands, block by block, without their comments."""
    section = re.search(r"^## On a host\n(.*?)^## |\Z", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert section
    found = re.findall(r"(?:^    .+\n)+", section[1], re.MULTILINE)
    return [[re.sub(r"\s{2,}#.*", "", line).strip() for line in block.splitlines()] for block in found]


def of_packages() -> list[str]:
    """Those of a host, in their order."""
    return [
        command
        for block in blocks()
        if not block[0].startswith((_WITHOUT_PACKAGES, "|"))
        for command in block
        if not command.startswith(_OF_THE_ENGINE)
    ]


@pytest.mark.timeout(300)
def test_a_host_from_its_first_package_to_its_last(bare: Machine, packages: Packages, tmp_path: Path) -> None:
    repository = Repository(bare, packages, tmp_path)
    repository.publish(1)
    bare.run("dnf", "install", "vdsm-hook-extnet")
    commands = of_packages()
    assert {"dnf install vdsm-hookd", "dnf upgrade 'vdsm-hookd*'", "dnf remove 'vdsm-hookd*'"} <= set(commands)
    printed = {}
    for command in commands:
        if command.startswith("dnf upgrade"):
            assert run_hook(bare).network == "glitter"
            repository.publish(2)
        printed[command] = bare.run("sh", "-ec", command, timeout=120)
        if command.startswith("dnf upgrade"):
            assert bare.run("rpm", "-q", "--queryformat=%{release}", "vdsm-hookd") == "2"
            assert run_hook(bare).network == "glitter"
            assert bare.run("readlink", f"{HOOKS}/before_device_create/50_extnet").endswith("hook-shim\n")
    assert "State: good" in printed["hookctl status"]
    assert "Active: yes" in printed["hookctl networks glitter"]
    assert any('<source network="glitter"/>' in text for command, text in printed.items() if "explain" in command)
    assert not run_hook(bare).returncodes


@pytest.mark.parametrize("hook", STOCK)
def test_dnf_puts_a_hook_in_the_place_of_vdsms_own(
    bare: Machine, packages: Packages, tmp_path: Path, hook: str
) -> None:
    Repository(bare, packages, tmp_path).publish(1)
    bare.run("dnf", "install", "vdsm-hookd", f"vdsm-hook-{hook}")
    if hook == "macspoof":
        bare.run("dnf", "install", "vdsm-hookd-macspoof")
    else:
        assert bare.status("dnf", "install", f"vdsm-hookd-{hook}") == 1
        bare.run("dnf", "swap", f"vdsm-hook-{hook}", f"vdsm-hookd-{hook}")
    assert bare.status("rpm", "-q", f"vdsm-hook-{hook}") == 1
    assert bare.status("rpm", "-q", "--whatprovides", f"vdsm-hook-{hook}") == 0
    assert bare.run("readlink", f"{HOOKS}/{STOCK[hook]}/50_{hook}").endswith("hook-shim\n")


def test_a_host_without_packages(bare: Machine) -> None:
    run("make", f"--directory={ROOT}", "install-files", f"DESTDIR={bare.root}", timeout=60)
    (commands,) = (block for block in blocks() if block[0].startswith(_WITHOUT_PACKAGES))
    for command in commands:
        bare.run("sh", "-ec", command)
    assert bare.run("hookctl").splitlines()[1].split() == ["State:", "good"]
    for unit in ("vdsm-hookd.service", "vdsm-hookd.socket", "vdsm-hookd-control.socket"):
        assert bare.active(unit)


def test_each_command_is_run_here_or_is_the_engines() -> None:
    commands = [command for block in blocks() for command in block]
    engines = [command for command in commands if command.startswith(_OF_THE_ENGINE)]
    assert len(commands) > 15
    assert len(engines) == 3
    for command in commands:
        assert shlex.split(command), command
