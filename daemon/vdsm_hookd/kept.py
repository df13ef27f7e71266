"""The configuration that was last in force, kept for a start at which the one on disk is bad.

One file in the state directory, whole or not at all: its first line has the checksum of the second, which is JSON. It
holds the entries as the files had them, so that each value still tells its file and line, and none of the command line.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import threading

from vdsm_hookd.config import Source
from vdsm_hookd.ini import Entry, Origin

log = logging.getLogger(__name__)

_MAGIC = b"vdsm-hookd configuration 1 "
"""The form's version is in it: what another version wrote is not read."""
_MAX_SIZE = 16 * 1024 * 1024


class Unusable(Exception):
    """There is none that can be used; the text says why."""


def encode(main: str, source: Source) -> bytes:
    """The file's content: `main` is the main file's path, without which it is somebody else's."""
    entries = [[each.section, each.key, each.value, *each.origin] for each in source.entries if each.origin.line]
    text = json.dumps({"main": main, "files": source.files, "entries": entries}).encode()
    return _MAGIC + hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n"


def decode(main: str, content: bytes) -> Source:
    """The opposite. Raises Unusable."""
    head, _newline, text = content.partition(b"\n")
    text = text[:-1]
    if head != _MAGIC + hashlib.sha256(text).hexdigest().encode() or not content.endswith(b"\n"):
        raise Unusable("it is damaged, or of another version")
    found = json.loads(text)
    if found["main"] != main:
        raise Unusable(f"it is of {found['main']}")
    entries = (Entry(section, key, value, Origin(file, line)) for section, key, value, file, line in found["entries"])
    return Source(tuple(found["files"]), tuple(entries))


class Kept:
    """That file. It is written in a thread of its own: no request, nor the service manager, waits for the disk."""

    def __init__(self, path: str, main: str) -> None:
        self.path = path
        self._main = main
        self.failure = ""
        """Why the configuration in force is not the one that is kept; empty while it is."""
        self._lock = threading.Lock()
        self._wanted: bytes | None = None
        self._thread: threading.Thread | None = None

    def load(self) -> Source | None:
        """The configuration that was last in force; None where none was yet. Raises Unusable."""
        try:
            with open(self.path, "rb", opener=_open_own) as file:
                return decode(self._main, file.read(_MAX_SIZE))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unusable(error.strerror or str(error)) from None

    def keep(self, source: Source) -> None:
        """Keep this one, a moment later. Where that fails, a warning and `failure` say so."""
        with self._lock:
            self._wanted = encode(self._main, source)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="keep-configuration", daemon=True)
                self._thread.start()

    def wait(self, timeout: float) -> None:
        """Until what was to be kept is, for so many seconds at most."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._lock:
                wanted, self._wanted = self._wanted, None
                if wanted is None:
                    self._thread = None
                    return
            try:
                self._write(wanted)
                self.failure = ""
            except OSError as error:
                self.failure = f"the configuration in force can't be kept for a later start: {error}"
                log.warning("%s", self.failure)

    def _write(self, content: bytes) -> None:
        """Put it in place of the old one, unless it is the same. Raises OSError."""
        try:
            with open(self.path, "rb", opener=_open_own) as file:
                if file.read(len(content) + 1) == content:
                    return
        except OSError:
            pass
        new = f"{self.path}.new"
        with open(new, "wb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, 0o600)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)


def _open_own(path: str, flags: int) -> int:
    """Open a regular file that nobody else could have written. Raises OSError."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022:
        return descriptor
    os.close(descriptor)
    raise PermissionError(f"{path} belongs to another user, or may be written by others")
