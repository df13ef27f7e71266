# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run may not even ask the kernel for, and what if it dies, or is interrupted, at any call."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import faults
from tests.shim.host import NEW, OLD, Host, quiet
from tests.shim.peer import close_at_once, rewrite

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.shim.host import Serve

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

CALL = r"^\d+ +(\w+)\("
OWN = {"open", "openat", "fstat", "newfstatat", "lstat", "stat", "socket", "getsockopt", "fchmod", "rename", "renameat"}
"""What the shim itself calls, apart from the run-time library, and apart from what INTERRUPTIBLE adds."""
INTERRUPTIBLE = {"read", "write", "flock", "poll", "connect", "sendto", "recvfrom", "close"}
WAITING = {"recvfrom", "sched_yield", "poll"}
"""How often it looks for the answer is up to the server: in another run an occurrence may not come."""
TRACER = Path(__file__).with_name("tracer.py")


def strace(host: Host, *options: str) -> tuple[subprocess.CompletedProcess[bytes], list[str]]:
    """The result and the system calls, from the program's own start on."""
    log = host.place / "trace"
    wrapper = ["strace", "-f", "-qq", "-o", str(log), *options]
    if shutil.which("setarch"):  # the sanitizers want their addresses
        wrapper = ["setarch", "-R", *wrapper]
    result = host.run(wrapper=wrapper, environment=None)
    return result, re.findall(CALL, log.read_text(errors="replace"), re.MULTILINE)


def numbered(calls: list[str]) -> list[tuple[str, int]]:
    """[("read", 1), ("write", 1), ("read", 2), ...]: how strace's injections count."""
    seen: Counter[str] = Counter()
    result = []
    for call in calls:
        seen[call] += 1
        result.append((call, seen[call]))
    return result


def traced(host: Host, what: str, number: int) -> tuple[int, int]:
    """The status and the number of system calls of a run under our own tracer."""
    result = host.run("--timeout=30", wrapper=[sys.executable, str(TRACER), what, str(number)])
    assert result.stderr == b""
    return result.returncode, int(result.stdout)


def own_part(host: Host, serve: Serve) -> list[tuple[str, int]]:
    """The calls of a normal run, without what a run-time library does before main()."""
    result, calls = strace(host)
    quiet(result)
    host.document.write_bytes(OLD)
    steps = numbered(calls)
    log = (host.place / "trace").read_text(errors="replace")
    before = log[: log.index(f'"{host.table}"')]  # what it opens first
    return steps[len(re.findall(CALL, before, re.MULTILINE)) - 1 :]


@pytest.mark.release_binary
@pytest.mark.parametrize("table", [None, b"extnet * extnet\n"])
def test_a_hook_without_its_property_touches_nothing(host: Host, table: bytes | None) -> None:
    """But the wake table."""
    if table:
        host.table.write_bytes(table)
    environment = host.environment()
    del environment["extnet"]
    log = host.place / "trace"
    quiet(host.run(environment=environment, wrapper=["strace", "-qq", "-o", str(log)]))
    calls = re.findall(r"^(\w+)\((.*)", log.read_text(), re.MULTILINE)
    own = [name for name, _ in calls if name not in {"execve", "arch_prctl", "set_tid_address", "exit_group"}]
    assert own == (["open", "fcntl", "fstat", "read"] if table else ["open"])  # fcntl: so musl opens with O_CLOEXEC
    assert [arguments.split('"')[1] for name, arguments in calls if name == "open"] == [str(host.table)]


@pytest.mark.release_binary
@pytest.mark.parametrize("options", [[], ["--socket=/run/vdsm-hookd/hook.sock"]])
def test_the_table_of_the_default_socket(host: Host, options: list[str]) -> None:
    log = host.place / "trace"
    command = ["strace", "-qq", "-e", "trace=open", "-o", str(log), str(host.hook), "--timeout=0.01", *options]
    subprocess.run(command, env={}, check=False)
    assert re.findall(r'"(.*)"', log.read_text())[0] == "/var/lib/vdsm-hookd/wake"


def test_a_hook_without_its_property_needs_no_daemon_and_no_document(host: Host) -> None:
    host.document.unlink()
    quiet(host.run(environment=host.environment(extnet=None)))
    quiet(host.run(environment=host.environment(extnet=None, _hook_domxml=None)))
    quiet(host.run(environment={}))


def leave_nothing(host: Host) -> None:
    host.document.with_name("vm.xml.hookd").unlink(missing_ok=True)


def leave_a_killed_runs_file(host: Host) -> None:
    host.document.with_name("vm.xml.hookd").write_bytes(b"<half")


RUNS = {
    "plain": (leave_nothing, [rewrite(NEW)]),
    "after a killed run": (leave_a_killed_runs_file, [rewrite(NEW)]),
    "daemon restarts": (leave_nothing, [close_at_once, rewrite(NEW)]),
}
"""How the document's directory is left, and what the peer does: each run makes other calls."""


