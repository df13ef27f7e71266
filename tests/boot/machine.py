"""A booted host: systemd as PID 1 of a container, over an image that stays as it is."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.real.host import run
from tests.real.wait import wait_for

ROOT = Path(__file__).resolve().parents[2]
BOOT_DEADLINE = 60.0
_STOP_DEADLINE = 30.0
_UNITS = ("vdsm-hookd.service", "vdsm-hookd.socket", "vdsm-hookd-control.socket")


class Failed(Exception):
    """A command in the machine ended otherwise than the test wanted."""


class Machine:
    """One boot, for as long as the block lasts. The checkout lies in it, read-only, at its own path."""

    def __init__(self, base: Path, folder: Path, masked: Sequence[str] = ()) -> None:
        self._base = base
        self._folder = folder
        self._masked = masked
        self._console = folder / "console.log"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    @property
    def root(self) -> Path:
        """Its file system, as this machine sees it; without what is mounted inside."""
        return self._folder / "root"

    def __enter__(self) -> Machine:
        # In memory: the fastest, and an overlay's upper layer may lie on no overlay, as a CI's disk may be one.
        layers = self._folder / "layers"
        for folder in (layers, self.root):
            folder.mkdir()
        run("mount", "-t", "tmpfs", "boot", str(layers))
        for name in ("upper", "work"):
            (layers / name).mkdir()
        options = f"lowerdir={self._base},upperdir={layers}/upper,workdir={layers}/work"
        run("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))
        for unit in self._masked:
            (self.root / "etc/systemd/system" / unit).symlink_to("/dev/null")
        self.boot()
        return self

    def __exit__(self, *_error: object) -> None:
        self.power_off()
        run("umount", str(self.root))
        run("umount", str(self._folder / "layers"))

    def boot(self) -> None:
        """Start it and return when all is up."""
        command = [
            *("systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit", "--private-network"),
            *(f"--directory={self.root}", "--machine=host", "--console=pipe", "--bind=/dev/net/tun"),
            f"--bind-ro={ROOT}",
        ]
        # A writable sysfs: libvirt configures bridges through it.
        environment = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"}
        with self._console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment
            )
        self._leader = wait_for(self._find_leader, self._why_not, BOOT_DEADLINE)
        wait_for(lambda: self.status("systemctl", "is-system-running") == 0, self._why_not, BOOT_DEADLINE)

    def power_off(self) -> None:
        """End it in the orderly way."""
        assert self._nspawn is not None
        self._nspawn.terminate()  # nspawn tells the system to power off
        try:
            self._nspawn.wait(_STOP_DEADLINE)
        finally:
            self._nspawn.kill()

    def enter(self, *argv: str, user: str = "root") -> list[str]:
        """The command that runs `argv` in there."""
        group = {"vdsm": "kvm", "nobody": "nogroup"}.get(user, user)
        become = () if user == "root" else ("setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups")
        namespaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wdns=/")
        return ["nsenter", f"--target={self._leader}", *namespaces, "--", *become, *argv]

    def popen(self, *argv: str, **options: Any) -> subprocess.Popen[str]:
        """Start `argv` in there, with pipes."""
        return subprocess.Popen(
            self.enter(*argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT, **options
        )

    def start_module(self, name: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start one of the checkout's own programs in there, with pipes."""
        return self.popen("env", f"PYTHONPATH={ROOT}", "python3", "-m", name, *arguments, **options)

    def call(self, *argv: str, user: str = "root", timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run `argv` in there, whatever comes of it."""
        return subprocess.run(
            self.enter(*argv, user=user),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=_ENVIRONMENT,
            check=False,
        )

    def status(self, *argv: str) -> int:
        """The exit status of `argv`."""
        return self.call(*argv).returncode

    def run(self, *argv: str, timeout: float = 60.0) -> str:
        """Run `argv` in there, which must succeed; return its output."""
        done = self.call(*argv, timeout=timeout)
        if done.returncode != 0:
            raise Failed(f"{' '.join(argv)}: exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """A file in there, readable by all."""
        subprocess.run(
            self.enter("sh", "-ec", 'umask 022; mkdir -p "${0%/*}"; cat >"$0"', path), input=text, text=True, check=True
        )

    def property(self, unit: str, name: str) -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def active(self, unit: str) -> bool:
        return self.property(unit, "ActiveState") == "active"

    def pid(self) -> int:
        """The daemon's, in there; 0 while it does not run."""
        return int(self.property("vdsm-hookd.service", "MainPID"))

    def processes(self) -> Sequence[int]:
        """All that run in there, as this machine numbers them; its PID 1 first."""
        own = os.readlink(f"/proc/{self._leader}/ns/pid")
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                if os.readlink(folder / "ns/pid") == own:
                    found.append(int(folder.name))
        return sorted(found)

    def kill(self, number: signal.Signals) -> None:
        """Send the daemon a signal."""
        self.run("systemctl", "kill", "--kill-whom=main", f"--signal={number.name}", "vdsm-hookd.service")

    def journal(self, *match: str) -> str:
        """The messages of this boot that match."""
        return self.run("journalctl", "--boot", "--output=cat", "--no-pager", *match)

    def heal(self) -> None:
        """Back to what an installed host is: default configuration, sockets listening, service running."""
        self.run("rm", "-rf", *(f"/etc/systemd/system/{unit}.d" for unit in _UNITS))
        self.run("sh", "-c", "rm -f /etc/vdsm-hookd/vdsm-hookd.conf.d/*")
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "stop", *_UNITS)
        self.run("systemctl", "start", *_UNITS)

    def _find_leader(self) -> int:
        """The container's PID 1, once it is systemd."""
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise AssertionError(self._why_not())
        threads = Path(f"/proc/{self._nspawn.pid}/task").glob("*/children")
        for child in " ".join(thread.read_text() for thread in threads).split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return 0

    def _why_not(self) -> str:
        failed = self.call("systemctl", "--failed", "--no-legend").stdout if self._leader else ""
        return f"the machine up; failed units: {failed or 'unknown'}; its console:\n{self._console.read_text()[-4000:]}"


_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
