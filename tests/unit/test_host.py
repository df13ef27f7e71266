"""The host probe, against a made-up /sys and /run."""

from __future__ import annotations

from pathlib import Path

import pytest

from vdsm_hookd.host import Host


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(sysfs=tmp_path / "sys", run=tmp_path / "run")


def test_bridges(host: Host) -> None:
    (host.sysfs / "class/net/br0/bridge").mkdir(parents=True)
    for name in ("ovsbr0", "eth0"):
        (host.sysfs / "class/net" / name).mkdir()
    for name in ("ovsbr0", "gone"):
        write(host.run / "openvswitch" / f"{name}.mgmt", "")
    kinds = {name: host.bridge_kind(name) for name in ("br0", "ovsbr0", "eth0", "gone", "never")}
    assert kinds == {"br0": "bridge", "ovsbr0": "openvswitch", "eth0": "", "gone": "", "never": ""}
    there = {name for name in (*kinds, "..", ".", "", "eth0/../br0") if host.has_interface(name)}
    assert there == {"br0", "ovsbr0", "eth0"}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../net/br0", "./br0", "br0/", "/", "br0\n", "br 0", "brü", "\0", "\udcff", "b" * 16]
)
def test_what_no_interface_can_be_called_is_no_bridge(host: Host, name: str) -> None:
    (host.sysfs / "class/net/br0/bridge").mkdir(parents=True)
    (host.sysfs / "class/net/bridge").mkdir()
    (host.sysfs / "bridge").mkdir()
    assert host.bridge_kind(name) == ""


@pytest.mark.parametrize(
    ("settings", "module"),
    [
        ({}, ""),
        ({"kvm_intel": "Y\n"}, "kvm_intel"),
        ({"kvm_intel": "1\n"}, "kvm_intel"),
        ({"kvm_intel": "N\n"}, ""),
        ({"kvm_amd": "1\n"}, "kvm_amd"),
        ({"kvm_amd": "0\n"}, ""),
        ({"kvm_intel": "N\n", "kvm_amd": "Y\n"}, "kvm_amd"),
        ({"kvm": "1\n"}, ""),
    ],
)
def test_nested_virtualisation(host: Host, settings: dict[str, str], module: str) -> None:
    for name, value in settings.items():
        write(host.sysfs / "module" / name / "parameters/nested", value)
    assert host.nested_kvm_module() == module


def test_usb_devices(host: Host) -> None:
    for place, number in (("1-1.4", "9\n"), ("2-8", "junk\n")):
        write(host.sysfs / "bus/usb/devices" / place / "busnum", "1\n")
        write(host.sysfs / "bus/usb/devices" / place / "devnum", number)
    assert host.usb_address("1-1.4") == (1, 9)
    assert host.usb_address("2-8") is None
    assert host.usb_address("1-2") is None
    assert host.usb_address("../devices/1-1.4") is None


def test_this_host_can_be_asked() -> None:
    host = Host()
    assert host.bridge_kind("lo") == ""
    assert host.nested_kvm_module() in ("", "kvm_intel", "kvm_amd")
    assert host.usb_address("9-9.9.9.9") is None
