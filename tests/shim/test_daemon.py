# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon that hangs, drips, restarts, is a stranger or talks nonsense: deadline and document hold."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import msgpack
import pytest

from tests import faults
from tests.shim.host import GENEROUS, NEW, NOBODY, OLD, Host, become_nobody, needs_root, quiet, refused, untouched
from tests.shim.peer import (
    Talk,
    answer,
    close_after_request,
    close_at_once,
    drip,
    drip_reading,
    frame,
    hang,
    hang_unread,
    reply,
    rewrite,
)

if TYPE_CHECKING:
    from tests.shim.host import Serve
    from tests.shim.peer import Behaviour


@pytest.mark.parametrize(
    ("behaviour", "word"),
    [
        (hang, "does not answer"),
        (hang_unread, "does not answer"),
        (drip, "does not answer"),
        (close_at_once, "closed"),
        (close_after_request, "closed"),
        (answer(b""), "closed"),
        (answer(reply("rewritten", NEW)[:3]), "closed"),
        (answer(reply("rewritten", NEW)[:-1]), "closed"),
    ],
    ids=["hang", "hang unread", "drip", "close", "close after request", "nothing", "half a length", "half an answer"],
)
def test_the_deadline(host: Host, serve: Serve, behaviour: Behaviour, word: str) -> None:
    serve(behaviour)
    started = time.monotonic()
    line = refused(host.run("--timeout=0.4"), "daemon-unreachable")
    assert 0.3 < time.monotonic() - started < 4
    assert word in line or "Connection reset" in line
    assert "0.4 s" in line
    assert str(host.socket) in line
    assert "systemctl status vdsm-hookd" in line
    untouched(host)


@pytest.mark.parametrize("behaviour", [drip_reading, hang_unread])
def test_a_peer_that_hardly_reads(host: Host, serve: Serve, behaviour: Behaviour) -> None:
    """The request is larger than the socket's buffer, and no single wait is as long as the deadline."""
    serve(behaviour)
    host.document.write_bytes(b"x" * (4 << 20))
    started = time.monotonic()
    assert "does not read" in refused(host.run("--timeout=0.4"), "daemon-unreachable")
    assert 0.3 < time.monotonic() - started < 4


def test_nobody_listens(host: Host) -> None:
    started = time.monotonic()
    assert "No such file" in refused(host.run("--timeout=0.3"), "daemon-unreachable")
    assert 0.2 < time.monotonic() - started < 4
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(host.socket))
        assert "refused" in refused(host.run("--timeout=0.1"), "daemon-unreachable")
    untouched(host)


def test_a_full_queue(host: Host) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as filler:
        listener.bind(str(host.socket))
        listener.listen(0)
        filler.connect(str(host.socket))
        refused(host.run("--timeout=0.2"), "daemon-unreachable")
    untouched(host)


def test_a_daemon_that_restarts(host: Host, serve: Serve) -> None:
    peer = serve(close_at_once, close_after_request, answer(reply("rewritten", NEW)[:-1]), rewrite(NEW))
    quiet(host.run("--timeout=30"))
    assert peer.connections == 4
    assert host.document.read_bytes() == NEW


def test_a_daemon_that_comes_late(host: Host, serve: Serve) -> None:
    with host.started("--timeout=30") as process:
        serve(rewrite(NEW))
        assert process.wait(GENEROUS) == 0
    assert host.document.read_bytes() == NEW


@needs_root
def test_a_socket_that_is_not_ours_yet(host: Host, serve: Serve) -> None:
    """systemd makes the hook socket as root's, and gives it to vdsm a moment later."""
    serve(rewrite(NEW))
    os.chown(host.document, NOBODY, NOBODY)
    os.chown(host.document.parent, NOBODY, NOBODY)
    host.socket.chmod(0o600)
    assert "Permission denied" in refused(host.run("--timeout=0.2", preexec=become_nobody), "daemon-unreachable")
    with host.started("--timeout=30", preexec=become_nobody) as process:
        ends = time.monotonic() + GENEROUS
        while b"bad-document" not in host.run("--timeout=0.1", preexec=become_nobody).stderr:  # until it has the lock
            assert time.monotonic() < ends
        host.socket.chmod(0o666)
        assert process.wait(GENEROUS) == 0
    assert host.document.read_bytes() == NEW


def test_an_update_of_a_running_vnic_waits_longer_than_all_else(host: Host, serve: Serve) -> None:
    """5 s, and 30 s where vdsm answers a refusal by plugging the vNIC into the Engine's bridge."""
    other = host.place / "other.xml"
    other.write_bytes(OLD)
    with host.started("--event=before_update_device") as update:
        started = time.monotonic()
        line = refused(host.run(environment=host.environment(_hook_domxml=str(other))), "daemon-unreachable")
        assert 4.5 < time.monotonic() - started < 8
        assert "gave no answer in 5 s" in line
        assert update.poll() is None
        serve(rewrite(NEW))
        assert update.wait(GENEROUS) == 0
    assert host.document.read_bytes() == NEW


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(
    ("event", "options", "seconds"),
    [
        ("before_update_device", [], 30),
        ("before_device_create", [], 5),
        ("before_device_create", ["--event=before_update_device"], 30),
        ("before_update_device", ["--event=after_update_device"], 5),
        ("before_update_device", ["--timeout=7"], 7),
    ],
)
def test_how_long_it_would_wait(host: Host, serve: Serve, event: str, options: list[str], seconds: int) -> None:
    """All waiting for an answer is one poll(2) for what is left of the deadline."""

    def answer_late(talk: Talk) -> None:
        talk.request()
        talk.wait(0.5)
        talk.send(reply("unchanged"))

    serve(answer_late)
    host.hook = host.link(event)
    log = host.place / "trace"
    quiet(host.run(*options, wrapper=["strace", "-qq", "-o", str(log), "-e", "trace=poll"]))
    longest = max(int(left) for left in re.findall(r"\], 1, (\d+)\)", log.read_text()))
    assert 1000 * (seconds - 2) < longest <= 1000 * seconds


