"""Looks at a running vNIC for a request, in a thread and over a connection of its own: libvirt's calls can hang."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from typing import Callable, NamedTuple

import libvirt

from vdsm_hookd import document, running
from vdsm_hookd.running import Look
from vdsm_hookd.watch import error_text, read_only

log = logging.getLogger(__name__)

MAX_LOOKS = 256
"""Looks that may be waited for at once, while libvirt hangs."""
RETRY_FOR = 2.0
"""Seconds for which a connection that fails is tried again: about as long as libvirtd takes to restart."""
MAX_DEPTH = 4
"""Filters within filters that are looked into."""
_PAUSE = 0.1
_VARIABLE = re.compile(r"\$(\w+)")


class _Ask(NamedTuple):
    vm_id: str
    vnic_xml: bytes
    ends: float  # on the monotonic clock
    done: Callable[[Look], None]


class Lookout:
    """A thread that looks when it is asked to."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        """May be changed at any time."""
        self._asks: queue.Queue[_Ask] = queue.Queue(MAX_LOOKS)
        self._thread: threading.Thread | None = None

    def look(self, vm_id: str, vnic_xml: bytes, timeout: float, done: Callable[[Look], None]) -> None:
        """Find the vNIC that an update is about in the domain with this uuid, as soon as may be, then call `done` in
        the lookout's thread.

        `done` may come late or never, while libvirt hangs: the caller sets the deadline, `timeout` seconds from now.
        """
        if self._thread is None:  # not before there is something to do
            self._thread = threading.Thread(target=self._run, name="libvirt-look", daemon=True)
            self._thread.start()
        try:
            self._asks.put_nowait(_Ask(vm_id, vnic_xml, time.monotonic() + timeout, done))
        except queue.Full:
            done(Look(failure="too many updates wait for libvirt already"))

    def _run(self) -> None:
        while True:
            ask = self._asks.get()
            if time.monotonic() < ask.ends:  # else nobody waits for it any more
                ask.done(self._look(ask))

    def _look(self, ask: _Ask) -> Look:
        gives_up = min(ask.ends, time.monotonic() + RETRY_FOR)
        while True:
            try:
                with read_only(self.uri) as connection:
                    domain = connection.lookupByUUIDString(ask.vm_id)
                    sure = frozenset(name for name in running.filters_of(ask.vnic_xml) if _is_sure(connection, name))
                    return running.find(domain.XMLDesc(0).encode(), ask.vnic_xml, connection.getLibVersion(), sure)
            except libvirt.libvirtError as error:
                failure = " ".join(f"libvirt at {self.uri}: {error_text(error)}".split())
                is_final = error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_INVALID_ARG)
                if is_final or time.monotonic() + _PAUSE >= gives_up:
                    return Look(failure=failure)
            except Exception as error:  # our own bug must not end the thread
                log.exception("a look at a running VM failed")
                return Look(failure=f"the look failed: {type(error).__name__}")
            time.sleep(_PAUSE)


def _is_sure(connection: libvirt.virConnect, name: str, depth: int = 0) -> bool:
    """Whether libvirt builds this filter without parameters: it is there, and so are those that it refers to, and they
    use no variables but those that libvirt fills in itself."""
    if depth > MAX_DEPTH:
        return False
    try:
        xml = connection.nwfilterLookupByName(name).XMLDesc(0)
    except libvirt.libvirtError:  # missing, or, with modular daemons, not to be asked about here
        return False
    if not set(_VARIABLE.findall(xml)) <= {"MAC", "IP"}:
        return False
    inner = [element.get("filter", "") for element in document.parse(xml.encode()).iter("filterref")]
    return all(_is_sure(connection, each, depth + 1) for each in inner)
