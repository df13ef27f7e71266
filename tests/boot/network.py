"""The network that the boot tests put vNICs on."""

from __future__ import annotations

from tests.boot.machine import Machine

_NETWORK = '<network><name>glitter</name><forward mode="bridge"/><bridge name="br-glit"/></network>'
_BRIDGE = """[Unit]
Before=libvirtd.service
[Service]
Type=oneshot
ExecStart=ip link add br-glit type bridge
[Install]
WantedBy=multi-user.target
"""


def add_network(machine: Machine) -> None:
    """glitter, on a bridge that each boot makes anew."""
    machine.write("/etc/systemd/system/br-glit.service", _BRIDGE)
    machine.run("systemctl", "enable", "--now", "br-glit.service")
    machine.write("/root/glitter.xml", _NETWORK)
    for verb in (["net-define", "/root/glitter.xml"], ["net-start", "glitter"], ["net-autostart", "glitter"]):
        machine.run("virsh", "--quiet", *verb)
