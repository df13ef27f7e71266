"""The hook directories while packages come, change and go: vdsm may look into them at any moment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.boot.machine import Machine
from tests.boot.packages import Packages
from tests.boot.repository import STOCK, Repository

HOOKS = "/usr/libexec/vdsm/hooks"
TARGET = "../../../vdsm-hookd/hook-shim"
LINK = f"{HOOKS}/before_device_create/50_extnet"
OWN = ("vdsm-hookd-extnet", "vdsm-hookd-macspoof", "vdsm-hookd-qemucmdline", "vdsm-hookd-hooks-extra")

# As the packages were before: with the link in the payload.
_EARLIER = """Name: vdsm-hookd-extnet
Version: 0.0.9
Release: 1
Summary: As it was
License: none
BuildArch: noarch
%description
%install
mkdir -p %{buildroot}/usr/libexec/vdsm/hooks/before_device_create
ln -s ../../../vdsm-hookd/hook-shim %{buildroot}/usr/libexec/vdsm/hooks/before_device_create/50_extnet
%files
/usr/libexec/vdsm/hooks/before_device_create/50_extnet
"""


@contextmanager
def watched(machine: Machine) -> Iterator[list[list[str]]]:
    """What happens to names in there inside the block."""
    seen: list[list[str]] = []
    watcher = machine.start_module("tests.boot.watcher")
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "watching\n"
    yield seen
    output, _ = watcher.communicate("", timeout=60)
    seen += json.loads(output)


def links(machine: Machine) -> dict[str, str]:
    """Where each thing in the directories leads; nothing for what is no link."""
    lines = machine.run("find", HOOKS, "-mindepth", "2", "-printf", "%P\t%l\n").splitlines()
    return dict(line.split("\t") for line in lines)


def verified(machine: Machine, names: Sequence[str]) -> str:
    """What rpm complains about: but for dependencies, which Debian names otherwise."""
    return machine.call("rpm", "-V", "--nodeps", *names).stdout


def test_an_upgrade_touches_no_hook_directory(bare: Machine, packages: Packages) -> None:
    old, new = packages.put_into(bare, 1), packages.put_into(bare, 2)
    packages.install(bare, 1)
    before = links(bare)
    assert set(before.values()) == {TARGET}
    steps = {
        "upgrade": ["-U", *new.values()],
        "reinstallation": ["-U", "--replacepkgs", *new.values()],
        "downgrade": ["-U", "--oldpackage", *old.values()],
        "upgrade of the hooks alone": ["-U", *(new[name] for name in OWN)],
    }
    for step, arguments in steps.items():
        with watched(bare) as seen:
            bare.run("rpm", "--nodeps", *arguments)
        assert seen == [], step
        assert links(bare) == before, step
        assert verified(bare, list(new)) == "", step
    assert bare.run("rpm", "-qf", "--queryformat=%{name}\n", LINK) == "vdsm-hookd-extnet\n"


def test_links_are_made_where_they_are_missing_and_go_with_their_package(bare: Machine, packages: Packages) -> None:
    packages.install(bare, 1)
    before = links(bare)
    bare.run("rm", LINK)
    assert verified(bare, ["vdsm-hookd-extnet"]) == ""
    bare.write(f"{HOOKS}/before_nic_hotplug/50_macspoof.new", "#!/bin/sh\n")
    bare.run("mv", f"{HOOKS}/before_nic_hotplug/50_macspoof.new", f"{HOOKS}/before_nic_hotplug/50_macspoof")
    packages.install(bare, 2)
    own = {**before, "before_nic_hotplug/50_macspoof": ""}
    assert links(bare) == own
    bare.run("ln", "-sfn", "/dev/null", LINK)
    packages.install(bare, 1, "--oldpackage")
    assert links(bare) == {**own, "before_device_create/50_extnet": "/dev/null"}
    assert "before_device_create has no link for extnet" not in bare.call("hookctl", "check", "--host").stdout
    bare.run("rpm", "-e", "--nodeps", "vdsm-hookd-hooks-extra", "vdsm-hookd-qemucmdline", "vdsm-hookd-extnet")
    left = {name for name in own if name.endswith("_macspoof")}
    assert set(links(bare)) == left
    bare.run("rpm", "-e", "--nodeps", "vdsm-hookd-macspoof")
    assert bare.status("test", "-e", HOOKS) == 1


def test_packages_that_had_links_in_them_are_followed_and_come_back(
    bare: Machine, packages: Packages, tmp_path: Path
) -> None:
    repository = Repository(bare, packages, tmp_path)
    repository.build(_EARLIER, tmp_path)
    repository.publish(1)
    bare.run("dnf", "install", "vdsm-hookd-extnet-0.0.9")
    with watched(bare) as seen:
        bare.run("dnf", "upgrade", "vdsm-hookd-extnet", timeout=120)
    assert [event for event in seen if event[1] == "before_device_create"] == []
    assert links(bare)["before_device_create/50_extnet"] == TARGET
    assert verified(bare, ["vdsm-hookd-extnet"]) == ""
    bare.run("dnf", "downgrade", "vdsm-hookd-extnet-0.0.9", timeout=120)
    assert links(bare) == {"before_device_create/50_extnet": TARGET}


@pytest.mark.timeout(300)
def test_the_stock_hooks_are_swapped_in_and_out(bare: Machine, packages: Packages, tmp_path: Path) -> None:
    repository = Repository(bare, packages, tmp_path)
    repository.publish(1)
    for hook, event in STOCK.items():
        bare.run("rpm", "-i", f"/repository/noarch/vdsm-hook-{hook}-4.50-1.noarch.rpm")  # dnf would take ours at once
        path = f"{event}/50_{hook}"
        assert links(bare)[path] == ""
        verb = ["swap", f"vdsm-hook-{hook}"] if hook != "macspoof" else ["install"]
        with watched(bare) as seen:
            bare.run("dnf", *verb, f"vdsm-hookd-{hook}", timeout=120)
        names = {name for _event, _folder, name in seen if not name.startswith(".")}  # vdsm passes those over
        assert names <= {f"50_{hook}"}
        assert links(bare)[path] == TARGET
        assert verified(bare, [f"vdsm-hookd-{hook}"]) == ""
        assert bare.status("rpm", "-q", f"vdsm-hook-{hook}") == 1
        if hook != "macspoof":
            bare.run("dnf", "swap", f"vdsm-hookd-{hook}", f"vdsm-hook-{hook}", timeout=120)
            assert links(bare)[path] == ""
            assert verified(bare, [f"vdsm-hook-{hook}"]) == ""
            assert "50_" + hook not in "".join(set(links(bare)) - {path})
