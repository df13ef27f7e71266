"""The host as operators see it: its hook directories, whether it is ready, and decisions without a daemon."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real.guest import sample
from tests.real.hookd import CONTROL_SOCKET, HOOK_SOCKET, ROOT, hookctl, link_hook
from tests.real.libvirtd import Libvirtd, Network
from tests.real.makers import MakeHookd
from tests.vdsm import run_hooks
from vdsm_hookd import hook_directories

CREATE = "before_device_create"
START = "before_vm_start"
WAKE = Path("/var/lib/vdsm-hookd/wake")
DEVICE = (CREATE, "before_nic_hotplug", "before_update_device")
HOST = ("users", "units", "sockets", "daemon", "wake table", "hook directories", "libvirt", "schema")


@pytest.fixture
def linked(hooks_dir: Path) -> Path:
    """Hook directories as `make install` leaves them."""
    link_hook(hooks_dir)
    link_hook(hooks_dir, "macspoof", (START, *DEVICE))
    return link_hook(hooks_dir, "qemucmdline", [START])


@pytest.fixture
def look(linked: Path) -> Callable[..., tuple[int, Any]]:
    """look(verb, ...): the status and the JSON of a verb that looks at those directories."""

    def look(verb: str, *arguments: str) -> tuple[int, Any]:
        places = (f"--directories={linked}", f"--shim={linked / 'hook-shim'}")
        run = hookctl(verb, *places, *arguments, "--json")
        return run.returncode, json.loads(run.stdout)

    return look


def codes(found: Any) -> dict[str, str]:
    """The findings' codes by where they are."""
    assert all(finding["what"] and finding["remedy"] for finding in found["findings"])
    return {finding["where"]: finding["code"] for finding in found["findings"]}


def test_hooks_of_a_host_as_it_should_be(
    make_hookd: MakeHookd, test_node: str, linked: Path, look: Callable[..., tuple[int, Any]]
) -> None:
    make_hookd(test_node)
    status, found = look("hooks")
    assert (status, found["findings"], found["source"]) == (0, [], "daemon")
    assert [hook["name"] for hook in found["hooks"]] == ["extnet", "macspoof", "qemucmdline"]
    other = linked / CREATE / "10_other"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    (linked / CREATE / "20_data").write_text("")
    status, found = look("hooks")
    run = [each["name"] for each in found["programs"] if each["event"] == CREATE and each["runs"]]
    assert (status, run) == (0, list(run_hooks(linked, CREATE, sample("interface.xml")).returncodes))
    assert run == ["10_other", "50_extnet", "50_macspoof"]
    table = hookctl("hooks", f"--directories={linked}", f"--shim={linked / 'hook-shim'}").stdout
    assert [line.split(None, 2) for line in table.splitlines() if "10_other" in line] == [
        [CREATE, "10_other", "another program"]
    ]


def test_what_is_installed_is_what_the_default_hooks_need(tmp_path: Path) -> None:
    subprocess.run(["make", "-C", str(ROOT), "install", f"DESTDIR={tmp_path}"], check=True, capture_output=True)
    file = tmp_path / "etc/vdsm-hookd/vdsm-hookd.conf"
    directories = f"--directories={tmp_path}{hook_directories.DIRECTORIES}"
    shim = f"--shim={tmp_path}{hook_directories.SHIM}"
    run = hookctl("hooks", f"--config={file}", directories, shim, f"--socket={tmp_path / 'none'}", "--json")
    found = json.loads(run.stdout)
    assert codes(found) == {}
    served = {(event, hook["name"]) for hook in found["hooks"] for event in hook["events"]}
    assert {(each["event"], each["hook"]) for each in found["programs"]} == served


def test_a_stock_script_is_found_and_its_remedy_ends_it(
    make_hookd: MakeHookd, test_node: str, linked: Path, look: Callable[..., tuple[int, Any]]
) -> None:
    make_hookd(test_node)
    stock = linked / CREATE / "50_extnet"
    stock.unlink()
    stock.write_text("#!/bin/sh\n")
    stock.chmod(0o755)
    os.symlink(linked / "hook-shim", linked / START / "50_smbios")
    status, found = look("hooks")
    assert (status, codes(found)) == (1, {str(stock): "stock-script", f"{linked / START / '50_smbios'}": "not-enabled"})
    text = hookctl("hooks", f"--directories={linked}", f"--shim={linked / 'hook-shim'}")
    assert text.returncode == 1
    assert f"stock-script: {stock} is a program of its own, which runs in place of vdsm-hookd's extnet: " in text.stdout
    remedy = next(each["remedy"] for each in found["findings"] if each["code"] == "stock-script")
    stock.unlink()
    subprocess.run(["sh", "-c", remedy.partition(", then ")[2]], check=True)
    (linked / START / "50_smbios").unlink()
    assert look("hooks")[0] == 0


