# SPDX-License-Identifier: GPL-2.0-or-later
"""What a reader does with a remedy: copies a command out of it, and pastes it into a shell."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

PROGRAMS = ("virsh", "systemctl", "hookctl", "rm", "chmod", "mkdir", "ln", "rpm")
_START = re.compile(rf"(?<![\w-])(?:{'|'.join(PROGRAMS)}) ")
_COMMAND = re.compile(r"(?:'[^']*'|\\'|[^'),])+")
_NOTES = 'note() { printf \'%s\\0\' $# "$@" >> "$LOG"; }\n' + "".join(
    f'{name}() {{ note {name} "$@"; }}\n' for name in (*PROGRAMS, "touch")
)


def commands(remedy: str) -> str:
    """The first that stand in it: from a program's name to the end of the brackets, a comma, or the end."""
    assert remedy.isascii()
    assert remedy.isprintable()
    start = _START.search(remedy)
    assert start, remedy
    found = _COMMAND.match(remedy, start.start())
    assert found, remedy
    return found[0]


class Shell:
    """Bash, or another, in which programs only note down their calls, and there are no others."""

    def __init__(self, folder: Path) -> None:
        self.place, self._log = folder / "empty", folder / "log"
        self.place.mkdir()

    def run(self, text: str, shell: str = "bash") -> list[list[str]]:
        """The calls that were made. Nothing else may have come of it."""
        self._log.write_bytes(b"")
        result = subprocess.run(
            [f"/bin/{shell}", "-c", f'{_NOTES}eval "$1"', shell, os.fsencode(text)],
            env={"PATH": "/nonexistent", "LOG": str(self._log)},
            cwd=self.place,
            capture_output=True,
            timeout=60,
        )
        assert (result.returncode, result.stdout, result.stderr) == (0, b"", b""), text
        assert os.listdir(self.place) == []
        words = self._log.read_bytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
        calls = []
        while words:
            count = int(words.pop(0))
            calls.append(words[:count])
            del words[:count]
        return calls