def in_state(host: Host, serve: Serve, run: str) -> Callable[[], None]:
    """Puts the host into the state of one of RUNS; what it returns does so again."""
    prepare, behaviours = RUNS[run]
    peer = serve(*behaviours)
    host.table.write_bytes(b"extnet * extnet\n")

    def renew() -> None:
        host.document.write_bytes(OLD)
        prepare(host)
        peer.connections = 0

    renew()
    return renew


def assert_whole_and_next_run_clears_up(host: Host, where: object) -> tuple[bytes, tuple[str, ...]]:
    """Returns what the killed run has left: the document, and what lies beside it."""
    document, litter = host.document.read_bytes(), tuple(host.litter())
    assert document in (OLD, NEW), where
    host.document.write_bytes(OLD)
    quiet(host.run())
    assert (host.document.read_bytes(), host.litter()) == (NEW, []), where
    return document, litter


LITTER = ("vm.xml.hookd",)


@pytest.mark.parametrize("run", RUNS)
def test_killed_before_every_system_call(host: Host, serve: Serve, run: str) -> None:
    """The document is the old one or the new one, and whole; the next run clears up."""
    renew = in_state(host, serve, run)
    steps = own_part(host, serve)
    assert {"flock", "sendto", "write", "rename"} <= {call for call, _ in steps}, steps
    outcomes = set()
    for call, number in steps:
        renew()
        result, _ = strace(host, f"--inject={call}:signal=KILL:when={number}")
        assert result.returncode != 0 or call in WAITING | {"exit_group"}, (call, number, result)
        outcomes.add(assert_whole_and_next_run_clears_up(host, (call, number)))
    assert {(OLD, LITTER), (NEW, ())} <= outcomes <= {(OLD, ()), (OLD, LITTER), (NEW, ())}
    faults.held("shim-killed", len(steps), "the file is the old or the new one, whole; the next run clears up")


@pytest.mark.release_binary
@pytest.mark.parametrize("run", RUNS)
def test_killed_after_every_system_call(host: Host, serve: Serve, run: str) -> None:
    """With the call done, and its result never seen."""
    renew = in_state(host, serve, run)
    calls = traced(host, "count", 0)[1]
    assert calls >= 20
    outcomes = []
    for number in range(1, calls):  # the last one does not return
        renew()
        assert traced(host, "kill-after", number) == (137, number)
        outcomes.append(assert_whole_and_next_run_clears_up(host, number))
    assert outcomes[0][0] == OLD
    assert outcomes[-1] == (NEW, ())
    assert set(outcomes) <= {(OLD, ()), (OLD, LITTER), (NEW, ())}
    faults.held("shim-killed", calls - 1, "the file is the old or the new one, whole; the next run clears up")


@pytest.mark.release_binary
@pytest.mark.parametrize("most", [1, 7, 64])
@pytest.mark.parametrize("run", RUNS)
def test_reads_and_writes_that_move_little(host: Host, serve: Serve, run: str, most: int) -> None:
    """The kernel may always do less than it was asked for, of file and socket alike."""
    renew = in_state(host, serve, run)
    calls = traced(host, "count", 0)[1]
    renew()
    status, seen = traced(host, "short", most)
    assert status == 0
    assert seen >= calls + 2 * len(OLD) // most // 2
    assert (host.document.read_bytes(), host.litter()) == (NEW, [])
    faults.held("interrupted-calls", seen - calls, "rewritten by short reads and writes")


def test_interrupted_at_every_system_call(host: Host, serve: Serve) -> None:
    serve(rewrite(NEW))
    host.table.write_bytes(b"extnet * extnet\n")
    steps = [step for step in own_part(host, serve) if step[0] in INTERRUPTIBLE]
    for call, number in steps:
        host.document.write_bytes(OLD)
        result, _ = strace(host, f"--inject={call}:error=EINTR:when={number}")
        quiet(result)
        assert host.document.read_bytes() == NEW
        assert host.litter() == [], (call, number)
    assert steps
    faults.held("interrupted-calls", len(steps), "rewritten all the same, interrupted once")


@pytest.mark.parametrize("error", ["EINTR", "EAGAIN", "EIO", "ENOSPC", "EROFS", "EDQUOT", "ENOMEM", "EMFILE", "EPERM"])
def test_a_failure_of_every_system_call(host: Host, serve: Serve, error: str) -> None:
    """Either it does not matter, or it is status 2 with an untouched document and one line."""
    serve(rewrite(NEW))
    host.table.write_bytes(b"extnet * extnet\n")
    steps = [step for step in own_part(host, serve) if step[0] in OWN | INTERRUPTIBLE]
    for call, number in steps:
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
    assert steps
    faults.held("interrupted-calls", len(steps), "rewritten, or status 2 and the old file")


def test_a_document_that_shrinks(host: Host, serve: Serve) -> None:
    """An end of file that comes too early."""
    serve(rewrite(NEW))
    (_, number) = [step for step in own_part(host, serve) if step[0] == "read"][-1]
    result, _ = strace(host, f"--inject=read:retval=0:when={number}+")
    assert result.returncode == 2
    assert b"changed while it was read" in result.stderr
    assert host.document.read_bytes() == OLD
