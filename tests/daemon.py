"""The daemon under libvirt's test driver, on sockets of its own: for demo and benchmarks, which need no host."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vdsm_hookd import client

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SHIM = ROOT / "shim" / "hook-shim"
SAMPLES = ROOT / "tests" / "samples"
START_DEADLINE = 20.0  # seconds
_LOOK_AGAIN = 0.02


@dataclass(frozen=True)
class Sandbox:
    """Where a daemon runs: its folder, its libvirt, and the command that starts it."""

    folder: Path

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
        return [
            str(BIN / "vdsm-hookd"),
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
def running(folder: Path, quiet: bool = False, more_networks: str = "", more_rules: str = "") -> Iterator[Sandbox]:
    """A daemon that knows the sample networks and more, all of them active, for as long as the block lasts."""
    sandbox = Sandbox(folder)
    sandbox.configuration.write_text((ROOT / "conf" / "vdsm-hookd.conf").read_text() + more_rules)
    (folder / "node.xml").write_text(f"<node>{sample_networks()}{more_networks}</node>")
    with subprocess.Popen(sandbox.command, stderr=subprocess.DEVNULL if quiet else None) as process:
        try:
            _wait_ready(sandbox, process)
            yield sandbox
        finally:
            process.terminate()


def _wait_ready(sandbox: Sandbox, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while True:
        try:
            client.ask(str(sandbox.control_socket), "status", {})
        except client.Unreachable as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("vdsm-hookd did not start") from error
            time.sleep(_LOOK_AGAIN)
        else:
            return