def test_hooks_without_a_daemon(
    make_hookd: MakeHookd, test_node: str, linked: Path, look: Callable[..., tuple[int, Any]]
) -> None:
    hookd = make_hookd(test_node, "[hooks]\nenabled = extnet\n")
    hookd.kill()
    status, found = look("hooks", f"--config={hookd.configuration}")
    assert (status, found["source"]) == (69, "configuration")
    assert [hook["name"] for hook in found["hooks"]] == ["extnet"]
    assert set(codes(found).values()) == {"not-enabled"}
    hookd.configuration.write_text("[hooks]\nenabled = none-such\n")
    bad = hookctl("hooks", f"--config={hookd.configuration}")
    assert (bad.returncode, bad.stdout) == (65, "")
    assert f"{hookd.configuration}:2" in bad.stderr


def test_check_of_a_host(
    make_hookd: MakeHookd, test_node: str, linked: Path, look: Callable[..., tuple[int, Any]]
) -> None:
    configuration = f"[libvirt]\nuri = {test_node}\n"
    hookd = make_hookd(test_node, configuration)
    check = ("check", "--host", f"--config={hookd.configuration}")
    # What tests/real/run's namespaces can't have: systemd as their init, and its socket that is vdsm's.
    known = {"user vdsm-hookd": "no-user", "systemctl": "no-systemd"}
    status, found = look(*check)
    assert (status, found["checked"]) == (1, ["configuration", *HOST])
    assert codes(found) == {**known, str(HOOK_SOCKET): "socket-rights"}
    os.chown(HOOK_SOCKET, 36, 0)
    assert codes(look(*check)[1]) == known
    for path, mode, code in (
        (HOOK_SOCKET, 0o660, "socket-rights"),
        (CONTROL_SOCKET, 0o666, "socket-rights"),
        (WAKE, 0o664, "wake-table-rights"),
        (WAKE, 0o600, "wake-table-rights"),
    ):
        before = path.stat().st_mode
        path.chmod(mode)
        assert codes(look(*check)[1]) == {**known, str(path): code}
        path.chmod(before)
    CONTROL_SOCKET.chmod(0o660)  # for a group of operators
    assert codes(look(*check)[1]) == known
    (linked / START / "50_qemucmdline").unlink()
    assert codes(look(*check)[1]) == {**known, str(linked / START): "not-linked"}


def test_check_of_a_host_whose_configuration_is_not_in_force(
    make_hookd: MakeHookd, test_node: str, look: Callable[..., tuple[int, Any]]
) -> None:
    hookd = make_hookd(test_node, f"[libvirt]\nuri = {test_node}\n")
    check = ("check", "--host", f"--config={hookd.configuration}")
    hookd.configuration.write_text(f"[libvirt]\nuri = {test_node}\n[map]\nrhevm = glitter\n")
    assert codes(look(*check)[1])[str(WAKE)] == "not-in-force"
    assert hookctl("reload").returncode == 0
    assert str(WAKE) not in codes(look(*check)[1])
    hookd.kill()
    found = codes(look(*check)[1])
    assert found["vdsm-hookd"] == "daemon-unreachable"
    WAKE.unlink()
    for path in (HOOK_SOCKET, CONTROL_SOCKET):
        path.unlink()
    found = codes(look(*check)[1])
    assert {found[str(path)] for path in (HOOK_SOCKET, CONTROL_SOCKET)} == {"no-socket"}
    assert found[str(WAKE)] == "no-wake-table"


