"""Whether the service can read what root can: its user is another, and a file's mode may be root's alone."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator

from vdsm_hookd.config import DEFAULT_FILE, Config
from vdsm_hookd.finding import Finding
from vdsm_hookd.hook import operand

SERVICE_USER = "vdsm-hookd"


def unreadable(config: Config) -> Iterator[Finding]:
    """The files and folders of the installed configuration that the service's user can't read. Nothing where the host
    has no such user."""
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return
    if not config.files or not config.files[0].startswith(os.path.dirname(DEFAULT_FILE)):
        return
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    folders = dict.fromkeys(map(os.path.dirname, config.files))
    for path, needed in (*((folder, 5) for folder in folders), *((file, 4) for file in config.files)):
        status = os.stat(path)
        if _allowed(status, user.pw_uid, groups) & needed != needed:
            what = f"can't be read by the service's user {SERVICE_USER} (mode {stat.S_IMODE(status.st_mode):04o})"
            mode = "go+rx" if needed == 5 else "go+r"
            yield Finding("not-readable", path, what, f"chmod {mode} {operand(path)}")


def _allowed(status: os.stat_result, uid: int, groups: list[int]) -> int:
    """The bits of the mode, as of `other`, that count for this user."""
    if status.st_uid == uid:
        return status.st_mode >> 6 & 7
    return status.st_mode >> 3 & 7 if status.st_gid in groups else status.st_mode & 7
