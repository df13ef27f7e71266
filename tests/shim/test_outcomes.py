# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of the document, with a daemon that answers."""

from __future__ import annotations

import os
import pathlib
import subprocess
import threading
from typing import TYPE_CHECKING

import msgpack
import pytest

from tests import faults
from tests.shim.host import GENEROUS, NEW, OLD, Host, quiet, refused
from tests.shim.peer import Talk, answer, frame, reply, rewrite

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.shim.host import Result, Serve


def test_the_document_is_rewritten(host: Host, serve: Serve) -> None:
    peer = serve(rewrite(NEW))
    quiet(host.run())
    assert host.document.read_bytes() == NEW
    assert host.litter() == []
    assert [msgpack.unpackb(request) for request in peer.requests] == [
        [1, "before_nic_hotplug", "extnet", {"extnet": b"glitter", "vmId": b"6b7e"}, OLD]
    ]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400, 0o664])
@pytest.mark.parametrize("umask", [0o022, 0o777])
def test_the_mode_is_kept(host: Host, serve: Serve, mode: int, umask: int) -> None:
    serve(rewrite(NEW))
    host.document.chmod(mode)
    quiet(host.run(preexec=lambda: os.umask(umask)))
    assert host.document.stat().st_mode & 0o7777 == mode
    assert host.document.read_bytes() == NEW


@pytest.mark.parametrize("same", [reply("unchanged"), reply("rewritten", OLD)], ids=["unchanged", "same bytes"])
def test_what_does_not_change_is_not_written(host: Host, serve: Serve, same: bytes) -> None:
    serve(answer(same))
    host.document.parent.chmod(0o500)
    before = host.document.stat()
    quiet(host.run())
    after = host.document.stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


def test_a_refusal_is_the_daemons_line(host: Host, serve: Serve) -> None:
    serve(answer(reply("refused", "network-missing: „glitter“ is no network: virsh net-list".encode())))
    result = host.run()
    assert refused(result, "network-missing") == "extnet: network-missing: „glitter“ is no network: virsh net-list\n"
    assert host.document.read_bytes() == OLD


def test_a_refusal_stays_one_printable_line(host: Host, serve: Serve) -> None:
    serve(answer(reply("refused", b"bad-xml: a\nb\r\x1b[31m\x00\x7f\tc")))
    assert refused(host.run(), "bad-xml") == "extnet: bad-xml: a?b??[31m???c\n"


@pytest.mark.parametrize("before", range(4))
def test_a_long_refusal_is_cut_between_characters(host: Host, serve: Serve, before: int) -> None:
    serve(answer(reply("refused", b"bad-xml: " + b"x" * before + "ä€😀".encode() * 400)))
    line = refused(host.run(), "bad-xml")
    assert 1020 <= len(line.encode()) - len("extnet: \n") <= 1024


def test_the_size_limit_of_the_document(host: Host, serve: Serve) -> None:
    serve(rewrite(NEW))
    host.document.write_bytes(b"x" * (4 << 20))
    quiet(host.run())
    assert host.document.read_bytes() == NEW
    host.document.write_bytes(b"x" * ((4 << 20) + 1))
    refused(host.run(), "too-large")
    assert host.document.stat().st_size == (4 << 20) + 1


def test_the_largest_answer(host: Host, serve: Serve) -> None:
    head = msgpack.packb([1, "rewritten"])[:1].replace(b"\x92", b"\x94") + msgpack.packb(1) + msgpack.packb("rewritten")
    room = (5 << 20) - len(head) - 5 - 1
    body = b"y" * room
    serve(answer(frame(head + msgpack.packb(body) + b"\x90")))
    quiet(host.run())
    assert host.document.read_bytes() == body


def test_an_empty_document_is_the_daemons_to_judge(host: Host, serve: Serve) -> None:
    peer = serve(answer(reply("refused", b"bad-xml: the document is empty: look at it")))
    host.document.write_bytes(b"")
    refused(host.run(), "bad-xml")
    assert msgpack.unpackb(peer.requests[0])[4] == b""


def test_a_hook_without_a_vm(host: Host, serve: Serve) -> None:
    peer = serve(rewrite(NEW))
    quiet(host.run(environment=host.environment(vmId=None)))
    assert msgpack.unpackb(peer.requests[0])[3] == {"extnet": b"glitter"}


def test_an_unknown_hook_is_the_daemons_to_judge(host: Host, serve: Serve) -> None:
    peer = serve(answer(reply("refused", b"bad-request: no such hook: see hookctl hooks")))
    refused(host.run("--hook=stranger"), "bad-request", hook="stranger")
    assert msgpack.unpackb(peer.requests[0])[2:4] == ["stranger", {"vmId": b"6b7e"}]


