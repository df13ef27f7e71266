"""A VM whose vNIC's link goes down and up, again and again, until standard input ends. Runs inside the machine.

    python3 -m tests.boot.toggles

Prints a line when the VM runs, and at the end one line of JSON: toggles, failures, worst seconds.
"""

from __future__ import annotations

import json
import select
import sys
import time
from pathlib import Path

import libvirt

from tests.real.guest import Guest
from tests.real.host import linux_bridge_of
from tests.real.vdsm import Vm, Vnic

HOOKS = Path("/usr/libexec/vdsm/hooks")
MAC = "56:6f:1a:2b:01:01"
HOME = "br-glit"
LEAST = 4
"""Toggles, however long they take."""


class Connected:
    """The machine's libvirt, as guests want it."""

    def __init__(self) -> None:
        self.conn = libvirt.open("qemu:///system")


def main() -> None:
    """Toggle."""
    connected = Connected()
    vnic = Vnic(MAC, {"extnet": "glitter"})
    failures, worst, toggles = [], 0.0, 0

    def started(xml: str) -> Guest:
        guest = Guest(connected, xml)
        guest.__enter__()
        return guest

    with Vm(HOOKS, started, vnic, user="vdsm") as vm:
        print("running", flush=True)
        while toggles < LEAST or not select.select([sys.stdin], [], [], 0.05)[0]:
            link = "up" if toggles % 2 else "down"
            began = time.monotonic()
            done = vm.update(vnic, link=link)
            worst = max(worst, time.monotonic() - began)
            toggles += 1
            found = (done.failure, vm.guest.link_state(MAC), linux_bridge_of(vm.guest.tap(MAC)))
            if found != ("", link, HOME):
                failures.append(str(found))
    print(json.dumps({"toggles": toggles, "failures": failures[:10], "worst": worst}))


if __name__ == "__main__":
    main()
