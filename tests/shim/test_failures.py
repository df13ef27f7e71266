# SPDX-License-Identifier: GPL-2.0-or-later
"""Status 2: one line that says why, and a document that is byte for byte what it was."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests import faults
from tests.shim.host import GENEROUS, NEW, NOBODY, OLD, Host, become_nobody, needs_root, quiet, refused, untouched
from tests.shim.peer import Talk, answer, reply, rewrite

if TYPE_CHECKING:
    import pathlib

    from tests.shim.host import Serve

# Options


@pytest.mark.parametrize(
    "option",
    [
        "--frobnicate",
        "-v",
        "extnet",
        "--",
        "",
        "--socket",
        "--socket=",
        "--event=",
        "--hook=",
        "--version=1",
        "--timeout=",
        "--timeout=0",
        "--timeout=0.0",
        "--timeout=0.0001",
        "--timeout=-1",
        "--timeout=60.001",
        "--timeout=61",
        "--timeout=5s",
        "--timeout=5.",
        "--timeout=.5",
        "--timeout=.",
        "--timeout=1.2.3",
        "--timeout=1e1",
        "--timeout=inf",
        "--timeout=0x5",
        "--timeout= 5",
        "--timeout=99999999999999999999",
        "--timeout=18446744073709551617",
        "--timeout=\n",
    ],
)
def test_a_bad_option(host: Host, option: str) -> None:
    refused(host.run(option, environment={}), "bad-option")


@pytest.mark.parametrize("timeout", ["60", "60.0", "0.001", "0.5", "5", "59.99999", "00005"])
def test_good_timeouts(host: Host, serve: Serve, timeout: str) -> None:
    quiet(host.run(f"--timeout={timeout}", environment={}))


def test_the_version(host: Host) -> None:
    result = host.run("--version")
    assert result.returncode == 0
    assert result.stdout.startswith(b"hook-shim ")
    assert result.stdout.endswith(b"\n")


def test_a_socket_name_that_is_too_long(host: Host) -> None:
    refused(host.run(f"--socket=/{'s' * 107}"), "bad-option")
    untouched(host)


# The document


def path_cases(host: Host, kind: str) -> str:
    path = host.place / kind
    if kind == "symlink":
        path.symlink_to(host.document)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "device":
        return "/dev/null"
    elif kind == "terminal":
        return "/dev/ptmx"
    return str(path)


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "device", "terminal"])
def test_what_is_no_regular_file(host: Host, kind: str) -> None:
    path = path_cases(host, kind)
    assert path in refused(host.run(environment=host.environment(_hook_domxml=path)), "not-permitted")
    untouched(host)
    faults.held("hostile-document", 1, "refused, untouched")


@pytest.mark.parametrize("path", [None, "", "vm.xml", "./vm.xml", "/nonexistent/vm.xml", "/" + "x/" * 2100])
def test_what_is_no_file_at_all(host: Host, path: str | None) -> None:
    refused(host.run(environment=host.environment(_hook_domxml=path)), "bad-document")
    faults.held("hostile-document", 1, "refused, untouched")


def test_a_socket_is_no_document(host: Host, serve: Serve) -> None:
    serve(rewrite(NEW))
    refused(host.run(environment=host.environment(_hook_domxml=str(host.socket))), "bad-document")
    faults.held("hostile-document", 1, "refused, untouched")


@needs_root
def test_another_users_file(host: Host) -> None:
    os.chown(host.document, NOBODY, NOBODY)
    refused(host.run(), "not-permitted")
    untouched(host)
    faults.held("hostile-document", 1, "refused, untouched")


@needs_root
def test_a_document_that_may_not_be_opened(host: Host) -> None:
    """Of another user, and of one's own behind a directory that is closed."""
    host.document.chmod(0o600)
    refused(host.run(preexec=become_nobody), "bad-document")
    os.chown(host.document, NOBODY, NOBODY)
    host.document.parent.chmod(0o700)
    refused(host.run(preexec=become_nobody), "bad-document")
    untouched(host)
    faults.held("hostile-document", 2, "refused, untouched")


def test_a_document_that_stays_locked(host: Host) -> None:
    with host.document.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "locked" in refused(host.run("--timeout=0.2"), "bad-document")
    untouched(host)


# Writing


NO_ROOM = "exit 2, the original intact, no litter"


@pytest.mark.parametrize("limit", [0, 1, 50000, 99999])
def test_a_file_size_limit(host: Host, serve: Serve, sanitized: bool, limit: int) -> None:
    serve(rewrite(b"x" * 100000))
    refused(host.run(preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))), "write-failed")
    untouched(host)
    faults.held("no-space", 1, NO_ROOM)


# The shim runs in a mount namespace of its own, where another file system lies over the document's directory.
MOUNTED = """
set -e
d=$(dirname "$_hook_domxml")
mount -t tmpfs -o "$OPTIONS" none "$d"
printf old > "$_hook_domxml"
sh -ec "$BEFORE"
"$@" || status=$?
test "$(ls -A "$d")" = "$LEFT"
test "$(cat "$_hook_domxml")" = old
exit ${status:-0}
"""


