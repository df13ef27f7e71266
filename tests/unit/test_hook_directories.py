"""Hook directories as vdsm sees them, and what is found wrong there."""

from __future__ import annotations

from pathlib import Path

import pytest

from vdsm_hookd import hook_directories
from vdsm_hookd.hook_directories import Program

HOOKS = {"extnet": ("before_device_create", "before_nic_hotplug"), "qemucmdline": ("before_vm_start",)}
CREATE = "before_device_create"


class Host:
    """A made-up host with the shim, and all links as they should be."""

    def __init__(self, folder: Path) -> None:
        self.directories = folder / "hooks"
        self.shim = folder / "hook-shim"
        self.script(self.shim)
        for hook, events in HOOKS.items():
            for event in events:
                self.link(f"{event}/50_{hook}")

    def link(self, place: str, target: Path | None = None) -> None:
        path = self.directories / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target or self.shim)

    def script(self, path: Path, mode: int = 0o755) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)

    def remove(self, place: str) -> None:
        (self.directories / place).unlink()

    def programs(self) -> list[Program]:
        return hook_directories.read(str(self.directories), str(self.shim))

    def findings(self) -> list[tuple[str, str]]:
        """Codes and places."""
        found = hook_directories.inspect(HOOKS, str(self.directories), str(self.shim))[1]
        assert all(finding.what and finding.remedy for finding in found)
        return [(finding.code, finding.where.replace(f"{self.directories}/", "")) for finding in found]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_host_as_it_should_be(host: Host) -> None:
    assert host.findings() == []
    assert {(each.kind, each.runs) for each in host.programs()} == {("shim", True)}


def test_what_else_runs_and_in_which_order(host: Host) -> None:
    folder = host.directories / CREATE
    for name, mode in (("60_after", 0o755), ("10_before", 0o755), ("55_data", 0o644), (".hidden", 0o755)):
        host.script(folder / name, mode)
    (folder / "70_directory").mkdir()
    host.link(f"{CREATE}/65_linked", folder / "60_after")
    there = [(each.name, each.kind, each.runs) for each in host.programs() if each.event == CREATE]
    assert there == [
        (".hidden", "script", False),
        ("10_before", "script", True),
        ("50_extnet", "shim", True),
        ("55_data", "script", False),
        ("60_after", "script", True),
        ("65_linked", "link", True),
        ("70_directory", "other", False),
    ]
    assert host.findings() == []


def test_a_missing_link(host: Host) -> None:
    host.remove(f"{CREATE}/50_extnet")
    assert host.findings() == [("not-linked", CREATE)]
    (finding,) = hook_directories.inspect(HOOKS, str(host.directories), str(host.shim))[1]
    assert finding.remedy.endswith(f"ln -sfn {host.shim} {host.directories}/{CREATE}/50_extnet")


def test_a_directory_that_is_missing_or_hidden_does_not_link(host: Host) -> None:
    host.remove("before_vm_start/50_qemucmdline")
    host.link("before_vm_start/.50_qemucmdline")
    assert host.findings() == [("not-linked", "before_vm_start")]
    host.remove("before_vm_start/.50_qemucmdline")
    (host.directories / "before_vm_start").rmdir()
    assert host.findings() == [("not-linked", "before_vm_start")]


@pytest.mark.parametrize("number", ["10", "50", "99"])
def test_a_stock_script_in_place_of_the_link(host: Host, number: str) -> None:
    host.remove(f"{CREATE}/50_extnet")
    host.script(host.directories / CREATE / f"{number}_extnet")
    assert host.findings() == [("stock-script", f"{CREATE}/{number}_extnet")]


def test_a_stock_script_beside_the_link(host: Host) -> None:
    host.script(host.directories / CREATE / "10_extnet")
    assert host.findings() == [("stock-script", f"{CREATE}/10_extnet")]


def test_a_stock_script_that_vdsm_does_not_run_is_only_no_link(host: Host) -> None:
    host.script(host.directories / CREATE / "10_extnet", 0o644)
    assert host.findings() == []
    host.remove(f"{CREATE}/50_extnet")
    assert host.findings() == [("not-linked", CREATE)]


def test_a_link_that_leads_elsewhere(host: Host, tmp_path: Path) -> None:
    host.remove(f"{CREATE}/50_extnet")
    host.link(f"{CREATE}/50_extnet", tmp_path / "gone")
    assert host.findings() == [("link-elsewhere", f"{CREATE}/50_extnet")]


def test_a_link_through_links_is_one(host: Host, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(host.shim)
    host.remove(f"{CREATE}/50_extnet")
    host.link(f"{CREATE}/50_extnet", tmp_path / "alias")
    assert host.findings() == []


def test_a_hook_that_runs_twice(host: Host) -> None:
    host.link(f"{CREATE}/60_extnet")
    assert host.findings() == [("linked-twice", f"{CREATE}/60_extnet")]


def test_links_that_serve_nothing(host: Host) -> None:
    host.link("before_vm_start/50_extnet")
    host.link(f"{CREATE}/50_smbios")
    host.link(f"{CREATE}/.50_smbios")
    expected = {("event-not-served", "before_vm_start/50_extnet"), ("not-enabled", f"{CREATE}/50_smbios")}
    assert set(host.findings()) == expected


def test_a_stock_script_of_a_hook_that_is_not_enabled_is_no_finding(host: Host) -> None:
    host.script(host.directories / "before_vm_start" / "50_smbios")
    assert host.findings() == []


@pytest.mark.parametrize("mode", [0o644, None])
def test_a_shim_that_can_not_run(host: Host, mode: int | None) -> None:
    if mode is None:
        host.shim.unlink()
    else:
        host.shim.chmod(mode)
    assert host.findings() == [("no-shim", str(host.shim))]


def test_a_shim_that_others_may_change(host: Host) -> None:
    host.shim.chmod(0o775)
    assert host.findings() == [("shim-rights", str(host.shim))]


def test_a_host_without_vdsm(tmp_path: Path) -> None:
    (finding,) = hook_directories.inspect(HOOKS, str(tmp_path / "none"))[1]
    assert finding.code == "no-directory"
    assert str(finding).startswith(f"no-directory: {tmp_path / 'none'} can't be read")


@pytest.mark.parametrize(
    ("name", "hook"),
    [("50_extnet", "extnet"), ("5_extnet", "5_extnet"), ("extnet", "extnet"), ("500_x", "500_x"), ("50-x", "50-x")],
)
def test_the_hooks_name_is_what_the_shim_makes_of_the_files(name: str, hook: str) -> None:
    assert Program(CREATE, name, "shim", "", True).hook == hook
