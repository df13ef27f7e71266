"""What takes log entries does not keep the daemon: one that does not read loses them, and it is told."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vdsm_hookd.log_sinks import MAX_MESSAGE, Journal, Stderr


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "socket"))
        yield sock


def entry(data: bytes) -> dict[str, bytes]:
    """One entry of the native protocol."""
    fields = {}
    while data:
        line, _newline, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", data)
            value, data = data[8 : 8 + length], data[8 + length + 1 :]
        fields[name.decode()] = value
    return fields


def test_an_entry_is_what_it_was(journald: socket.socket, tmp_path: Path) -> None:
    sink = Journal(str(tmp_path / "socket"))
    sink.write(6, "one line", {"CODE": "", "HOOK": "extnet"})
    sink.write(3, "two\nlines=\udc80", {})
    sink.write(3, "x" * 10**6, {})
    assert entry(journald.recv(65536)) == {
        "MESSAGE": b"one line",
        "PRIORITY": b"6",
        "SYSLOG_IDENTIFIER": b"vdsm-hookd",
        "HOOK": b"extnet",
    }
    assert entry(journald.recv(65536))["MESSAGE"] == b"two\nlines=\\udc80"
    assert entry(journald.recv(65536))["MESSAGE"] == b"x" * MAX_MESSAGE
    assert sink.lost == 0


def test_a_journal_that_does_not_read_costs_entries_and_no_time(journald: socket.socket, tmp_path: Path) -> None:
    sink = Journal(str(tmp_path / "socket"))
    started = time.monotonic()
    for number in range(2000):
        sink.write(6, f"entry {number}", {})
    assert time.monotonic() - started < 5
    lost = sink.lost
    assert 0 < lost < 2000
    for number in range(2000 - lost):
        assert entry(journald.recv(65536))["MESSAGE"] == b"entry %d" % number
    sink.tell()
    sink.write(6, "back", {})
    assert entry(journald.recv(65536))["MESSAGE"].startswith(b"%d log entries were lost" % lost)
    assert entry(journald.recv(65536))["MESSAGE"] == b"back"
    assert sink.lost == lost


def test_a_journal_that_is_away_costs_entries_until_it_is_back(tmp_path: Path) -> None:
    sink = Journal(str(tmp_path / "socket"))
    sink.write(6, "lost", {})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "socket"))
        sink.write(6, "found", {})
        assert entry(journald.recv(65536))["MESSAGE"].startswith(b"1 log entries were lost")
        assert entry(journald.recv(65536))["MESSAGE"] == b"found"


def test_a_reader_of_stderr_who_does_not_read_costs_lines_and_no_time() -> None:
    reading, writing = os.pipe()
    sink = Stderr(writing)
    for number in range(5000):
        sink.write(6, f"line {number}", {})
    assert sink.lost > 0
    assert os.read(reading, 65536).startswith(b"vdsm-hookd: line 0\nvdsm-hookd: line 1\n")
    os.close(reading)
    sink.write(6, "nobody", {})
    os.close(writing)
