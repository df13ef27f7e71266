"""A libvirt network of each kind that this machine can have, and where a vNIC on it has to be."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.real.host import Bridge, run
from tests.real.libvirtd import Libvirtd, Network
from tests.real.ovs import OvsBridge, bridge_of

_BRIDGE = '<bridge name="{device}"/>'
_ROUTED = '<bridge name="{device}"/><dns enable="no"/><ip address="{ip}" netmask="255.255.255.0"/>'
_MACVTAP = '<forward mode="{mode}"><interface dev="{device}"/></forward>'

LINUX_BRIDGES = ("isolated", "nat", "route", "open", "bridge")
MACVTAP = ("macvtap-bridge", "macvtap-private", "macvtap-vepa", "macvtap-passthrough")
KINDS = (*LINUX_BRIDGES, "openvswitch", *MACVTAP)
NOT_HERE = {"hostdev": "not run: no SR-IOV here"}

_XML = {
    "isolated": _BRIDGE,
    "nat": f'<forward mode="nat"/>{_ROUTED}',
    "route": f'<forward mode="route"/>{_ROUTED}',
    "open": f'<forward mode="open"/>{_ROUTED}',
    "bridge": f'<forward mode="bridge"/>{_BRIDGE}',
    "openvswitch": (
        '<forward mode="bridge"/><bridge name="{ovs}"/><virtualport type="openvswitch"/>'
        '<portgroup name="lab-42"><vlan><tag id="42"/></vlan></portgroup>'
        '<portgroup name="lab-43"><vlan><tag id="43"/></vlan></portgroup>'
    ),
    **dict.fromkeys(MACVTAP, _MACVTAP),
}


class Kinds:
    """The networks, each by its kind's name, for as long as the stack lasts."""

    def __init__(self, libvirtd: Libvirtd, ovs_bridge: OvsBridge, stack: ExitStack) -> None:
        self._ovs_bridge = ovs_bridge
        self.networks: dict[str, Network] = {}
        # Where libvirtd notes the MAC addresses of networks with an IP address.
        Path("/var/lib/libvirt/dnsmasq").mkdir(parents=True, exist_ok=True)
        stack.enter_context(Bridge("kind-bridge"))
        for number, name in enumerate(KINDS):
            if name in MACVTAP:
                stack.callback(run, "ip", "link", "delete", "dev", self.device(name))
                run("ip", "link", "add", "name", self.device(name), "type", "veth")
                run("ip", "link", "set", "dev", self.device(name), "mtu", "9000", "up")
            text = _XML[name].format(
                device=self.device(name),
                ip=f"198.51.{number}.1",
                ovs=ovs_bridge.name,
                mode=name.partition("-")[2],
            )
            xml = f"<network><name>{name}</name>{text}</network>"
            self.networks[name] = stack.enter_context(Network(libvirtd, name, xml))

    @staticmethod
    def device(name: str) -> str:
        """The host's bridge or device of a network; names of interfaces are short."""
        return f"phys-{name.rpartition('-')[2][:9]}" if name in MACVTAP else f"kind-{name}"

    @staticmethod
    def value(name: str) -> str:
        """What a profile's extnet says to join it."""
        return "openvswitch/lab-42" if name == "openvswitch" else name

    def home(self, name: str) -> str:
        """Where the kernel and Open vSwitch have a vNIC that is on it, as `place` words it."""
        if name == "openvswitch":
            return f"{self._ovs_bridge.name} tag 42"
        return f"over {self.device(name)}" if name in MACVTAP else self.device(name)

    def place(self, tap: str) -> str:
        """Where a tap really is: its bridge, with the VLAN on Open vSwitch, or the device below a macvtap."""
        lower = [path.name[len("lower_") :] for path in Path(f"/sys/class/net/{tap}").glob("lower_*")]
        if lower:
            return f"over {lower[0]}"
        bridge = bridge_of(tap)
        if bridge == self._ovs_bridge.name:
            return f"{bridge} tag {self._ovs_bridge.tag_of(tap)}"
        return bridge or "nowhere"