def test_a_refusal_before_the_request_is_read(host: Host, serve: Serve) -> None:
    """The daemon may refuse by the length alone and hang up: its answer is still read."""

    def refuse_by_length(talk: Talk) -> None:
        talk.connection.recv(4)
        talk.send(reply("refused", b"too-large: no: make it smaller"))

    serve(refuse_by_length)
    host.document.write_bytes(b"x" * (4 << 20))
    assert refused(host.run("--timeout=30"), "too-large") == "extnet: too-large: no: make it smaller\n"


@needs_root
def test_a_server_that_is_another_user(host: Host) -> None:
    host.place.chmod(0o777)
    script = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); "
        "s.bind(sys.argv[1]); s.listen(); print(flush=True); sys.stdin.read()"
    )
    command = ["python3", "-c", script, str(host.socket)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as impostor:
        assert impostor.stdout is not None
        impostor.stdout.readline()
        assert str(host.socket) in refused(host.run("--timeout=30"), "not-permitted")
        assert impostor.stdin is not None
        impostor.stdin.close()
    untouched(host)
    faults.held("wrong-peers", 1, "an impostor's socket is refused by the shim")


def pack(*elements: object) -> bytes:
    packed: bytes = msgpack.packb(list(elements))
    return packed


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc0",
        b"\x94",
        b"\x94\x01",
        b"\x94\x01\xa9rewritten",
        b"\x94\x01\xa9rewritten\xc4",
        b"\x94\x01\xa9rewritten\xc4\x05four",
        b"\x94\x01\xa9rewritten\xc6\xff\xff\xff\xff<a/>\x90",
        b"\x94\x01\xd9\xffrewritten\xc4\x04<a/>\x90",
        b"\x94\xcc\x01\xa9rewritten\xc4\x04<a/>\x90",
        b"\xdc\x00",
        b"\xdd\x00\x01\xa9rewritten\xc4\x04<a/>\x90",
        b"\xde\x00\x04\x01\xa9rewritten\xc4\x04<a/>\x90",
        b"\x94\x01\xdc\x00\x09rewritten\xc4\x04<a/>\x90",
        b"\x94\x01\xa9rewritten\xc7\x04<a/>\x90",
        b"\xff" * 100,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        pack(1, "rewritten", b"<a/>"),
        pack(2, "rewritten", b"<a/>", []),
        pack(-1, "rewritten", b"<a/>", []),
        pack(True, "rewritten", b"<a/>", []),
        pack("1", "rewritten", b"<a/>", []),
        pack(1, "rewritte", b"<a/>", []),
        pack(1, "rewrittenn", b"<a/>", []),
        pack(1, "", b"<a/>", []),
        pack(1, b"rewritten", b"<a/>", []),
        pack(1, "rewritten", "<a/>", []),
        pack(1, "rewritten", None, []),
        pack(1, "rewritten", b"", []),
        pack(1, "refused", b"", []),
        pack(1, "unchanged", b"<a/>", []),
        pack(1, "unchanged", [], []),
    ],
)
def test_an_answer_that_is_none(host: Host, serve: Serve, payload: bytes) -> None:
    peer = serve(answer(frame(payload)))
    assert "can't be read" in refused(host.run(), "internal")
    assert peer.connections == 1
    untouched(host)
    faults.held("random-frames", 1, "no answer that is none is taken by the shim")


@pytest.mark.parametrize(
    "payload",
    [
        pack(1, "rewritten", NEW, ["a note"], {"more": 1}, None),
        b"\xdc\x00\x04\x01\xd9\x09rewritten\xc6" + len(NEW).to_bytes(4, "big") + NEW + b"\x90",
        b"\xdd\x00\x00\x00\x04\x01\xda\x00\x09rewritten\xc4" + bytes([len(NEW)]) + NEW + b"\x90",
        b"\x9f\x01\xa9rewritten\xc5" + len(NEW).to_bytes(2, "big") + NEW + b"whatever is behind the body",
    ],
)
def test_unusual_but_good_answers(host: Host, serve: Serve, payload: bytes) -> None:
    serve(answer(frame(payload)))
    quiet(host.run())
    assert host.document.read_bytes() == NEW


@pytest.mark.parametrize("length", [(5 << 20) + 1, 0xFFFFFFFF])
def test_an_answer_that_is_too_long(host: Host, serve: Serve, length: int) -> None:
    peer = serve(answer(length.to_bytes(4, "big")))
    assert "5 MiB" in refused(host.run(), "internal")
    assert peer.connections == 1
    untouched(host)
