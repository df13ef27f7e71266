"""The file that tells the shim which variables wake which hook, for it can't ask a daemon that may be dead.

The shim has a table of its own for the hooks that ship with it; what configuration adds is known to the daemon alone,
and has to outlive it, and a reboot: until the daemon has started, a vNIC that [map] sends elsewhere must not slip
through.
"""

from __future__ import annotations

import os
import stat

DEFAULT_SOCKET = "/run/vdsm-hookd/hook.sock"
_STATE = "/var/lib/vdsm-hookd"
MAX_SIZE = 256 * 1024
"""Bytes that the shim reads; a larger table it would not rely on."""


def path_for(hook_socket: str, name: str = "wake") -> str:
    """Where the shim of this hook socket looks, or by another name its daemon: on a host in /var/lib, elsewhere beside
    the socket. As in shim/."""
    return f"{_STATE}/{name}" if hook_socket == DEFAULT_SOCKET else f"{hook_socket}.{name}"


def write(path: str, table: str) -> None:
    """Put a whole new table in place of the old one. Raises OSError, or ValueError for one too large for the shim."""
    if len(table) > MAX_SIZE:
        raise ValueError(f"it has {len(table)} bytes, more than {MAX_SIZE}: let rewrites name fewer properties")
    if _is_there(path, table):
        return  # a start then needs no disk that can be written
    new = f"{path}.new"
    with open(new, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o644)  # the unit's umask would hide it from the shim
        file.write(table)
        file.flush()
        os.fsync(file.fileno())  # it outlives the host's crash too: the shim relies on no table that is torn
    os.replace(new, path)


def _is_there(path: str, table: str) -> bool:
    """Whether that is what the shim finds already, and relies on."""
    try:
        status = os.lstat(path)
        with open(path, encoding="ascii") as file:
            return stat.S_ISREG(status.st_mode) and status.st_mode & 0o777 == 0o644 and file.read() == table
    except (OSError, ValueError):
        return False
