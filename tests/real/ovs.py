"""Open vSwitch with the userspace datapath: needs no kernel module."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.real.host import Daemon, linux_bridge_of, run

_DATABASE = Path("/var/lib/openvswitch/conf.db")
_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
# The default socket: libvirt calls ovs-vsctl without telling it where to look.
_SOCKET = Path("/run/openvswitch/db.sock")
_LOGS = Path("/var/log/openvswitch")


class OpenVSwitch:
    """ovsdb-server and ovs-vswitchd, started by hand on their default paths."""

    def __init__(self) -> None:
        self._database = Daemon(
            [
                "ovsdb-server",
                str(_DATABASE),
                f"--remote=punix:{_SOCKET}",
                "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
                "--pidfile",
                "--no-chdir",
            ],
            _LOGS / "ovsdb-server.log",
            ready=_SOCKET.exists,
        )
        self._switch = Daemon(
            ["ovs-vswitchd", f"unix:{_SOCKET}", "--pidfile", "--no-chdir"],
            _LOGS / "ovs-vswitchd.log",
            ready=_answers,
        )

    def start(self) -> None:
        _SOCKET.parent.mkdir(exist_ok=True)
        _DATABASE.unlink(missing_ok=True)
        run("ovsdb-tool", "create", str(_DATABASE), str(_SCHEMA))
        self._database.start()
        self.vsctl("--no-wait", "init")
        self._switch.start()

    def stop(self) -> None:
        self._switch.stop()
        self._database.stop()

    def vsctl(self, *arguments: str) -> str:
        """Run ovs-vsctl; it returns when ovs-vswitchd has done what it was told."""
        return run("ovs-vsctl", "--timeout=10", *arguments)


class OvsBridge:
    """An Open vSwitch bridge, for as long as the block lasts."""

    def __init__(self, ovs: OpenVSwitch, name: str) -> None:
        self._ovs = ovs
        self.name = name

    def __enter__(self) -> OvsBridge:
        self._ovs.vsctl("add-br", self.name, "--", "set", "bridge", self.name, "datapath_type=netdev")
        return self

    def __exit__(self, *_error: object) -> None:
        self._ovs.vsctl("--if-exists", "del-br", self.name)

    def ports(self) -> Sequence[str]:
        return sorted(self._ovs.vsctl("list-ports", self.name).split())

    def tag_of(self, port: str) -> int | None:
        """The VLAN that libvirt gave `port`, from the portgroup of its vNIC."""
        tag = self._ovs.vsctl("get", "port", port, "tag").strip()
        return None if tag == "[]" else int(tag)


def bridge_of(device: str) -> str | None:
    """The bridge of either kind that `device` is plugged into, or None."""
    linux = linux_bridge_of(device)
    if linux or not _SOCKET.exists():
        return linux
    for bridge in run("ovs-vsctl", "--timeout=10", "list-br").split():
        if device in run("ovs-vsctl", "--timeout=10", "list-ports", bridge).split():
            return bridge
    return None


def _answers() -> bool:
    done = subprocess.run(
        ["ovs-appctl", "--timeout=1", "--target=ovs-vswitchd", "version"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0
