"""What the service manager and the daemon tell each other: sockets in, states out (sd_listen_fds(3), sd_notify(3))."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import time
from collections.abc import Mapping

_FIRST_FD = 3
_NOTIFY_TIMEOUT = 0.05  # seconds
_MIN_PING_INTERVAL = 0.05  # seconds: below it the loop would do nothing but ping


def take_sockets(environment: Mapping[str, str]) -> dict[str, socket.socket]:
    """The sockets that systemd handed over, by their FileDescriptorName; none without it.

    python-systemd before 235 (EL9) can't tell the names, so they are read here. Raises ValueError for sockets that have
    no name or one twice, for guessing which is which would put operators on the hook socket.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = int(environment.get("LISTEN_FDS", "0"))
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    if count != len(names) or len(set(names)) != count:
        raise ValueError(
            f"systemd handed over {count} sockets named {names}: each needs a FileDescriptorName of its own"
        )
    sockets = {}
    for fd, name in enumerate(names, start=_FIRST_FD):
        os.set_inheritable(fd, False)
        sockets[name] = socket.socket(fileno=fd)
    return sockets


def watchdog_interval(environment: Mapping[str, str]) -> float | None:
    """Seconds between two watchdog pings, half of what the unit allows; None when it has no watchdog for this
    process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit = int(environment.get("WATCHDOG_USEC", "0"))
    return max(limit / 2e6, _MIN_PING_INTERVAL) if limit else None


@functools.cache
def _notifier() -> socket.socket:
    """Made once: when clients have taken all descriptors the watchdog has to be pinged all the same."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    sock.settimeout(_NOTIFY_TIMEOUT)
    return sock


def _notify(state: str) -> None:
    """sd_notify(3), but with a limit: libsystemd's waits for as long as the manager's queue is full, and requests with
    it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError):  # what the manager does not take it does not learn
        _notifier().sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


def notify_ready(status: str) -> None:
    """Started, or reloaded."""
    _notify(f"READY=1\nSTATUS={status}")


def notify_reloading() -> None:
    """A reload has begun; the time is what Type=notify-reload (systemd 253) pairs it with."""
    _notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def notify_alive(status: str) -> None:
    """The main loop turns."""
    _notify(f"WATCHDOG=1\nSTATUS={status}")


def notify_stopping() -> None:
    """Draining, then gone."""
    _notify("STOPPING=1\nSTATUS=answering the last requests")
