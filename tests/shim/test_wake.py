# SPDX-License-Identifier: GPL-2.0-or-later
"""What wakes a hook: the table that the daemon writes, else what is compiled in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgpack
import pytest

from tests.shim.host import NOBODY, Host, become_nobody, needs_root, quiet, refused
from tests.shim.peer import answer, reply

if TYPE_CHECKING:
    from tests.shim.host import Serve

NAMES_63 = " ".join(f"v{number}" for number in range(63))


def asked(host: Host, serve: Serve, *options: str, **changes: str | None) -> dict[str, bytes] | None:
    """The variables in the request; None where the shim ended without one."""
    peer = serve(answer(reply("unchanged")))
    quiet(host.run(*options, environment=host.environment(**changes)))
    if not peer.connections:
        return None
    variables: dict[str, bytes] = msgpack.unpackb(peer.requests[0])[3]
    return variables


VM = {"vmId": b"6b7e"}
EXTNET = {"extnet": b"glitter", **VM}
OTHER = {"other": b"1", **VM}


@pytest.mark.parametrize(
    ("table", "changes", "expected"),
    [
        # no table, or no line: what is compiled in
        (None, {}, EXTNET),
        (None, {"extnet": None}, None),
        ("macspoof * other\n", {"other": "1"}, EXTNET),
        ("extnet before_vm_start other\n", {"other": "1"}, EXTNET),
        ("extnet before_vm_start *\n", {"extnet": None}, None),
        # a line replaces it
        ("extnet * other\n", {"other": "1"}, OTHER),
        ("extnet * other\n", {}, None),
        ("extnet before_nic_hotplug other\n", {"other": "1"}, OTHER),
        ("extnet * other extnet\n", {"other": ""}, {"other": b"", **EXTNET}),
        # every request
        ("extnet * *\n", {}, VM),
        ("extnet * *\n", {"extnet": None, "vmId": None}, {}),
        ("extnet * extnet *\n", {}, EXTNET),
        ("extnet * * extnet other\n", {"extnet": None, "other": "1"}, OTHER),
        (f"extnet * {NAMES_63} *\n", {"v62": "x"}, {"v62": b"x", **VM}),
        (f"extnet * {NAMES_63}\n", {"v0": "x"}, {"v0": b"x", **VM}),
        (f"extnet * {NAMES_63}\n", {}, None),
        # the first that fits counts
        ("extnet before_nic_hotplug other\nextnet * extnet\n", {"other": "1"}, OTHER),
        ("extnet * extnet\nextnet before_nic_hotplug other\n", {"other": "1"}, EXTNET),
        ("extnet before_vm_start extnet\nextnet * other\n", {"other": "1"}, OTHER),
        # nothing
        ("extnet *\n", {}, None),
        ("extnet * \n", {}, None),
        ("extnet before_nic_hotplug\nextnet * *\n", {}, None),
        # hooks and events that look alike
        ("ext * other\nextnet2 * other\nextne * *\nnet * *\n", {"other": "1"}, EXTNET),
        ("extnet before_nic_hotplug2 *\nextnet before_nic *\n", {"extnet": None}, None),
        # a table that makes little sense, but is whole
        ("\n\n \n  \nextnet\n* * *\n\x01\xff\textnet * x\nextnet * other\n", {"other": "1"}, OTHER),
        ("extnet  * *\n", {}, EXTNET),
        ("extnet *  other  extnet\n", {}, EXTNET),
        ("extnet * extnet\r\n", {}, None),
        ("x" * (256 * 1024 - 16) + "\nextnet * other\n", {"other": "1"}, OTHER),
    ],
)
def test_what_the_table_says(
    host: Host, serve: Serve, table: str | None, changes: dict[str, str | None], expected: dict[str, bytes] | None
) -> None:
    if table is not None:
        host.table.write_bytes(table.encode("latin-1"))
    assert asked(host, serve, **changes) == expected


def test_a_hook_that_only_the_table_has(host: Host, serve: Serve) -> None:
    host.table.write_text("declared * other\n")
    quiet(host.run("--hook=declared"))
    assert asked(host, serve, "--hook=declared", other="1") == OTHER


def test_every_request_needs_the_daemon(host: Host) -> None:
    host.table.write_text("extnet * * extnet\n")
    refused(host.run("--timeout=0.05", environment=host.environment(extnet=None)), "daemon-unreachable")


UNSOUND = {
    "empty": b"",
    "no newline at the end": b"extnet *",
    "a NUL": b"extnet *\n\0\n",
    "only NULs": bytes(100),
    "too large": b"x" * (256 * 1024 - 9) + b"\nextnet *\n",
}


def put_unsound(host: Host, kind: str) -> None:
    if kind == "directory":
        host.table.mkdir()
    elif kind == "FIFO":
        os.mkfifo(host.table)
    elif kind == "symlink":
        host.table.symlink_to(host.place / "nothing")
    else:
        host.table.write_bytes(UNSOUND.get(kind, b"extnet *\n"))
    if kind in {"group may write", "others may write"}:
        host.table.chmod(0o664 if kind == "group may write" else 0o646)


KINDS = [*UNSOUND, "directory", "FIFO", "symlink", "group may write", "others may write"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_that_cannot_be_relied_on(host: Host, serve: Serve, kind: str) -> None:
    """The daemon is asked, with what is compiled in, whatever the environment has."""
    put_unsound(host, kind)
    assert asked(host, serve, v0="x") == EXTNET


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_that_cannot_be_relied_on_wakes(host: Host, serve: Serve, kind: str) -> None:
    put_unsound(host, kind)
    assert asked(host, serve, extnet=None, v0="x") == VM


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_table_to_rely_on_a_hook_of_the_table_alone_is_refused(host: Host, kind: str) -> None:
    """Its rules would not see their variables, and let a VM pass that they are there for."""
    put_unsound(host, kind)
    refused(host.run("--hook=declared"), "internal", hook="declared")


def test_a_hook_that_the_table_has_no_more_is_not_woken(host: Host) -> None:
    host.table.write_text("# comment\nextnet *\n")
    quiet(host.run("--hook=declared"))


def test_a_line_may_name_more_than_63(host: Host, serve: Serve) -> None:
    host.table.write_text(f"extnet * {NAMES_63} v63 v64\n")
    most = {f"v{number}": "x" for number in range(2, 65)}
    variables = asked(host, serve, extnet=None, **most)
    assert variables is not None
    assert variables == {**VM, **dict.fromkeys(most, b"x")}


def test_more_than_63_that_are_set_are_refused_not_cut(host: Host) -> None:
    host.table.write_text(f"extnet * {NAMES_63} v63\n")
    everything = {f"v{number}": "x" for number in range(64)}
    refused(host.run(environment=host.environment(extnet=None, **everything)), "too-large")


@needs_root
@pytest.mark.parametrize("hidden", ["table", "directory"])
def test_a_table_that_may_not_be_read(host: Host, serve: Serve, hidden: str) -> None:
    os.chown(host.document, NOBODY, NOBODY)
    host.table.write_text("extnet *\n")
    peer = serve(answer(reply("unchanged")))
    if hidden == "table":
        host.table.chmod(0)
        quiet(host.run(environment=host.environment(extnet=None), preexec=become_nobody))
        assert msgpack.unpackb(peer.requests[0])[3] == VM
    else:
        (host.place / "d").mkdir(0o700)
        options = [f"--socket={host.place}/d/s", "--timeout=0.05"]
        result = host.run(*options, environment=host.environment(extnet=None), preexec=become_nobody)
        refused(result, "daemon-unreachable")


@needs_root
def test_the_daemons_users_table_counts(host: Host, serve: Serve) -> None:
    """Neither root's nor the shim's own."""
    host.table.write_text("extnet * other\n")
    os.chown(host.table, NOBODY, NOBODY)
    assert asked(host, serve, other="1") == OTHER


def test_a_socket_in_a_directory_that_is_none(host: Host) -> None:
    quiet(host.run(f"--socket={host.document}/s", environment=host.environment(extnet=None)))
