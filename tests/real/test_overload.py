"""Clients in numbers, and clients that dawdle: none keeps the daemon from the others."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.faults import held
from tests.real.guest import sample
from tests.real.makers import MakeHookd
from tests.real.peer import answer, connected, framed
from tests.real.wait import wait_for
from tests.vdsm import run_hooks

CREATE = "before_device_create"
REQUEST = framed([1, CREATE, "extnet", {"extnet": b"glitter"}, sample("interface.xml").encode()])
CROWD = 200
LIMIT = 64  # descriptors


@pytest.fixture(autouse=True)
def enough_descriptors() -> Iterator[None]:
    """For the tests' own ends of the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def answered_in() -> float:
    """Seconds that one request takes."""
    started = time.monotonic()
    with connected() as client:
        client.sendall(REQUEST)
        assert answer(client)[1] == "rewritten"
    return time.monotonic() - started


def median() -> float:
    return statistics.median(answered_in() for _ in range(200))


class Crowd:
    """200 clients: a third says nothing, a third half a header and no more, a third gives a byte each second."""

    def __init__(self, stack: ExitStack) -> None:
        self.began = time.monotonic()
        clients = [stack.enter_context(connected()) for _ in range(CROWD)]
        for client in clients[1::3]:
            client.sendall(REQUEST[:3])
            client.shutdown(socket.SHUT_WR)
        self._slow = clients[2::3]
        self._there = {client.fileno(): client for client in clients}
        self._given = 0
        self._dribble()

    def _dribble(self) -> None:
        if time.monotonic() - self.began >= self._given:
            for client in self._slow:
                with suppress(BrokenPipeError):  # dropped, which is seen where it is read
                    client.send(REQUEST[self._given : self._given + 1])
            self._given += 1

    def dropped_after(self) -> float:
        """Seconds after which the last one is dropped. None is answered."""
        poll = select.poll()
        for descriptor in self._there:
            poll.register(descriptor, select.POLLIN)
        while self._there:
            assert time.monotonic() - self.began < 10, f"{len(self._there)} clients are not dropped"
            for descriptor, _events in poll.poll(100):
                poll.unregister(descriptor)
                with suppress(ConnectionResetError):  # by bytes that nobody read
                    assert self._there.pop(descriptor).recv(1) == b""
            self._dribble()
        return time.monotonic() - self.began


def test_idle_half_closed_and_slow_clients_are_dropped_and_others_do_not_wait(
    make_hookd: MakeHookd, test_node: str
) -> None:
    """Three times, for the machine may be busy with something else in one of them."""
    make_hookd(test_node)
    slower, dropped = [], []
    for _ in range(3):
        alone = median()
        with ExitStack() as stack:
            crowd = Crowd(stack)
            slower.append(median() / alone)
            dropped.append(crowd.dropped_after())
    assert statistics.median(slower) < 2
    assert all(1.5 < seconds < 3 for seconds in dropped), dropped
    held(
        "idle-clients",
        3 * CROWD,
        f"dropped at {max(dropped):.1f} s, others' median times {statistics.median(slower):.1f}",
    )


def test_descriptors_running_out_neither_spin_nor_stay(make_hookd: MakeHookd, test_node: str, extnet: Path) -> None:
    hookd = make_hookd(test_node)
    owner = os.stat(f"/proc/{hookd.pid}")
    limit = ["prlimit", f"--pid={hookd.pid}", f"--nofile={LIMIT}:{LIMIT}"]
    subprocess.run(limit, user=owner.st_uid, group=owner.st_gid, check=True)
    with ExitStack() as stack:
        clients = [stack.enter_context(connected()) for _ in range(2 * LIMIT)]
        wait_for(lambda: "can't accept" in hookd.logged(), "the shortage in the log")
        before = _cpu(hookd.pid)
        assert clients[0].recv(1) == b""  # dropped at its 2 s
        spent = _cpu(hookd.pid) - before
        assert spent < 0.5
        # It is their turn when the first ones are gone.
        assert clients[-1].recv(1) == b""
    run = run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": "glitter"})
    assert not run.failed
    wait_for(lambda: len(os.listdir(f"/proc/{hookd.pid}/fd")) < LIMIT / 2, "the descriptors given back")
    held("descriptors", 1, f"{spent:.2f} s of CPU while there were none")


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.own_process
def test_sigterm_answers_every_request_that_was_accepted(make_hookd: MakeHookd, test_node: str) -> None:
    """Half of each is there when the signal comes. tests/boot/test_storms.py stops it under load, where systemd keeps
    the sockets."""
    hookd = make_hookd(test_node)
    before = len(os.listdir(f"/proc/{hookd.pid}/fd"))
    clients = [connected() for _ in range(CROWD)]
    for client in clients:
        client.sendall(REQUEST[:50])
    wait_for(lambda: len(os.listdir(f"/proc/{hookd.pid}/fd")) >= before + CROWD, "all connections accepted")
    started = time.monotonic()
    os.kill(hookd.pid, signal.SIGTERM)
    wait_for(lambda: "STOPPING=1" in hookd.told(), "the stop")
    for client in clients:
        client.sendall(REQUEST[50:])
    assert [answer(client)[1] for client in clients] == ["rewritten"] * CROWD
    assert hookd._child.wait(5) == 0
    seconds = time.monotonic() - started
    for client in clients:
        client.close()
    assert seconds < 2
    held("sigterm", 1, f"{CROWD} half requests answered, exit 0 after {seconds:.1f} s")