def test_check_of_a_host_whose_map_leads_nowhere(
    test_node: str, tmp_path: Path, look: Callable[..., tuple[int, Any]]
) -> None:
    file = tmp_path / "vdsm-hookd.conf"
    text = f"[libvirt]\nuri = {test_node}\n[map]\na = glitter\nb = nowhere\nc = ovs-net/none\nd = wifi-nat\n"
    file.write_text(text + "[extnet]\ndeny = wifi-nat\n")
    found = codes(look("check", "--host", f"--config={file}")[1])
    expected = {5: "network-missing", 6: "portgroup-missing", 7: "network-not-allowed"}
    assert {where: code for where, code in found.items() if where.startswith(f"{file}:")} == {
        f"{file}:{line}": code for line, code in expected.items()
    }


def test_check_does_not_wait_for_a_libvirt_that_hangs(
    libvirtd: Libvirtd, glitter: Network, tmp_path: Path, look: Callable[..., tuple[int, Any]]
) -> None:
    file = tmp_path / "vdsm-hookd.conf"
    file.write_text("")
    check = ("check", "--host", f"--config={file}")
    assert "libvirt" not in codes(look(*check)[1])
    libvirtd.sigstop()
    started = time.monotonic()
    found = codes(look(*check)[1])
    assert time.monotonic() - started < 15
    assert found["libvirt"] == "libvirt-unavailable"


def test_check_says_what_is_bad_and_what_to_do(tmp_path: Path, private_host: None) -> None:
    file = tmp_path / "vdsm-hookd.conf"
    file.write_text("[libvirt]\nuri =\n")
    run = hookctl("check", f"--config={file}", "--json")
    (finding,) = json.loads(run.stdout)["findings"]
    assert (run.returncode, finding["code"], finding["where"]) == (65, "bad-config", f"{file}:2")
    assert hookctl("check", f"--config={file}").stdout.startswith(f"bad-config: {file}:2 [libvirt] uri = : ")


@pytest.fixture
def interface(tmp_path: Path) -> str:
    file = tmp_path / "interface.xml"
    file.write_text(sample("interface.xml"))
    return str(file)


@pytest.mark.parametrize("network", ["glitter", "nowhere"])
def test_explain_says_the_same_with_and_without_the_daemon(
    make_hookd: MakeHookd, glitter: Network, interface: str, network: str
) -> None:
    hookd = make_hookd("network:///system", "[extnet]\ndeny = secret\n")
    hookd.wait_states({"glitter": True})
    explain = ("explain", f"--event={CREATE}", f"--prop=extnet={network}", interface)
    asked = hookctl(*explain, "--json")
    offline = ("--against=configuration", f"--config={hookd.configuration}")
    hookd.kill()
    alone = hookctl(*explain, *offline, "--json")
    assert (alone.returncode, json.loads(alone.stdout)) == (asked.returncode, json.loads(asked.stdout))
    assert asked.returncode == (0 if network == "glitter" else 1)
    assert hookctl(*explain).returncode == 69
    assert ("+  <source network" in hookctl(*explain, *offline).stdout) is (network == "glitter")


def test_explain_from_files_sees_what_the_daemon_does_not_yet(
    make_hookd: MakeHookd, test_node: str, interface: str
) -> None:
    hookd = make_hookd(test_node)
    hookd.configuration.write_text(f"[libvirt]\nuri = {test_node}\n[map]\nrhevm = glitter\n")
    explain = ("explain", f"--event={CREATE}", "--hook=extnet", interface)
    config = f"--config={hookd.configuration}"
    assert "Outcome: unchanged" in hookctl(*explain).stdout
    assert "Outcome: rewritten" in hookctl(*explain, "--against=configuration", config).stdout
    misplaced = hookctl(*explain, config)
    assert (misplaced.returncode, "--against configuration" in misplaced.stderr) == (64, True)
    hookd.configuration.write_text("[extnet]\nalow = x\n")
    assert hookctl(*explain, "--against=configuration", config).returncode == 65


def test_explain_from_files_does_not_wait_for_a_libvirt_that_hangs(
    libvirtd: Libvirtd, tmp_path: Path, interface: str
) -> None:
    file = tmp_path / "vdsm-hookd.conf"
    file.write_text("")
    libvirtd.sigstop()
    offline = ("--against=configuration", f"--config={file}")
    run = hookctl("explain", *offline, f"--event={CREATE}", "--prop=extnet=glitter", interface)
    assert run.returncode == 1
    assert "Reason: libvirt-unavailable: libvirt at network:///system does not answer" in run.stdout
