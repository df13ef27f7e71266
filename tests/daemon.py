"""The daemon under libvirt's test driver, on sockets of its own: for demo and benchmarks, which need no host."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vdsm_hookd import client

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SHIM = ROOT / "shim" / "hook-shim"
SAMPLES = ROOT / "tests" / "samples"
GLITTER = (SAMPLES / "network-glitter.xml").read_text()
UNIT = ROOT / "systemd" / "vdsm-hookd.service"
START_DEADLINE = 60.0  # seconds
_LOOK_AGAIN = 0.02


@dataclass(frozen=True)
class Sandbox:
    """Where a daemon runs: its folder, its libvirt, and the command that starts it."""

    folder: Path
    pid: int = 0

    @property
    def uri(self) -> str:
        return f"test://{self.folder / 'node.xml'}"

    @property
    def configuration(self) -> Path:
        return self.folder / "vdsm-hookd.conf"

    @property
    def hook_socket(self) -> Path:
        return self.folder / "hook.sock"

    @property
    def control_socket(self) -> Path:
        return self.folder / "control.sock"

    @property
    def command(self) -> list[str]:
        return [str(BIN / "vdsm-hookd"), *self.arguments]

    @property
    def arguments(self) -> list[str]:
        return [
            f"--config={self.configuration}",
            f"--libvirt-uri={self.uri}",
            f"--hook-socket={self.hook_socket}",
            f"--control-socket={self.control_socket}",
        ]

    def shim(self, event: str, hook: str) -> list[str]:
        """The shim's command; on a host its path and name say event and hook, and the socket is the default."""
        return [str(SHIM), f"--socket={self.hook_socket}", f"--event={event}", f"--hook={hook}"]


def sample_networks() -> str:
    """The XML of the sample networks."""
    return "".join(file.read_text() for file in sorted(SAMPLES.glob("network-*.xml")))


@contextmanager
def running(
    folder: Path,
    quiet: bool = False,
    networks: str | None = None,
    more_rules: str = "",
    command: Sequence[str] = (str(BIN / "vdsm-hookd"),),
) -> Iterator[Sandbox]:
    """A daemon that knows these networks (default: the samples), all of them active, for as long as the block lasts."""
    sandbox = prepare(folder, networks, more_rules)
    environment = {**os.environ, **dict(variable.split("=", 1) for variable in unit_environment())}
    stderr = subprocess.DEVNULL if quiet else None
    with subprocess.Popen([*command, *sandbox.arguments], env=environment, stderr=stderr) as process:
        try:
            _wait_ready(sandbox, process)
            yield replace(sandbox, pid=process.pid)
        finally:
            process.terminate()


def prepare(folder: Path, networks: str | None = None, more_rules: str = "") -> Sandbox:
    """The files of a daemon that does not run yet."""
    sandbox = Sandbox(folder)
    sandbox.configuration.write_text((ROOT / "conf" / "vdsm-hookd.conf").read_text() + more_rules)
    (folder / "node.xml").write_text(f"<node>{sample_networks() if networks is None else networks}</node>")
    return sandbox


def unit_environment() -> list[str]:
    """What the unit sets for the daemon: NAME=VALUE."""
    lines = UNIT.read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith("Environment=")]


@contextmanager
def socket_activated(sandbox: Sandbox) -> Iterator[None]:
    """systemd's own tool listens on the daemon's sockets, and becomes the daemon when the first client comes."""
    sockets = (sandbox.hook_socket, sandbox.control_socket)
    for path in sockets:
        path.unlink(missing_ok=True)
    listen = [f"--listen={path}" for path in sockets]
    setenv = [f"--setenv={variable}" for variable in unit_environment()]
    command = ["systemd-socket-activate", *listen, "--fdname=hook:control", *setenv, *sandbox.command]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + START_DEADLINE
            while not all(path.exists() for path in sockets):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("systemd-socket-activate does not listen")
                time.sleep(_LOOK_AGAIN)
            yield
        finally:
            process.terminate()


def _wait_ready(sandbox: Sandbox, process: subprocess.Popen[bytes]) -> None:
    """Until it has read all networks."""
    deadline = time.monotonic() + START_DEADLINE
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("vdsm-hookd did not start")
        with suppress(client.Unreachable):
            if client.ask(str(sandbox.control_socket), "status", {})["libvirt"]["synced_at"] is not None:
                return
        time.sleep(_LOOK_AGAIN)
