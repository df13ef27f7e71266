"""The configuration that was last in force, kept for a start at which the one on disk is bad.

One file in the state directory, whole or not at all: its first line has the checksum of the second, which is JSON. It
holds the entries as the files had them, so that each value still tells its file and line, and none of the command line.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os

from vdsm_hookd import state_file
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
    """That file."""

    def __init__(self, path: str, main: str) -> None:
        self.path = path
        self._main = main
        self.failure = ""
        """Why the configuration in force is not kept; empty while it is."""

    def load(self) -> Source | None:
        """The configuration that was last in force; None where none was yet. Raises Unusable."""
        try:
            with open(self.path, "rb", opener=state_file.open_own) as file:
                return decode(self._main, file.read(_MAX_SIZE))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unusable(error.strerror or str(error)) from None

    def keep(self, source: Source) -> None:
        """Keep this one in place of what was kept. Where that fails, a warning and `failure` say so, and nothing is
        kept any more: an old one could lack what denies a network."""
        try:
            if os.geteuid() == 0 and os.stat(os.path.dirname(self.path)).st_uid != 0:
                self._fail("the folder is the service's user's")
                return
            content = encode(self._main, source)
            if len(content) > _MAX_SIZE:
                raise OSError(errno.EFBIG, f"it has {len(content)} bytes, more than {_MAX_SIZE}", self.path)
            state_file.write(self.path, content, 0o600)
            self.failure = ""
        except OSError as error:
            self._fail(error)
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def _fail(self, reason: object) -> None:
        self.failure = f"the configuration in force can't be kept for a later start: {self.path}: {reason}"
        log.warning("%s; make that right, then hookctl reload", self.failure)
