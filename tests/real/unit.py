"""The daemon under test as the service that it is on a host: under its unit, by systemd, on systemd's sockets.

tests/boot runs this suite so, in a booted machine. Options and libvirt go into the unit by a drop-in.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.real.hookd import Hookd
from tests.real.host import run

_SERVICE = "vdsm-hookd.service"
_SOCKETS = ("vdsm-hookd.socket", "vdsm-hookd-control.socket")
_DROP_IN = Path(f"/run/systemd/system/{_SERVICE}.d/test.conf")
_START = """[Service]
ExecStart=
ExecStart=/usr/sbin/vdsm-hookd --config={configuration} --libvirt-uri={uri}
# The test's folder, which PrivateTmp would hide.
BindReadOnlyPaths={folder}
"""


class HookdUnit(Hookd):
    """Hookd, but what it does to the daemon it tells systemd to do."""

    def __init__(self, directory: Path, uri: str, configuration: str = "") -> None:
        super().__init__(directory, uri, configuration)
        for folder in (directory, *directory.parents[:3]):  # pytest's own, closed to the service's user
            folder.chmod(folder.stat().st_mode | 0o055)
        _DROP_IN.parent.mkdir(parents=True, exist_ok=True)
        _DROP_IN.write_text(_START.format(configuration=self.configuration, uri=uri, folder=directory))
        run("systemctl", "daemon-reload")
        self._cursor = run("journalctl", "--lines=0", "--show-cursor").rpartition("cursor: ")[2].strip()

    @property
    def running(self) -> bool:
        return subprocess.run(["systemctl", "is-active", "--quiet", _SERVICE], check=False).returncode == 0

    @property
    def pid(self) -> int:
        return int(run("systemctl", "show", "--property=MainPID", "--value", _SERVICE))

    def start(self, deadline: float = 20.0) -> None:
        """Start it and return when it serves: systemd waits for READY=1."""
        run("systemctl", "start", *_SOCKETS, _SERVICE, timeout=deadline)

    def stop(self, deadline: float = 20.0) -> None:
        """End it, and the sockets, or the next request would start it again."""
        run("systemctl", "stop", *_SOCKETS, _SERVICE, timeout=deadline)

    def kill(self) -> None:
        """End it as a crash would, and for good."""
        os.kill(self.pid, 9)
        self.stop()

    def told(self) -> list[str]:
        raise NotImplementedError("systemd keeps it to itself")

    def close(self) -> None:
        self.stop()
        self._told.close()
        _DROP_IN.unlink()
        run("systemctl", "daemon-reload")

    def logged(self) -> str:
        since = f"--after-cursor={self._cursor}"
        run("journalctl", "--sync")
        return run("journalctl", since, "--output=cat", "--all", f"_SYSTEMD_UNIT={_SERVICE}")
