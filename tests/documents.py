"""The documents that tests work on: real-shaped inputs, and the networks beside them."""

from __future__ import annotations

from pathlib import Path

from vdsm_hookd import networks
from vdsm_hookd.networks import Network, NetworkView

FOLDER = Path(__file__).parent / "samples"
VM_ID = "7a9c4a0e-6d1f-4a57-9a55-3a9f2d0f5b11"


def read(name: str) -> bytes:
    """One sample file, such as `interface.xml`."""
    return (FOLDER / name).read_bytes()


def network(name: str, active: bool = True) -> Network:
    """One sample network, such as `glitter`, as the watch would see it."""
    file = {"ovs-net": "ovs"}.get(name, name)
    return networks.parse(read(f"network-{file}.xml").decode(), active=active, persistent=True, autostart=True)


def view(*known: Network, outage: str = "") -> NetworkView:
    """A network view that was confirmed at the epoch."""
    return NetworkView({each.name: each for each in known}, outage, synced_at=0.0)