@needs_root
@pytest.mark.parametrize(
    ("options", "before", "error"),
    [
        ("size=64k", "", "No space left"),
        ("size=8k", "head -c 4096 /dev/zero > full", "No space left"),
        ("nr_inodes=2", "", "No space left"),
        ("size=1m", 'mount -o remount,ro "$PWD"', "Read-only"),
        ("size=1m", 'mount --bind "$PWD" "$PWD"; mount -o remount,ro,bind "$PWD"; cd .', "Read-only"),
    ],
    ids=["little space", "no space", "no inode", "read-only", "read-only by a mount"],
)
def test_a_file_system_that_takes_no_more(host: Host, serve: Serve, options: str, before: str, error: str) -> None:
    serve(rewrite(b"x" * 200000))
    left = "full\nvm.xml" if "full" in before else "vm.xml"
    settings = {"OPTIONS": options, "LEFT": left, "BEFORE": f'cd "{host.document.parent}"; {before}'}
    environment = {**os.environ, **host.environment(), **settings}
    result = host.run(environment=environment, wrapper=["unshare", "-m", "sh", "-c", MOUNTED, "sh"])
    assert error in refused(result, "write-failed")
    faults.held("no-space", 1, NO_ROOM)


@needs_root
def test_a_directory_that_may_not_be_written(host: Host, serve: Serve) -> None:
    serve(rewrite(NEW))
    os.chown(host.document, NOBODY, NOBODY)
    assert "ermission denied" in refused(host.run(preexec=become_nobody), "write-failed")
    untouched(host)
    faults.held("no-space", 1, NO_ROOM)


@pytest.mark.parametrize("way", ["renamed", "removed"])
def test_a_directory_that_vanishes_meanwhile(host: Host, serve: Serve, way: str) -> None:
    """While the daemon is asked. Nothing may come into being in its old place, or in its new one."""
    elsewhere = host.place / "elsewhere"

    def vanish(talk: Talk) -> None:
        talk.request()
        if way == "renamed":
            host.document.parent.rename(elsewhere)
        else:
            host.document.unlink()
            host.document.parent.rmdir()
        talk.send(reply("rewritten", NEW))

    serve(vanish)
    assert "No such file" in refused(host.run(), "write-failed")
    assert not host.document.parent.exists()
    if way == "renamed":
        assert [(path.name, path.read_bytes()) for path in elsewhere.iterdir()] == [("vm.xml", OLD)]
    faults.held("no-space", 1, NO_ROOM)


def test_a_directory_that_is_gone(host: Host) -> None:
    host.document.unlink()
    host.document.parent.rmdir()
    refused(host.run(), "bad-document")
    assert not host.document.parent.exists()
    faults.held("no-space", 1, NO_ROOM)


@needs_root
def test_an_ordinary_user(host: Host, serve: Serve) -> None:
    """As vdsm does it: not root, with a server that is."""
    serve(rewrite(NEW))
    os.chown(host.document, NOBODY, NOBODY)
    os.chown(host.document.parent, NOBODY, NOBODY)
    quiet(host.run(preexec=become_nobody))
    assert host.document.read_bytes() == NEW
    assert stat.S_IMODE(host.document.stat().st_mode) == 0o600


def test_a_directory_in_the_temporary_files_place(host: Host, serve: Serve) -> None:
    serve(rewrite(NEW))
    host.document.with_name("vm.xml.hookd").mkdir()
    refused(host.run(), "write-failed")
    assert host.document.read_bytes() == OLD


# The line


def test_the_line_names_the_vm_and_the_property(host: Host) -> None:
    environment = host.environment(vmId="6b7e", extnet="it's\n\\\x1b[31m ä")
    line = refused(host.run("--timeout=0.01", environment=environment), "daemon-unreachable")
    assert "; VM 6b7e, extnet='it\\'s\\x0a\\\\\\x1b[31m \\xc3\\xa4': see systemctl" in line


def test_the_line_is_bounded(host: Host, place: pathlib.Path) -> None:
    environment = host.environment(vmId="\x01" * 100000, extnet="\x02" * 100000, _hook_domxml="/\x03" * 1500)
    line = refused(
        host.run(f"--hook={chr(4) * 100000}", "--event=e", environment=environment),
        "bad-document",
        "\\x04" * 16 + "...",
    )
    assert line.count("...") == 3
    assert line.endswith("\n")
    environment = host.environment(extnet="y" * 100)
    assert f"extnet='{'y' * 64}...': " in refused(
        host.run("--timeout=0.01", environment=environment), "daemon-unreachable"
    )


@pytest.mark.parametrize("closed", [(2,), (0, 2), (0, 1, 2), (1,)])
def test_closed_standard_files(host: Host, serve: Serve, closed: tuple[int, ...], sanitized: bool) -> None:
    """A file of ours that gets the number of stderr must not get the error line."""

    def close() -> None:
        for fd in closed:
            os.close(fd)

    peer = serve(rewrite(NEW), answer(b"\0\0\0\0"))
    assert host.run(preexec=close).returncode == 0
    assert host.document.read_bytes() == NEW
    assert host.run(preexec=close).returncode == 2
    assert host.document.read_bytes() == NEW
    assert len(peer.requests) == 2


def test_a_stderr_that_nobody_reads(host: Host) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    try:
        process = subprocess.run(host.command("--no-such-option"), env={}, stderr=writing, timeout=GENEROUS)
        assert process.returncode == 2
    finally:
        os.close(reading)
        os.close(writing)


def test_a_stderr_that_is_a_closed_pipe(host: Host) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = subprocess.run(host.command("--no-such-option"), env={}, stderr=writing, timeout=GENEROUS)
    finally:
        os.close(writing)
    assert process.returncode == 2


def test_blocked_and_ignored_signals(host: Host, serve: Serve) -> None:
    serve(rewrite(NEW))

    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    quiet(host.run(preexec=block))
    assert host.document.read_bytes() == NEW
