"""libvirt's networks read once, for commands: `watch` is what follows them."""

from __future__ import annotations

import queue
import threading
import time

import libvirt

from vdsm_hookd import document, networks
from vdsm_hookd.networks import Network, NetworkView

TIMEOUT = 5.0
"""Seconds."""


def read(uri: str, timeout: float = TIMEOUT) -> NetworkView:
    """A view that libvirt has just confirmed, or an empty one whose `outage` says why it could not.

    A call to libvirt can hang for as long as libvirtd does, and nothing interrupts it: so all are made in a thread that
    is abandoned after `timeout` seconds.
    """
    answer: queue.SimpleQueue[NetworkView] = queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(_read(uri)), name="libvirt-read", daemon=True).start()
    try:
        return answer.get(timeout=timeout)
    except queue.Empty:
        return NetworkView(outage=f"libvirt at {uri} does not answer within {timeout:g} s")


def _read(uri: str) -> NetworkView:
    libvirt.registerErrorHandler(lambda context, error: None, None)  # it would print to stderr what is told anyway
    try:
        connection = libvirt.openReadOnly(uri)
        try:
            known = [_network(network) for network in connection.listAllNetworks(0)]
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        return NetworkView(outage=f"can't read the networks of libvirt at {uri}: {error.get_error_message() or error}")
    return NetworkView({each.name: each for each in known if each is not None}, outage="", synced_at=time.time())


def _network(network: libvirt.virNetwork) -> Network | None:
    """None for one that went away meanwhile, or whose description can't be used, as in `watch`."""
    try:
        return networks.parse(
            network.XMLDesc(0),
            active=bool(network.isActive()),
            persistent=bool(network.isPersistent()),
            autostart=bool(network.autostart()),
        )
    except document.BadDocument:
        return None
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
            raise
        return None
