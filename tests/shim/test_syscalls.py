# SPDX-License-Identifier: GPL-2.0-or-later
"""With strace: what a run may not even ask the kernel for, and what if it dies, or is interrupted, at any call."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.shim.host import NEW, OLD, Host, quiet
from tests.shim.peer import rewrite

if TYPE_CHECKING:
    import subprocess

    from tests.shim.host import Serve

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

OWN = {"open", "openat", "fstat", "newfstatat", "lstat", "stat", "socket", "getsockopt", "fchmod", "rename", "renameat"}
"""What the shim itself calls, apart from the run-time library, and apart from what INTERRUPTIBLE adds."""
INTERRUPTIBLE = {"read", "write", "flock", "poll", "connect", "sendto", "recvfrom", "close"}
WAITING = {"recvfrom", "sched_yield", "poll"}
"""How often it looks for the answer is up to the server: in another run an occurrence may not come."""


def strace(host: Host, *options: str) -> tuple[subprocess.CompletedProcess[bytes], list[str]]:
    """The result and the system calls, from the program's own start on."""
    log = host.place / "trace"
    wrapper = ["strace", "-f", "-qq", "-o", str(log), *options]
    if shutil.which("setarch"):  # the sanitizers want their addresses
        wrapper = ["setarch", "-R", *wrapper]
    result = host.run(wrapper=wrapper, environment=None)
    return result, re.findall(r"^\d+ +(\w+)\(", log.read_text(errors="replace"), re.MULTILINE)


def numbered(calls: list[str]) -> list[tuple[str, int]]:
    """[("read", 1), ("write", 1), ("read", 2), ...]: how strace's injections count."""
    seen: Counter[str] = Counter()
    result = []
    for call in calls:
        seen[call] += 1
        result.append((call, seen[call]))
    return result


def own_part(host: Host, serve: Serve) -> list[tuple[str, int]]:
    """The calls of a normal run, without what a run-time library does before main()."""
    result, calls = strace(host)
    quiet(result)
    host.document.write_bytes(OLD)
    steps = numbered(calls)
    last = max(index for index, (call, _) in enumerate(steps) if call == "flock")
    return steps[last - 2 :]


@pytest.mark.release_binary
def test_a_hook_without_its_property_touches_nothing(host: Host) -> None:
    environment = host.environment()
    del environment["extnet"]
    log = host.place / "trace"
    quiet(host.run(environment=environment, wrapper=["strace", "-qq", "-o", str(log)]))
    calls = re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE)
    assert not {"open", "openat", "socket", "connect", "read", "write", "fstat", "readlink"} & set(calls)


def test_a_hook_without_its_property_needs_no_daemon_and_no_document(host: Host) -> None:
    host.document.unlink()
    quiet(host.run(environment=host.environment(extnet=None)))
    quiet(host.run(environment=host.environment(extnet=None, _hook_domxml=None)))
    quiet(host.run(environment={}))


def test_killed_at_every_system_call(host: Host, serve: Serve) -> None:
    """The document is the old one or the new one, and whole; the next run clears up."""
    serve(rewrite(NEW))
    steps = own_part(host, serve)
    assert {"flock", "sendto", "write", "rename"} <= {call for call, _ in steps}, steps
    outcomes = set()
    for call, number in steps:
        host.document.write_bytes(OLD)
        result, _ = strace(host, f"--inject={call}:signal=KILL:when={number}")
        assert result.returncode != 0 or call in WAITING | {"exit_group"}, (call, number, result)
        document = host.document.read_bytes()
        assert document in (OLD, NEW), (call, number)
        outcomes.add((document, tuple(host.litter())))
        host.document.write_bytes(OLD)
        quiet(host.run())
        assert host.document.read_bytes() == NEW
        assert host.litter() == []
    assert outcomes == {(OLD, ()), (OLD, ("vm.xml.hookd",)), (NEW, ())}


def test_interrupted_at_every_system_call(host: Host, serve: Serve) -> None:
    serve(rewrite(NEW))
    for call, number in own_part(host, serve):
        if call not in INTERRUPTIBLE:
            continue
        host.document.write_bytes(OLD)
        result, _ = strace(host, f"--inject={call}:error=EINTR:when={number}")
        quiet(result)
        assert host.document.read_bytes() == NEW
        assert host.litter() == [], (call, number)


@pytest.mark.parametrize("error", ["EINTR", "EIO", "ENOSPC", "ENOMEM"])
def test_a_failure_of_every_system_call(host: Host, serve: Serve, error: str) -> None:
    """Either it does not matter, or it is status 2 with an untouched document and one line."""
    serve(rewrite(NEW))
    for call, number in own_part(host, serve):
        if call not in OWN | INTERRUPTIBLE:
            continue
        host.document.write_bytes(OLD)
        wrapped, _ = strace(host, f"--inject={call}:error={error}:when={number}")
        document = host.document.read_bytes()
        if wrapped.returncode == 0:
            assert document == NEW, (call, number)
        else:
            assert wrapped.returncode == 2, (call, number, wrapped)
            assert wrapped.stderr.count(b"\n") == 1, wrapped.stderr
            assert document == OLD, (call, number)
        assert host.litter() == [], (call, number)


def test_a_document_that_shrinks(host: Host, serve: Serve) -> None:
    """An end of file that comes too early."""
    serve(rewrite(NEW))
    (_, number) = [step for step in own_part(host, serve) if step[0] == "read"][-1]
    result, _ = strace(host, f"--inject=read:retval=0:when={number}+")
    assert result.returncode == 2
    assert b"changed while it was read" in result.stderr
    assert host.document.read_bytes() == OLD
