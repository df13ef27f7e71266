"""A file of the daemon's own, which outlives it and the host's crash: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat


def write(path: str, content: bytes, mode: int) -> None:
    """Put a new file with this content and mode in place of the old one, which is left alone where it is the same: a
    start then needs no disk that can be written. Raises OSError."""
    if _is_there(path, content, mode):
        return
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)  # what a start that was killed has left
    with open(new, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        os.fchmod(file.fileno(), mode)  # whatever the unit's umask is
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_own(path: str, flags: int) -> int:
    """An opener for a regular file that nobody else could have written. Raises OSError."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022:
        return descriptor
    os.close(descriptor)
    raise PermissionError(f"{path} belongs to another user, or may be written by others")


def _is_there(path: str, content: bytes, mode: int) -> bool:
    try:
        with open(path, "rb", opener=open_own) as file:
            same_mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode
            return same_mode and file.read(len(content) + 1) == content
    except OSError:
        return False