@pytest.mark.parametrize(
    ("argv0", "event", "hook"),
    [
        ("/usr/libexec/vdsm/hooks/before_vm_start/50_extnet", "before_vm_start", "extnet"),
        ("before_vm_start/50_extnet", "before_vm_start", "extnet"),
        ("/x/ev/extnet", "ev", "extnet"),
        ("/x/ev/5_extnet", "ev", "5_extnet"),
        ("/x/ev/500_extnet", "ev", "500_extnet"),
        ("/x/ev/50_50_extnet", "ev", "50_extnet"),
        ("/x/ev/50extnet", "ev", "50extnet"),
    ],
)
def test_its_own_name_tells_event_and_hook(host: Host, serve: Serve, argv0: str, event: str, hook: str) -> None:
    peer = serve(answer(reply("unchanged")))
    result = subprocess.run(
        [argv0, f"--socket={host.socket}"],
        executable=str(host.hook),
        env=host.environment(),
        capture_output=True,
        timeout=GENEROUS,
    )
    quiet(result)
    assert msgpack.unpackb(peer.requests[0])[1:3] == [event, hook]


@pytest.mark.parametrize("argv0", ["50_extnet", "/50_extnet", "extnet", "", "/x/ev//50_extnet", "/x/ev/50_", "/x/ev/"])
def test_a_name_that_tells_nothing(host: Host, argv0: str) -> None:
    result = subprocess.run(
        [argv0], executable=str(host.hook), env=host.environment(), capture_output=True, timeout=GENEROUS
    )
    hook = "extnet" if argv0.endswith("extnet") else ""
    refused(result, "bad-request", hook=hook)


RAW = """
import ctypes, os, sys
block = bytes.fromhex(sys.argv[1]).split(b"\\0")
argv = [os.fsencode(a) for a in sys.argv[2:]]
c = ctypes.CDLL(None)
c.execve(argv[0], (ctypes.c_char_p * (len(argv) + 1))(*argv, None), (ctypes.c_char_p * (len(block) + 1))(*block, None))
"""


def run_raw(host: Host, place: pathlib.Path, block: list[bytes]) -> Result:
    """Runs the shim with exactly this environment block: duplicates, no `=`, whatever."""
    script = place / "raw.py"
    script.write_text(RAW.replace("bytes.fromhex(sys.argv[1])", f"open({str(place / 'block')!r}, 'rb').read()"))
    (place / "block").write_bytes(b"\0".join(block))
    return subprocess.run(
        ["/usr/bin/env", "python3", str(script), "-", *host.command()], capture_output=True, timeout=GENEROUS
    )


def test_a_hostile_environment(host: Host, serve: Serve, place: pathlib.Path) -> None:
    peer = serve(rewrite(NEW))
    path = b"_hook_domxml=" + bytes(host.document)
    noise = [b"v%d=%d" % (i, i) for i in range(10000)]
    odd = [b"extnet", b"vmId", b"=", b"", b"=extnet=x", b"extnetx=no", b"xextnet=no", b"\xff\xfe=\xff"]
    block = [
        *noise,
        *odd,
        path,
        b"extnet=first",
        b"extnet=second",
        b"_hook_domxml=/dev/null",
        b"vmId=\xff\n",
        b"vmId=2",
    ]
    quiet(run_raw(host, place, block))
    assert msgpack.unpackb(peer.requests[0])[3] == {"extnet": b"first", "vmId": b"\xff\n"}
    assert host.document.read_bytes() == NEW
    faults.held("hostile-environment", 1, "no effect on the shim")


