"""The daemon's log: structured in the journal where there is one, plain lines on stderr where not.

One line a decision, with fields to search by. Values from outside are in it only as `Decision` shows
them; in the fields journald keeps them apart from the text.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Callable

from systemd.journal import sendv

from vdsm_hookd.decision import Decision
from vdsm_hookd.ini import ConfigError
from vdsm_hookd.server import Peer
from vdsm_hookd.wire import BadMessage

log = logging.getLogger("vdsm_hookd")

MESSAGE_IDS = {
    "rewritten": "de7d5121b54d491ebc0cd1f0086a5bc1",
    "refused": "dcab91bcf5b5480bb1ff6ea0c30ac049",
    "reloaded": "53b34efd6667438c8c08775813cb42e6",
    "reload-failed": "b3d562377ead476e8260a33d43fd9044",
}
"""Journal MESSAGE_IDs, as vdsm-hookd(8) lists them."""

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


Fields = Mapping[str, object]


def _to_journal(priority: int, text: str, fields: Fields) -> None:
    named = {"MESSAGE": text, "PRIORITY": priority, **fields}
    with contextlib.suppress(OSError):  # a journal that is away must not cost a request
        sendv(*[f"{name}={value}".encode("utf-8", "backslashreplace") for name, value in named.items() if value != ""])


def _to_stderr(priority: int, text: str, fields: Fields) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"vdsm-hookd: {text}\n")


class _Handler(logging.Handler):
    """What the rest of the daemon logs, with its level, on its way to the same place as decisions."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"LOGGER": record.name, **getattr(record, "fields", {})}
        _write(_PRIORITIES.get(record.levelno, 6), self.format(record), fields)


_write: Callable[[int, str, Fields], None] = _to_stderr


def set_up(level: int = logging.INFO) -> None:
    """Send the log to the journal when stderr is the journal's, as under systemd; else to stderr."""
    global _write
    _write = _to_journal if _stderr_is_journal() else _to_stderr
    log.addHandler(_Handler())
    log.setLevel(level)
    log.propagate = False


def _stderr_is_journal() -> bool:
    stat = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def decision(made: Decision, seconds: float) -> None:
    """One line for a decision that did something; an unchanged document without a note is no news.

    Not by way of logging, whose records would cost a request as much as its rewrite.
    """
    if made.outcome == "unchanged" and not made.notes:
        return
    if made.outcome == "refused":
        text = f"{made.event}: refused: {made.hook}: {made.message}"
    else:
        text = "; ".join([f"{made.event}: {made.outcome} by {made.hook}{made.about}", *made.notes])
    if made.error is not None:
        log.error("hook %s failed", made.hook, exc_info=made.error)
    fields = {
        "MESSAGE_ID": MESSAGE_IDS.get(made.outcome, ""),
        "HOOK": made.hook,
        "EVENT": made.event,
        "VM_ID": made.vm_id,
        "VM_NAME": made.vm_name,
        "MAC": made.mac,
        "NETWORK": made.network,
        "OUTCOME": made.outcome,
        "CODE": made.code,
        "RULE": made.rule,
        "DURATION_US": round(seconds * 1e6),
    }
    _write(4 if made.notes or made.outcome == "refused" else 6, text, fields)


def bad_message(error: BadMessage, peer: Peer) -> None:
    """A peer that does not speak the protocol."""
    text = f"a message from pid {peer.pid} (uid {peer.uid}) can't be used: {error}"
    log.warning("%s", text, extra={"fields": {"CODE": error.code}})


def reloaded(files: Sequence[str]) -> None:
    """A new configuration is in force."""
    text = f"configuration reloaded from {', '.join(files) or 'the defaults'}"
    log.info("%s", text, extra={"fields": {"MESSAGE_ID": MESSAGE_IDS["reloaded"]}})


def reload_failed(error: ConfigError) -> None:
    """The old configuration stays."""
    text = f"the configuration was not reloaded, the old one stays in force: {error}"
    log.error("%s", text, extra={"fields": {"MESSAGE_ID": MESSAGE_IDS["reload-failed"], "CODE": "bad-config"}})
