"""The private host that tests/real/run makes: namespaces, daemons, bridges."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

from tests.real.wait import wait_for

# Written by tests/real/run into the tmpfs over /run, so it can't outlive it.
_MARKER = Path("/run/vdsm-hookd-tests")
_NAMESPACES = ("mnt", "net", "pid")
_LOG_TAIL = 4000


class NotPrivate(Exception):
    """The tests would start daemons on the machine itself."""


def require_private_host() -> None:
    """Refuse to go on outside the namespaces that tests/real/run makes."""
    own = [os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES]
    try:
        expected = _MARKER.read_text().split()
    except FileNotFoundError:
        expected = []
    if own != expected:
        raise NotPrivate(
            "tests/real starts libvirtd, Open vSwitch and guests and must not touch this "
            "machine: run it as root through tests/real/run, for example "
            "`tests/real/run python3 -m pytest tests/real`"
        )


class Daemon:
    """A daemon in the foreground, as a child, with its output in a log.

    Not started by systemd and not by a service script: the tests need its PID
    to stop, freeze and kill it at any point.
    """

    def __init__(self, argv: Sequence[str], log: Path, ready: Callable[[], bool]) -> None:
        self._argv = list(argv)
        self._log = log
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._child.pid

    def start(self, deadline: float = 20.0) -> None:
        """Start it and return when it serves."""
        if self.running:
            raise RuntimeError(f"{self._argv[0]} runs already")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._serves, self._why_not, deadline)

    def stop(self, deadline: float = 20.0) -> None:
        """End it in the orderly way. Thaws it first: a frozen one can't end."""
        self.sigcont()
        self._child.terminate()
        try:
            self._child.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it as a crash would."""
        self._child.kill()
        self._child.wait()

    def sigstop(self) -> None:
        """Freeze it: it keeps its sockets and answers nobody."""
        self._child.send_signal(signal.SIGSTOP)
        # The signal takes effect a moment after kill() has returned.
        wait_for(lambda: self._state() == "T", f"{self._argv[0]} frozen")

    def sigcont(self) -> None:
        self._child.send_signal(signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Frozen inside the block, thawed after it whatever happens."""
        self.sigstop()
        try:
            yield
        finally:
            self.sigcont()

    @property
    def _child(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self._argv[0]} was never started")
        return self._process

    def _serves(self) -> bool:
        if not self.running:
            raise AssertionError(self._why_not())
        return self._ready()

    def _state(self) -> str:
        # pid (comm) state …; comm may hold blanks and parentheses.
        text = Path(f"/proc/{self.pid}/stat").read_text()
        return text.rpartition(")")[2].split()[0]

    def _why_not(self) -> str:
        tail = self._log.read_text(errors="replace")[-_LOG_TAIL:]
        return f"{self._argv[0]} ready (exit status {self._child.poll()}); its log ends:\n{tail}"


class Bridge:
    """A Linux bridge, for as long as the block lasts."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Bridge:
        run("ip", "link", "add", "name", self.name, "type", "bridge")
        run("ip", "link", "set", "dev", self.name, "up")
        return self

    def __exit__(self, *_error: object) -> None:
        # A test may have deleted it: that is something libvirt sends no event for.
        if Path(f"/sys/class/net/{self.name}").exists():
            self.delete()

    def delete(self) -> None:
        run("ip", "link", "delete", "dev", self.name)

    def ports(self) -> Sequence[str]:
        return sorted(os.listdir(f"/sys/class/net/{self.name}/brif"))


def linux_bridge_of(device: str) -> str | None:
    """The Linux bridge that `device` is a port of, as the kernel sees it."""
    master = Path(f"/sys/class/net/{device}/master")
    return master.resolve().name if master.exists() else None


def run(*argv: str, timeout: float = 10.0) -> str:
    """Run a tool that must succeed; return its output."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout
