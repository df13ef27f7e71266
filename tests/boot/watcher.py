"""What happens to names in vdsm's hook directories, by inotify, until standard input ends. Runs inside the machine.

    python3 -m tests.boot.watcher

Prints a line when it watches, and at the end one line of JSON: [event, directory, name] for each.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import struct
import sys
from pathlib import Path

HOOKS = Path("/usr/libexec/vdsm/hooks")
_EVENTS = {0x40: "moved from", 0x80: "moved to", 0x100: "created", 0x200: "deleted"}
_HEADER = struct.Struct("iIII")


def main() -> None:
    """Watch."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init()
    folders = {}
    for folder in HOOKS.iterdir():
        number = libc.inotify_add_watch(descriptor, os.fsencode(folder), sum(_EVENTS))
        if number < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
        folders[number] = folder.name
    print("watching", flush=True)
    seen = []
    while True:
        ready, _, _ = select.select([descriptor, sys.stdin], [], [])
        if descriptor in ready:
            data = os.read(descriptor, 65536)
            place = 0
            while place < len(data):
                number, mask, _cookie, length = _HEADER.unpack_from(data, place)
                place += _HEADER.size
                name = data[place : place + length].rstrip(b"\0").decode()
                place += length
                seen.append([_EVENTS.get(mask & 0xFFF, hex(mask)), folders[number], name])
        elif sys.stdin in ready:
            break
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
