# SPDX-License-Identifier: GPL-2.0-or-later
"""What vdsm would set up for one hook, and what a run of it has to look like."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.shim.peer import Peer

    Result = subprocess.CompletedProcess[bytes]
    Serve = Callable[..., Peer]

OLD = b"<interface type='bridge'><source bridge='ovirtmgmt'/></interface>\n"
NEW = b"<interface type='network'><source network='glitter'/></interface>\n"
GENEROUS = 60.0
"""Seconds after which a test gives up on a process. Nothing should ever come near it."""


class Host:
    """What vdsm would set up for one hook: the link to the shim, the document, the environment."""

    def __init__(self, shim: pathlib.Path, place: pathlib.Path) -> None:
        self.place = place
        self.socket = place / "s"
        self.table = place / "s.wake"
        self.shim = shim
        self.hook = self.link("before_nic_hotplug")
        self.document = place / "doc" / "vm.xml"
        self.document.parent.mkdir()
        self.document.write_bytes(OLD)
        self.document.chmod(0o600)

    def link(self, event: str) -> pathlib.Path:
        """The hook at this event, as a package links it."""
        hook = self.place / event / "50_extnet"
        hook.parent.mkdir()
        hook.symlink_to(self.shim)
        return hook

    def environment(self, **changes: str | None) -> dict[str, str]:
        settings: dict[str, str | None] = {
            "_hook_domxml": str(self.document),
            "vmId": "6b7e",
            "extnet": "glitter",
            # for the sanitized binary under strace or with odd limits; the real one knows no such thing
            "ASAN_OPTIONS": "detect_leaks=0:exitcode=99",
        }
        settings.update(changes)
        return {name: value for name, value in settings.items() if value is not None}

    def command(self, *options: str) -> list[str]:
        return [str(self.hook), f"--socket={self.socket}", *options]

    def run(
        self,
        *options: str,
        environment: dict[str, str] | None = None,
        wrapper: list[str] | None = None,
        preexec: Callable[[], object] | None = None,
    ) -> Result:
        return subprocess.run(
            [*(wrapper or []), *self.command(*options)],
            env=self.environment() if environment is None else environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GENEROUS,
            preexec_fn=preexec,
        )

    @contextmanager
    def started(self, *options: str, preexec: Callable[[], object] | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """The hook while it waits; it ends with the block, at the latest."""
        process = subprocess.Popen(self.command(*options), env=self.environment(), preexec_fn=preexec)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def litter(self) -> list[str]:
        return [path.name for path in self.document.parent.iterdir() if path != self.document]


def refused(result: Result, code: str, hook: str = "extnet") -> str:
    """The one line of a refusal, checked for its form."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == b""
    assert result.stderr.endswith(b"\n")
    assert result.stderr.count(b"\n") == 1
    assert len(result.stderr) <= 1200
    assert all(byte >= 0x20 and byte != 0x7F for byte in result.stderr[:-1])
    line = result.stderr.decode()
    assert line.startswith(f"{hook}: {code}: "), line
    return line


def quiet(result: Result) -> None:
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as two users")


def untouched(host: Host) -> None:
    assert host.document.read_bytes() == OLD
    assert host.litter() == []


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
