"""All that `hookctl metrics` shows: what was counted, and what is so at the moment."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator

import libvirt

from vdsm_hookd import __version__, journal
from vdsm_hookd.metrics import PREFIX, counter, gauge
from vdsm_hookd.openmetrics import Family, Sample
from vdsm_hookd.service import Service
from vdsm_hookd.watch import version_text


def families(service: Service) -> Iterator[Family]:
    """The metrics of the daemon, as they are now."""
    yield from service.metrics.families()
    yield from _networks(service)
    yield from _audits(service)
    yield gauge("start_time_seconds", "When the daemon started.", ({}, service.started_at))
    yield gauge("config_loaded_time_seconds", "When the configuration in force was read.", ({}, service.loaded_at))
    current = not service.reload_failure
    yield gauge(
        "config_current", "Whether the configuration on disk could be used at the last start or reload.", ({}, current)
    )
    yield counter("log_entries_lost", "Log entries that the journal did not take.", journal.lost())
    yield gauge("history_records", "Decisions that are remembered.", ({}, len(service.history)))
    yield gauge("history_size_bytes", "Memory that they take.", ({}, service.history.used))
    build = {"version": __version__, "python": platform.python_version(), "libvirt": version_text(libvirt.getVersion())}
    yield Family(f"{PREFIX}_build", "info", "What runs here.", [Sample("_info", build, 1)])


def _networks(service: Service) -> Iterator[Family]:
    watch = service.watch
    view = watch.view
    active = sum(network.active for network in view.by_name.values())
    states = (("active", active), ("inactive", len(view.by_name) - active))
    samples = [({"state": state}, number) for state, number in states]
    yield gauge("networks", "libvirt networks that are known, by state.", *samples)
    yield gauge("libvirt_up", "Whether libvirt can be asked.", ({}, not view.outage))
    reconnects = max(0, watch.connects - 1)
    yield counter("libvirt_reconnects", "Connections to libvirt that came up after the first one.", reconnects)
    if watch.synced_on_clock is not None:
        age = time.monotonic() - watch.synced_on_clock
        yield gauge("libvirt_resync_age_seconds", "Time since all networks were last read.", ({}, age))


def _audits(service: Service) -> Iterator[Family]:
    audits = service.audits
    walks = [Sample("_total", {"result": result}, audits.walker.walks[result]) for result in ("failed", "ok")]
    yield Family(f"{PREFIX}_audits", "counter", "Looks at all running domains, by how they ended.", walks)
    yield counter("drifts", "Drifts of running vNICs that were new when they were found.", audits.found)
    if audits.walker.last is not None:
        age = time.monotonic() - audits.walker.last_on_clock
        yield gauge("audit_age_seconds", "Time since the last audit that succeeded.", ({}, age))
        yield gauge("drifted_vnics", "Running vNICs that are not where they were declared.", ({}, len(audits.drifts)))
