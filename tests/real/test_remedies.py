# SPDX-License-Identifier: GPL-2.0-or-later
"""Remedies as they are printed, run by a real bash against real libvirt: afterwards what was refused is served."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.real.guest import domain_with, sample
from tests.real.hookd import hookctl
from tests.real.host import Bridge
from tests.real.libvirtd import URI, Libvirtd, Network
from tests.real.makers import MakeGuest, MakeHookd, MakeNetwork, StartNetwork
from tests.real.ovs import OvsBridge
from tests.remedies import Shell, commands
from tests.vdsm import HookRun, run_hooks
from vdsm_hookd import host_check, registry

MAC = "52:54:00:59:F5:3F"
NAMES = ["glitter", "my net", '$(touch x)\'; `id` & "<é>" #', "--help", "~", "x" * 200]


def create(extnet: Path, value: str) -> HookRun:
    return run_hooks(extnet, "before_device_create", sample("interface.xml"), {"extnet": value})


def refused(extnet: Path, value: str, code: str) -> str:
    """The commands of the line that vdsm gets to see."""
    run = create(extnet, value)
    assert run.stderr.startswith(f"extnet: {code}: ")
    return commands(run.stderr.rstrip("\n").partition(f", MAC {MAC}): ")[2])


def bash(command: str, status: int = 0) -> str:
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, cwd="/")
    assert result.returncode == status, (command, result.stderr)
    return result.stderr


def target(run: HookRun) -> dict[str, str]:
    """Where the vNIC goes."""
    assert run.stderr == ""
    source = etree.fromstring(run.xml).find("source")
    assert source is not None
    return {str(name): str(value) for name, value in source.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_is_not_active(
    libvirtd: Libvirtd, make_network: MakeNetwork, bridge: Bridge, make_hookd: MakeHookd, extnet: Path, name: str
) -> None:
    network = make_network(name, bridge)
    network.destroy()
    make_hookd(URI)
    bash(refused(extnet, name, "network-inactive"))
    assert libvirtd.conn.networkLookupByName(name).autostart()
    assert target(create(extnet, name)) == {"network": name}


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_is_missing(
    make_network: MakeNetwork, bridge: Bridge, make_hookd: MakeHookd, extnet: Path, tmp_path: Path, name: str
) -> None:
    network = make_network(name, bridge)
    file = tmp_path / "network.xml"
    file.write_text(network.xml)
    network.destroy()
    network.undefine()
    make_hookd(URI)
    command = refused(extnet, name, "network-missing")
    assert "FILE" in bash(command, status=1)
    bash(command.replace(" FILE ", f" {file} "))
    assert target(create(extnet, name)) == {"network": name}


# libvirt 9.0 takes no portgroup with a quote, < or & in its name: it writes them into its XML as they are.
@pytest.mark.parametrize("portgroup", ["lab", "$(touch x); `id` #", "Büro 2", "--live", "x" * 190])
def test_a_portgroup_that_is_missing(
    make_network: MakeNetwork, bridge: Bridge, make_hookd: MakeHookd, extnet: Path, portgroup: str
) -> None:
    network = make_network("my net", bridge)
    make_hookd(URI)
    value = f"my net/{portgroup}"
    bash(refused(extnet, value, "portgroup-missing"))
    assert target(create(extnet, value)) == {"network": "my net", "portgroup": portgroup}
    network.restart()  # it is in the configuration, too
    assert target(create(extnet, value)) == {"network": "my net", "portgroup": portgroup}


def test_a_portgroup_of_open_vswitch_needs_its_vlan(
    ovs_network: Network, ovs_bridge: OvsBridge, make_hookd: MakeHookd, make_guest: MakeGuest, extnet: Path
) -> None:
    """Pasted as it is, the command must not make one whose vNICs would be untagged."""
    make_hookd(URI)
    command = refused(extnet, "ovs-net/vlan-20", "portgroup-missing")
    assert "VLAN" in bash(command, status=1)
    assert refused(extnet, "ovs-net/vlan-20", "portgroup-missing") == command
    bash(command.replace('"VLAN"', '"20"'))
    vnic = etree.fromstring(create(extnet, "ovs-net/vlan-20").xml)
    for unfit in vnic.findall("filterref"):
        vnic.remove(unfit)
    guest = make_guest(domain_with(etree.tostring(vnic, encoding="unicode")))
    assert ovs_bridge.tag_of(guest.tap(MAC)) == 20


def test_a_portgroup_of_a_network_that_is_not_persistent(
    libvirtd: Libvirtd, cleanup: ExitStack, bridge: Bridge, make_hookd: MakeHookd, extnet: Path
) -> None:
    network = libvirtd.conn.networkCreateXML(
        f"<network><name>passing</name><forward mode='bridge'/><bridge name='{bridge.name}'/></network>"
    )
    cleanup.callback(network.destroy)
    make_hookd(URI)
    bash(refused(extnet, "passing/lab", "portgroup-missing"))
    assert target(create(extnet, "passing/lab")) == {"network": "passing", "portgroup": "lab"}


def test_a_colon_in_place_of_the_slash(ovs_network: Network, make_hookd: MakeHookd, extnet: Path) -> None:
    make_hookd(URI)
    run = create(extnet, "ovs-net:lab-42")
    assert "has no network 'ovs-net:lab-42'; did you mean 'ovs-net/lab-42'? (VM " in run.stderr


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_bridge_of_libvirts_own_that_is_gone(
    start_network: StartNetwork, make_hookd: MakeHookd, tmp_path: Path, name: str
) -> None:
    root = etree.Element("network")
    etree.SubElement(root, "name").text = name
    etree.SubElement(root, "bridge", name="own-bridge")
    start_network(name, etree.tostring(root, encoding="unicode"))
    configuration = make_hookd(URI, f"[libvirt]\nuri = {URI}\n").configuration

    def found() -> list[Any]:
        run = hookctl("check", "--host", f"--config={configuration}", "--json")
        return [each for each in json.loads(run.stdout)["findings"] if each["code"] == "bridge-missing"]

    assert found() == []
    Bridge("own-bridge").delete()
    (finding,) = found()
    bash(commands(finding["remedy"]))
    assert found() == []


@pytest.mark.parametrize("name", ["my place", "$(touch x)", "a'b;c", "é\n"])
def test_files_in_the_way(tmp_path: Path, name: str) -> None:
    """Of the sockets and the wake table."""
    shell = Shell(tmp_path)
    place = tmp_path / name
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    hook, control, wake = (str(place / file) for file in ("hook", "control", "hook.wake"))
    for path in (hook, control, wake):
        Path(path).write_text("")
        Path(path).chmod(0o660)
    (tmp_path / "conf").write_text("")
    config, policy = registry.configure(str(tmp_path / "conf"))
    config = replace(config, daemon=replace(config.daemon, hook_socket=hook, control_socket=control))
    called = [shell.run(commands(each.remedy)) for each in host_check.sockets(config)]
    assert [first for first, *_restarts in called] == [["rm", hook], ["rm", control]]
    assert all(call[0] == "systemctl" for _first, *restarts in called for call in restarts)
    restart = ["systemctl", "restart", "vdsm-hookd.service"]
    assert [shell.run(commands(each.remedy)) for each in host_check.wake(config, policy)] == [
        [["rm", wake], restart],
        [["chmod", "go-w", wake]],
        [["chmod", "go-w", str(place)]],
        [["hookctl", "reload"]],
    ]
