"""The daemon under test, as a process at its default sockets, and the hook directories in front of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.real.host import Daemon
from tests.real.wait import wait_for
from vdsm_hookd import client

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# Installed beside the system's Python, it is in sbin.
VDSM_HOOKD = BIN / "vdsm-hookd" if (BIN / "vdsm-hookd").exists() else BIN.parent / "sbin" / "vdsm-hookd"
SHIM = ROOT / "shim" / "hook-shim"
RUN = Path("/run/vdsm-hookd")
HOOK_SOCKET = RUN / "hook.sock"
CONTROL_SOCKET = RUN / "control.sock"
EVENTS = ("before_device_create", "before_nic_hotplug", "before_update_device", "before_device_migrate_destination")
TEST_NODE = "<node>{}</node>"


class Hookd(Daemon):
    """vdsm-hookd with a configuration and a libvirt of the test's choice, and what it tells systemd."""

    def __init__(
        self,
        directory: Path,
        uri: str,
        configuration: str = "",
        environment: Iterable[str] = (),
        isolated: bool = False,
    ) -> None:
        """With `isolated` it runs as an installed one, whose launcher has Python's -I."""
        self.configuration = directory / "vdsm-hookd.conf"
        self.configuration.write_text(configuration)
        self.log = directory / "vdsm-hookd.log"
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        notify = directory / "notify.sock"
        self._told.bind(str(notify))
        RUN.mkdir(exist_ok=True)
        program = [sys.executable, "-I", str(VDSM_HOOKD)] if isolated else [str(VDSM_HOOKD)]
        command = [*program, f"--config={self.configuration}", f"--libvirt-uri={uri}"]
        super().__init__(
            ["env", f"NOTIFY_SOCKET={notify}", *environment, *command], self.log, ready=lambda: "READY=1" in self.told()
        )
        self._states: list[str] = []

    def told(self) -> list[str]:
        """The state lines that it has sent to systemd so far."""
        with suppress(BlockingIOError):
            while True:
                self._states += self._told.recv(4096).decode().splitlines()
        return self._states

    def start(self, deadline: float = 20.0) -> None:
        self._states = []
        super().start(deadline)

    def close(self) -> None:
        """End it, if it still runs, and what belongs to it."""
        if self.running:
            self.stop()
        self._told.close()
        for path in (HOOK_SOCKET, CONTROL_SOCKET):
            path.unlink(missing_ok=True)

    def ask(self, verb: str, **arguments: Any) -> Any:
        """A question on the control socket."""
        return client.ask(str(CONTROL_SOCKET), verb, arguments)

    def states(self) -> dict[str, bool]:
        """Which networks it knows, and whether they are active."""
        return {network["name"]: network["active"] for network in self.ask("networks")}

    def wait_states(self, expected: dict[str, bool], deadline: float = 10.0) -> None:
        """Wait until it knows these networks, in these states."""
        wait_for(
            lambda: {name: self.states().get(name) for name in expected} == expected,
            lambda: f"networks {expected}, it knows {self.states()}",
            deadline,
        )

    def logged(self) -> str:
        return self.log.read_text()

    def wait_logged(self, text: str) -> None:
        """Wait for a line in the log: a request is logged after it is answered."""
        wait_for(lambda: text in self.logged(), lambda: f"{text!r} in the log:\n{self.logged()}")


def hookctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The operator's command."""
    return subprocess.run([str(BIN / "hookctl"), *arguments], capture_output=True, text=True, timeout=30, check=False)


def hookctl_json(*arguments: str) -> Any:
    """What it prints with --json."""
    return json.loads(hookctl(*arguments, "--json").stdout)


def link_hook(directory: Path, hook: str = "extnet", events: Iterable[str] = EVENTS, number: int = 50) -> Path:
    """Hook directories as an installed host has them: symlinks to the shim.

    To a copy of it, for the checkout may lie where the user vdsm may not enter.
    """
    shim = directory / "hook-shim"
    if not shim.exists():
        shutil.copy(SHIM, shim)
    for event in events:
        (directory / event).mkdir(exist_ok=True)
        os.symlink(shim, directory / event / f"{number}_{hook}")
    return directory
