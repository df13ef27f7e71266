"""Run hooks the way vdsm runs them (vdsm master, lib/vdsm/common/hooks.py).

The tests use this in place of vdsm, so every quirk that a hook can meet is kept
on purpose: the mkstemp file that is read back by name, the environment in which
a user's custom properties are plain variables, exit codes 1 and 2, and the
``taskset`` in front. Only two things are added: a deadline, because vdsm has
none and a hanging hook would hang the tests, and a private directory for the
file, so that whatever a hook leaves beside it can be seen.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VM_ID = "7a9c4a0e-6d1f-4a57-9a55-3a9f2d0f5b11"
SAFETY_TIMEOUT = 30.0

_STOP = 2
_RESERVED = 3


class HookTimeout(Exception):
    """A hook ran past the safety timeout. Under vdsm it would hang the VM."""


@dataclass(frozen=True)
class HookResult:
    """What one hook did."""

    name: str
    returncode: int
    stdout: bytes
    stderr: bytes
    seconds: float


@dataclass(frozen=True)
class HookRun:
    """What vdsm is left with after all hooks of one event."""

    xml: str
    hooks: tuple[HookResult, ...]
    # Names beside the XML file once vdsm has removed it; must be empty.
    litter: tuple[str, ...]
    # Of the XML file as vdsm found it at the end: a hook that replaces the file
    # must not change who may read it.
    mode: int
    uid: int
    gid: int

    @property
    def failed(self) -> bool:
        """True where vdsm raises HookError."""
        return any(hook.returncode != 0 for hook in self.hooks)

    @property
    def stderr(self) -> str:
        """The text of vdsm's error: that of the last hook that ran."""
        if not self.hooks:
            return ""
        return self.hooks[-1].stderr.decode("utf-8", errors="replace")

    @property
    def returncodes(self) -> dict[str, int]:
        return {hook.name: hook.returncode for hook in self.hooks}

    @property
    def durations(self) -> dict[str, float]:
        return {hook.name: hook.seconds for hook in self.hooks}

    @property
    def reserved(self) -> tuple[str, ...]:
        """Hooks that exited with a status that vdsm reserves (above 2, or a signal)."""
        return tuple(hook.name for hook in self.hooks if hook.returncode >= _RESERVED or hook.returncode < 0)


@dataclass(frozen=True)
class _Account:
    uid: int
    gid: int
    groups: tuple[int, ...]


def run_hooks(
    hooks_dir: Path,
    event: str,
    domxml: str,
    params: Mapping[str, str | bytes] | None = None,
    *,
    vm_id: str = VM_ID,
    env: Mapping[str, str] | None = None,
    user: str | int | None = None,
    timeout: float = SAFETY_TIMEOUT,
) -> HookRun:
    """Run all hooks of `event` over `domxml` and return what vdsm would see.

    `params` are the custom properties; `env` is vdsmd's own environment, by
    default that of the tests. With `user` (a name, or a uid that needs no entry
    in passwd) the hooks run as that user and the file belongs to it. Raises
    HookTimeout after `timeout` seconds per hook, and OSError or
    UnicodeDecodeError where vdsm would fail to read the file back.
    """
    account = _account(user)
    with tempfile.TemporaryDirectory(prefix="vdsm-") as directory:
        if account:
            os.chown(directory, account.uid, account.gid)
        filename = _write_document(directory, domxml, account)
        environment = _environment(env, params or {}, vm_id, filename)

        results: list[HookResult] = []
        for hook in hooks_of(hooks_dir, event):
            results.append(_run_hook(hook, environment, account, timeout))
            if results[-1].returncode == _STOP:
                break

        status = os.stat(filename)
        with open(filename, encoding="utf-8") as document:
            xml = document.read()
        os.unlink(filename)
        return HookRun(
            xml=xml,
            hooks=tuple(results),
            litter=tuple(sorted(os.listdir(directory))),
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
        )


def hooks_of(hooks_dir: Path, event: str) -> list[Path]:
    """The hooks that vdsm would run for `event`, in its order.

    The path is made absolute but symlinks in it stay: a shim tells what it is
    by the name that it was called by.
    """
    directory = Path(os.path.abspath(hooks_dir)) / event
    return sorted(
        path
        for path in directory.glob("*")
        if not path.name.startswith(".") and path.is_file() and os.access(path, os.X_OK)
    )


def _account(user: str | int | None) -> _Account | None:
    if user is None:
        return None
    if isinstance(user, int):
        return _Account(user, user, ())
    entry = pwd.getpwnam(user)
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return _Account(entry.pw_uid, entry.pw_gid, tuple(groups))


def _write_document(directory: str, domxml: str, account: _Account | None) -> str:
    fd, filename = tempfile.mkstemp(dir=directory)
    with open(fd, "wb") as document:
        document.write(domxml.encode("utf-8"))
        if account:
            os.fchown(document.fileno(), account.uid, account.gid)
    return filename


def _environment(
    env: Mapping[str, str] | None,
    params: Mapping[str, str | bytes],
    vm_id: str,
    filename: str,
) -> dict[bytes, bytes]:
    """vdsmd's environment, over it the properties, over them vdsm's own names."""
    merged: dict[bytes, bytes] = {}
    own = {"vmId": vm_id, "_hook_domxml": filename}
    for layer in (os.environ if env is None else env, params, own):
        for name, value in layer.items():
            merged[os.fsencode(name)] = os.fsencode(value)
    return merged


def _run_hook(hook: Path, environment: dict[bytes, bytes], account: _Account | None, timeout: float) -> HookResult:
    cpus = f"0-{(os.cpu_count() or 1) - 1}"
    started = time.monotonic()
    with subprocess.Popen(
        ["taskset", "--cpu-list", cpus, str(hook)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=account.groups if account else None,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException as error:
            # taskset has become the hook, so this kills the hook itself.
            process.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                raise HookTimeout(f"{hook} still runs after {timeout:g} s") from error
            raise
    return HookResult(
        name=hook.name,
        returncode=process.returncode,
        stdout=stdout,
        stderr=stderr,
        seconds=time.monotonic() - started,
    )
