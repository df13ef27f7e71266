"""libvirtd and its networks.

What QEMU needs to start on the private host (Debian 12, libvirt 9.0.0), each
found by trying without it:

* the account `libvirt-qemu`: libvirtd ends at start where it is unknown, even
  when qemu.conf names another (tests/real/run provides it);
* /sys mounted anew in the network namespace, or bridges and taps are invisible
  (tests/real/run again). That mount has no cgroups: `cgroup_controllers`;
* `user` and `group` root: as libvirt-qemu it starts too, but takes 14 s, not 0.4;
* virtlogd, or in its place `stdio_handler = "file"`;
* for filters the package iptables, which brings ebtables, and the filters of
  libvirt-daemon-config-nwfilter, which vdsm's own filter is made of.

dnsmasq, polkit, D-Bus and dmidecode are absent: libvirtd says so in its log and
goes on. Only NAT networks don't start without dnsmasq.

Without polkit the read-only socket is open to every user, as it is on a vdsm
host, where polkit allows it. The read-write one is root's, as vdsm's is SASL's.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import libvirt

from tests.real.host import Daemon

URI = "qemu:///system"

_CONFIGURATION = Path("/etc/libvirt")
_LOG = Path("/var/log/libvirt/libvirtd.log")
_STOCK_FILTERS = Path("/usr/share/libvirt/nwfilter")

_FILES: dict[str, str] = {
    "libvirtd.conf": """
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0700"
""",
    "qemu.conf": """
user = "root"
group = "root"
cgroup_controllers = []
stdio_handler = "file"
""",
    # As vdsm defines it; the Engine puts it on every vNIC by default.
    "nwfilter/vdsm-no-mac-spoofing.xml": """
<filter name="vdsm-no-mac-spoofing" chain="root">
  <filterref filter="no-mac-spoofing"/>
  <filterref filter="no-arp-mac-spoofing"/>
</filter>
""",
}


class Libvirtd:
    """The monolithic daemon, as vdsm requires it, serving qemu:///system."""

    def __init__(self) -> None:
        self._daemon = Daemon(["libvirtd"], _LOG, ready=_serves)
        self._connection: libvirt.virConnect | None = None

    @property
    def conn(self) -> libvirt.virConnect:
        """The tests' own read-write connection; a new one after a restart.

        Ask for it each time: objects of an old connection are dead for good.
        """
        if self._connection is None:
            self._connection = libvirt.open(URI)
        return self._connection

    @property
    def pid(self) -> int:
        return self._daemon.pid

    @property
    def running(self) -> bool:
        return self._daemon.running

    def configure(self) -> None:
        """Write its configuration where tests/real/run left an empty directory."""
        shutil.copytree(_STOCK_FILTERS, _CONFIGURATION / "nwfilter", dirs_exist_ok=True)
        for name, text in _FILES.items():
            (_CONFIGURATION / name).write_text(text.lstrip())

    def start(self) -> None:
        self._daemon.start()

    def stop(self) -> None:
        """End the daemon. Guests and started networks go on without it."""
        self._disconnect()
        self._daemon.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        self._disconnect()
        self._daemon.kill()

    def knows(self, network: str) -> bool:
        """Whether it has a network of that name."""
        return network in {each.name() for each in self.conn.listAllNetworks()}

    def sigstop(self) -> None:
        self._daemon.sigstop()

    def sigcont(self) -> None:
        self._daemon.sigcont()

    def revive(self) -> None:
        """Make it serve again, whatever a test has done to it."""
        if self.running:
            self.sigcont()
        else:
            self._disconnect()
            self.start()

    def _disconnect(self) -> None:
        # Before the daemon goes: a connection that lost its peer only notices
        # in the middle of the next call.
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Network:
    """A libvirt network: defined for as long as the block lasts, and started."""

    def __init__(self, libvirtd: Libvirtd, name: str, xml: str) -> None:
        self._libvirtd = libvirtd
        self._xml = xml
        self.name = name

    def __enter__(self) -> Network:
        self.define()
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        # The test may have destroyed or undefined it by now.
        if self._libvirtd.knows(self.name):
            if self.active:
                self.destroy()
            if self.name in self._libvirtd.conn.listDefinedNetworks():
                self.undefine()

    @property
    def active(self) -> bool:
        return bool(self._network().isActive())

    @property
    def xml(self) -> str:
        return str(self._network().XMLDesc())

    def define(self) -> None:
        self._libvirtd.conn.networkDefineXML(self._xml)

    def start(self) -> None:
        self._network().create()

    def destroy(self) -> None:
        """Stop it. Guests on it keep their taps; new ones can't start."""
        self._network().destroy()

    def undefine(self) -> None:
        self._network().undefine()

    def restart(self) -> None:
        self.destroy()
        self.start()

    def _network(self) -> libvirt.virNetwork:
        return self._libvirtd.conn.networkLookupByName(self.name)


def _serves() -> bool:
    """Ask in a process of its own: a libvirt call has no deadline."""
    try:
        done = subprocess.run(
            ["virsh", "--readonly", "--connect", URI, "version"],
            capture_output=True,
            timeout=5,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
