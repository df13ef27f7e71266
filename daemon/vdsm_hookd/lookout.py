"""Reads one running domain for a request, in a thread and over a connection of its own: libvirt's calls can hang."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from typing import Callable, NamedTuple

import libvirt

from vdsm_hookd import document
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


class Domain(NamedTuple):
    """A running domain's XML, the version of its libvirt, and which of the filters in question that is sure to build;
    or why none of that is known."""

    xml: bytes = b""
    version: int = 0
    failure: str = ""
    filters: frozenset[str] = frozenset()


class _Look(NamedTuple):
    vm_id: str
    filters: frozenset[str]
    ends: float  # on the monotonic clock
    done: Callable[[Domain], None]


class Lookout:
    """A thread that looks when it is asked to."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        """May be changed at any time."""
        self._looks: queue.Queue[_Look] = queue.Queue(MAX_LOOKS)
        self._thread: threading.Thread | None = None

    def look(self, vm_id: str, filters: frozenset[str], timeout: float, done: Callable[[Domain], None]) -> None:
        """Read the domain with this uuid, and these network filters, as soon as may be, then call `done` in the
        lookout's thread.

        `done` may come late or never, while libvirt hangs: the caller sets the deadline, `timeout` seconds from now.
        """
        if self._thread is None:  # not before there is something to do
            self._thread = threading.Thread(target=self._run, name="libvirt-look", daemon=True)
            self._thread.start()
        try:
            self._looks.put_nowait(_Look(vm_id, filters, time.monotonic() + timeout, done))
        except queue.Full:
            done(Domain(failure="too many updates wait for libvirt already"))

    def _run(self) -> None:
        while True:
            look = self._looks.get()
            if time.monotonic() < look.ends:  # else nobody waits for it any more
                look.done(self._domain(look))

    def _domain(self, look: _Look) -> Domain:
        gives_up = min(look.ends, time.monotonic() + RETRY_FOR)
        while True:
            try:
                with read_only(self.uri) as connection:
                    domain = connection.lookupByUUIDString(look.vm_id)
                    good = frozenset(name for name in look.filters if _is_sure(connection, name))
                    return Domain(domain.XMLDesc(0).encode(), connection.getLibVersion(), filters=good)
            except libvirt.libvirtError as error:
                failure = " ".join(f"libvirt at {self.uri}: {error_text(error)}".split())
                is_final = error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_INVALID_ARG)
                if is_final or time.monotonic() + _PAUSE >= gives_up:
                    return Domain(failure=failure)
            except Exception as error:  # our own bug must not end the thread
                log.exception("a look at a running VM failed")
                return Domain(failure=f"the look failed: {type(error).__name__}")
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