LIES = {
    **dict.fromkeys(("TMPDIR", "HOME", "PATH", "PWD", "IFS", "MALLOC_TOP_PAD_"), "/nonexistent"),
    **dict.fromkeys(("HOOKD_SOCKET", "HOOK_SOCKET", "VDSM_HOOKD_SOCKET", "SOCKET", "socket"), "/nonexistent"),
    **dict.fromkeys(("HOOKD_TIMEOUT", "TIMEOUT", "timeout", "event", "EVENT", "hook", "HOOK", "version"), "0"),
    **dict.fromkeys(("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "LD_DEBUG_OUTPUT"), "/nonexistent/lib.so"),
    **dict.fromkeys(("NOTIFY_SOCKET", "JOURNAL_STREAM", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDNAMES"), "1"),
    **dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT"), "/nonexistent"),
    **dict.fromkeys(("LC_ALL", "LANG", "LANGUAGE", "TZ", "NLSPATH", "GCONV_PATH"), "/nonexistent/%s%n"),
    "LD_DEBUG": "all",
    "LD_BIND_NOW": "1",
    "LD_SHOW_AUXV": "1",
    "LD_TRACE_LOADED_OBJECTS": "1",
    "LISTEN_FDS": "3",
    "GLIBC_TUNABLES": "glibc.malloc.check=3:glibc.malloc.tcache_count=0:glibc.malloc.mxfast=18446744073709551615",
    "MALLOC_CHECK_": "3",
    "MALLOC_PERTURB_": "165",
    "_hook_json": "/etc/passwd",
}


@pytest.mark.release_binary  # a sanitizer's binary is a dynamic one
@pytest.mark.parametrize("name", LIES)
def test_configuration_does_not_come_from_the_environment(host: Host, serve: Serve, name: str) -> None:
    peer = serve(rewrite(NEW))
    quiet(host.run(environment={**host.environment(), name: LIES[name]}))
    assert host.document.read_bytes() == NEW
    assert msgpack.unpackb(peer.requests[0])[3] == {"extnet": b"glitter", "vmId": b"6b7e"}
    faults.held("hostile-environment", 1, "no effect on the shim")


@pytest.mark.release_binary
def test_nor_from_all_of_it_at_once(host: Host, serve: Serve) -> None:
    serve(rewrite(NEW))
    quiet(host.run(environment={**LIES, **host.environment()}))
    assert host.document.read_bytes() == NEW
    host.document.write_bytes(OLD)
    quiet(host.run(environment={**LIES, "_hook_domxml": str(host.document)}))
    assert host.document.read_bytes() == OLD
    faults.held("hostile-environment", 2, "no effect on the shim")


def test_an_empty_value_is_a_value(host: Host, serve: Serve) -> None:
    peer = serve(answer(reply("refused", b"bad-property: extnet is empty: name a network")))
    refused(host.run(environment=host.environment(extnet="")), "bad-property")
    assert msgpack.unpackb(peer.requests[0])[3]["extnet"] == b""


def test_two_shims_on_one_document(host: Host, serve: Serve) -> None:
    """Each gets the lock in turn, sees the other's work whole, and adds its own."""

    def append(talk: Talk) -> None:
        document = msgpack.unpackb(talk.request())[4]
        talk.send(reply("rewritten", document + b"+" * 50000))

    serve(append)
    results: list[Result] = []
    threads = [threading.Thread(target=lambda: results.append(host.run("--timeout=30"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        quiet(result)
    assert host.document.read_bytes() == OLD + b"+" * 400000
    assert host.litter() == []
    faults.held("one-file", 8, "each saw the other's work whole, and added its own")


def by_rename(document: pathlib.Path, text: bytes) -> None:
    other = document.with_name("another.hook")
    other.write_bytes(text)
    other.rename(document)


def in_place(document: pathlib.Path, text: bytes) -> None:
    document.write_bytes(text)


@pytest.mark.parametrize("put", [by_rename, in_place])
@pytest.mark.parametrize("size", [1, 3_000_000])
def test_another_hook_replaces_the_document_in_between(
    host: Host, serve: Serve, put: Callable[[pathlib.Path, bytes], None], size: int
) -> None:
    """One that knows no lock, while the daemon is asked: the last rename wins, and what it puts there is whole."""

    def interfere(talk: Talk) -> None:
        document = msgpack.unpackb(talk.request())[4]
        put(host.document, b"theirs" * size)
        talk.send(reply("rewritten", document + b"ours"))

    serve(interfere)
    quiet(host.run())
    assert host.document.read_bytes() == OLD + b"ours"
    assert host.litter() == []
    faults.held("one-file", 1, "the last rename won, whole")


def test_hooks_that_rename_all_the_time_and_shims_leave_a_whole_document(host: Host, serve: Serve) -> None:
    """Whatever is read at any time is somebody's whole work."""
    serve(answer(reply("rewritten", b"ours" * 50000)))
    stopping, seen = threading.Event(), set()

    def rename_on() -> None:
        while not stopping.is_set():
            by_rename(host.document, b"theirs" * 40000)
            seen.add(host.document.read_bytes())

    other = threading.Thread(target=rename_on)
    other.start()
    results = [host.run("--timeout=30") for _ in range(20)]
    stopping.set()
    other.join()
    seen.add(host.document.read_bytes())
    for result in results:
        quiet(result)
    assert seen <= {b"theirs" * 40000, b"ours" * 50000}
    assert host.litter() == []
    faults.held("one-file", len(results), "always whole under another's renames")


def test_a_killed_runs_leftover_is_cleared(host: Host, serve: Serve) -> None:
    serve(rewrite(NEW))
    leftover = host.document.with_name("vm.xml.hookd")
    leftover.write_bytes(b"<half")
    leftover.chmod(0o400)
    quiet(host.run())
    assert host.document.read_bytes() == NEW
    assert host.litter() == []


def test_a_link_in_the_temporary_files_place_is_not_followed(host: Host, serve: Serve, place: pathlib.Path) -> None:
    serve(rewrite(NEW))
    victim = place / "victim"
    victim.write_bytes(b"mine")
    host.document.with_name("vm.xml.hookd").symlink_to(victim)
    quiet(host.run())
    assert victim.read_bytes() == b"mine"
    assert host.document.read_bytes() == NEW
    assert not host.document.is_symlink()
