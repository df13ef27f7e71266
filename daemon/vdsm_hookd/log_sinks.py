"""Where log entries go: the journal, or standard error. Neither is waited for: what it does not take at once is lost,
and counted.

libsystemd's sendv waits while journald does not read, and holds Python's lock meanwhile: so requests, the watchdog and
a start would wait with it. The journal's native protocol is simple (systemd's JOURNAL_NATIVE_PROTOCOL page).
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Mapping

Fields = Mapping[str, object]

SOCKET = "/run/systemd/journal/socket"
MAX_MESSAGE = 32 * 1024
"""Bytes of an entry's text; a longer one, such as a deep traceback, is cut."""
MAX_LINE = select.PIPE_BUF
"""Bytes that are given to standard error at once: what a pipe that is ready takes."""
_IDENTIFIER = "vdsm-hookd"


class Journal:
    """journald, by its socket."""

    def __init__(self, path: str = SOCKET) -> None:
        self.lost = 0
        """Entries that it did not take, ever."""
        self._path = path
        self._untold = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def write(self, priority: int, text: str, fields: Fields) -> None:
        """One entry. Never waits, never raises."""
        self.tell()
        if self._untold or not self._send(priority, text, fields):
            self.lost += 1
            self._untold += 1

    def tell(self) -> None:
        """Say how many entries were lost, once, when the journal takes entries again."""
        untold = self._untold
        if untold and self._send(4, f"{untold} log entries were lost while the journal did not take them", {}):
            self._untold -= untold

    def _send(self, priority: int, text: str, fields: Fields) -> bool:
        named = {"MESSAGE": text, "PRIORITY": priority, "SYSLOG_IDENTIFIER": _IDENTIFIER, **fields}
        entry = b"".join(_field(name, value) for name, value in named.items() if value != "")
        try:
            self._socket.sendto(entry, self._path)
        except OSError:  # full, away, or restarting
            return False
        return True


def _field(name: str, value: object) -> bytes:
    data = str(value).encode("utf-8", "backslashreplace")[:MAX_MESSAGE]
    if b"\n" not in data:
        return f"{name}=".encode() + data + b"\n"
    return f"{name}\n".encode() + struct.pack("<Q", len(data)) + data + b"\n"


class Stderr:
    """Standard error, as plain lines."""

    def __init__(self, descriptor: int = 2) -> None:
        self.lost = 0
        """Entries that it did not take, ever."""
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def write(self, priority: int, text: str, fields: Fields) -> None:
        """One line, or several of a traceback. Never waits, never raises."""
        data = f"{_IDENTIFIER}: {text}\n".encode("utf-8", "backslashreplace")
        try:
            while data and any(event & select.POLLOUT for _descriptor, event in self._poll.poll(0)):
                data = data[os.write(self._descriptor, data[:MAX_LINE]) :]
        except OSError:  # nobody reads it any more
            pass
        self.lost += bool(data)

    def tell(self) -> None:
        """Nothing: whoever reads it sees the gap."""
