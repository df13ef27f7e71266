"""What a hook may ask about the host itself: a small probe, which tests replace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_INTERFACE = re.compile(r"(?!\.{1,2}$)[!-.0-~]{1,15}")
_USB_DEVICE = re.compile(r"[0-9]{1,5}-[0-9]{1,5}(\.[0-9]{1,5}){0,16}")


@dataclass(frozen=True)
class Host:
    """The host as sysfs and /run show it. A method reads a file or two, at the time of the call."""

    sysfs: Path = Path("/sys")
    run: Path = Path("/run")

    def bridge_kind(self, name: str) -> str:
        """`bridge` for a Linux bridge of that name, `openvswitch` for one of Open vSwitch, else nothing.

        The kernel tells sysfs nothing of Open vSwitch, but its switch keeps a management socket for each bridge,
        whether the kernel or the switch itself moves the frames.
        """
        if not _INTERFACE.fullmatch(name):
            return ""
        interface = self.sysfs / "class/net" / name
        if (interface / "bridge").is_dir():
            return "bridge"
        if interface.exists() and (self.run / "openvswitch" / f"{name}.mgmt").exists():
            return "openvswitch"
        return ""

    def has_interface(self, name: str) -> bool:
        """Whether there is a network interface of that name, a bridge for instance."""
        return bool(_INTERFACE.fullmatch(name)) and (self.sysfs / "class/net" / name).exists()

    def nested_kvm_module(self) -> str:
        """`kvm_intel` or `kvm_amd` where that module is loaded and lets guests be hosts, else nothing."""
        for module in ("kvm_intel", "kvm_amd"):
            if _read(self.sysfs / "module" / module / "parameters/nested") in ("Y", "1"):
                return module
        return ""

    def usb_address(self, device: str) -> tuple[int, int] | None:
        """Bus and device number of a USB device by its place, such as `1-1.4`; None where nothing is plugged in."""
        if not _USB_DEVICE.fullmatch(device):
            return None
        folder = self.sysfs / "bus/usb/devices" / device
        bus, number = _read(folder / "busnum"), _read(folder / "devnum")
        return (int(bus), int(number)) if bus.isdecimal() and number.isdecimal() else None


def _read(file: Path) -> str:
    """A file of sysfs, which may go away at any time."""
    try:
        return file.read_text("ascii", "replace")[:64].strip()
    except OSError:
        return ""
