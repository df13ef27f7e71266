"""The daemon's log: structured in the journal where there is one, plain lines on stderr where not.

One line a decision, with fields to search by. Values from outside are in the line only as `Decision` shows them, and in
the fields escaped and cut, so that none of them is more than one short line either.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from vdsm_hookd.decision import Decision
from vdsm_hookd.drift import Drift
from vdsm_hookd.hook import plain
from vdsm_hookd.ini import ConfigError
from vdsm_hookd.log_sinks import Fields, Journal, Stderr
from vdsm_hookd.server import Peer
from vdsm_hookd.wire import BadMessage

log = logging.getLogger("vdsm_hookd")

MESSAGE_IDS = {
    "rewritten": "de7d5121b54d491ebc0cd1f0086a5bc1",
    "refused": "dcab91bcf5b5480bb1ff6ea0c30ac049",
    "held": "3af7f3e5c83f4f8e91b4aa46d3f7614d",
    "reloaded": "53b34efd6667438c8c08775813cb42e6",
    "reload-failed": "b3d562377ead476e8260a33d43fd9044",
    "kept-serves": "f2824146d4ec4982a87bdb64873e7e21",
    "drifted": "1cd828bd7d4b4378b35dfa854367a2a9",
    "no-longer-drifted": "b313d2d5a78d454ca695c56ac3aa6ac3",
    "audit-failed": "0273cd6bc2ef4abc8783afb6c3847581",
}
"""Journal MESSAGE_IDs, as vdsm-hookd(8) lists them."""

MAX_FIELD = 255
"""Characters of a field's value."""

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Handler(logging.Handler):
    """What the rest of the daemon logs, with its level, on its way to the same place as decisions."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"LOGGER": record.name, **getattr(record, "fields", {})}
        _sink.write(_PRIORITIES.get(record.levelno, 6), self.format(record), fields)


_sink: Journal | Stderr = Stderr()


def set_up(level: int = logging.INFO) -> None:
    """Send the log to the journal when stderr is the journal's, as under systemd; else to stderr."""
    global _sink
    _sink = Journal() if _stderr_is_journal() else Stderr()
    log.addHandler(_Handler())
    log.setLevel(level)
    log.propagate = False


def tell_lost() -> None:
    """Say that entries were lost, if the journal takes entries again."""
    _sink.tell()


def lost() -> int:
    """How many entries the journal, or standard error, did not take."""
    return _sink.lost


def _stderr_is_journal() -> bool:
    stat = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def decision(made: Decision, seconds: float) -> None:
    """One line for a decision that did something; an unchanged document without a note is no news.

    Not by way of logging, whose records would cost a request as much as its rewrite.
    """
    if made.outcome == "unchanged" and not made.notes:
        return
    if made.code:
        text = f"{plain(made.event)}: {made.outcome}: {plain(made.hook)}: {made.message}"
    else:
        text = f"{plain(made.event)}: {made.outcome} by {plain(made.hook)}{made.about}"
    text = "; ".join([text, *made.notes])
    if made.error is not None:
        log.error("hook %s failed", made.hook, exc_info=made.error)
    fields = {
        "MESSAGE_ID": MESSAGE_IDS.get(made.outcome, ""),
        "HOOK": _field(made.hook),
        "EVENT": _field(made.event),
        "VM_ID": _field(made.vm_id),
        "VM_NAME": _field(made.vm_name),
        "MAC": _field(made.mac),
        "NETWORK": _field(made.network),
        "OUTCOME": made.outcome,
        "CODE": made.code,
        "RULE": made.rule,
        "DURATION_US": round(seconds * 1e6),
    }
    _sink.write(4 if made.notes or made.code else 6, text, fields)


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


def kept_serves(error: str) -> None:
    """The configuration on disk is bad at a start; the one that was last in force serves."""
    text = f"the configuration on disk is bad, the one that was last in force serves in its place: {error}"
    log.error("%s", text, extra={"fields": {"MESSAGE_ID": MESSAGE_IDS["kept-serves"], "CODE": "bad-config"}})


def drifted(drift: Drift) -> None:
    """A running vNIC turned out to be elsewhere than declared."""
    log.warning("%s", drift.text, extra={"fields": _drift_fields("drifted", drift)})


def no_longer_drifted(drift: Drift) -> None:
    """It is where it was declared to be, or gone."""
    log.info("no longer so: %s", drift.text, extra={"fields": _drift_fields("no-longer-drifted", drift)})


def audit_failed(reason: str) -> None:
    """The running domains could not be looked at when it was time to."""
    fields = {"MESSAGE_ID": MESSAGE_IDS["audit-failed"]}
    log.warning("the audit of running vNICs failed: %s", reason, extra={"fields": fields})


def _drift_fields(message: str, drift: Drift) -> Fields:
    return {
        "MESSAGE_ID": MESSAGE_IDS[message],
        "VM_ID": _field(drift.vm_uuid),
        "VM_NAME": _field(drift.vm_name),
        "MAC": _field(drift.mac),
        "NETWORK": _field(drift.declared),
        "ACTUAL_NETWORK": _field(drift.actual),
    }


def _field(value: str) -> str:
    """A field's value: as it is where it can be printed in a line, escaped where not, and cut."""
    value = value[:MAX_FIELD]
    return value if value.isprintable() else value.encode("unicode_escape").decode("ascii")[:MAX_FIELD]
