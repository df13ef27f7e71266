"""The file that tells the shim which variables wake which hook, for it can't ask a daemon that may be dead.

The shim has a table of its own for the hooks that ship with it; what configuration adds is known to the daemon alone,
and has to outlive it, and a reboot: until the daemon has started, a vNIC that [map] sends elsewhere must not slip
through.
"""

from __future__ import annotations

from vdsm_hookd import state_file

DEFAULT_SOCKET = "/run/vdsm-hookd/hook.sock"
_STATE = "/var/lib/vdsm-hookd"
MAX_SIZE = 256 * 1024
"""Bytes that the shim reads; a larger table it would not rely on."""


def path_for(hook_socket: str, name: str = "wake") -> str:
    """Where the shim of this hook socket looks, or by another name its daemon: on a host in /var/lib, elsewhere beside
    the socket. As in shim/."""
    return f"{_STATE}/{name}" if hook_socket == DEFAULT_SOCKET else f"{hook_socket}.{name}"


def write(path: str, table: str) -> None:
    """Put a whole new table in place of the old one. Raises OSError."""
    state_file.write(path, table.encode("ascii"), 0o644)  # the shim runs as vdsm
