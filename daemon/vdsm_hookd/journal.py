"""The daemon's log: structured in the journal where there is one, plain lines on stderr where not.

One line a decision, with fields to search by. Values from outside are in it only as `Decision` shows
them; in the fields journald keeps them apart from the text.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence

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


class _JournalHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = {
                "MESSAGE": self.format(record),
                "PRIORITY": _PRIORITIES.get(record.levelno, 6),
                "LOGGER": record.name,
            }
            fields.update(getattr(record, "fields", {}))
            sendv(*(f"{name}={value}".encode("utf-8", "backslashreplace") for name, value in fields.items()))
        except OSError:
            pass  # a journal that is away must not cost a request


def set_up(level: int = logging.INFO) -> None:
    """Send the log to the journal when stderr is the journal's, as under systemd; else to stderr."""
    handler: logging.Handler
    if _stderr_is_journal():
        handler = _JournalHandler()
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("vdsm-hookd: %(message)s"))
    log.addHandler(handler)
    log.setLevel(level)
    log.propagate = False


def _stderr_is_journal() -> bool:
    stat = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def decision(made: Decision, seconds: float) -> None:
    """One line for a decision that did something; an unchanged document without a note is no news."""
    if made.outcome == "unchanged" and not made.notes:
        return
    fields = {
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
    if made.outcome == "refused":
        text, level = f"{made.event}: refused: {made.hook}: {made.message}", logging.WARNING
    else:
        text = "; ".join([f"{made.event}: {made.outcome} by {made.hook}{made.about}", *made.notes])
        level = logging.WARNING if made.notes else logging.INFO
    _log(level, text, MESSAGE_IDS.get(made.outcome), fields, made.error)


def bad_message(error: BadMessage, peer: Peer) -> None:
    """A peer that does not speak the protocol."""
    _log(
        logging.WARNING,
        f"a message from pid {peer.pid} (uid {peer.uid}) can't be used: {error}",
        None,
        {"CODE": error.code},
    )


def reloaded(files: Sequence[str]) -> None:
    """A new configuration is in force."""
    _log(logging.INFO, f"configuration reloaded from {', '.join(files) or 'the defaults'}", MESSAGE_IDS["reloaded"], {})


def reload_failed(error: ConfigError) -> None:
    """The old configuration stays."""
    text = f"the configuration was not reloaded, the old one stays in force: {error}"
    _log(logging.ERROR, text, MESSAGE_IDS["reload-failed"], {"CODE": "bad-config"})


def _log(
    level: int, text: str, message_id: str | None, fields: Mapping[str, object], error: BaseException | None = None
) -> None:
    present = {name: value for name, value in fields.items() if value != ""}
    if message_id:
        present["MESSAGE_ID"] = message_id
    log.log(level, text, exc_info=error, extra={"fields": present})
