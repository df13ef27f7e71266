#!/usr/bin/python3
"""extnet as a script would be written today: minidom, and one look-up whether the network is there and active."""

import os
import sys
from xml.dom import minidom

import libvirt


def main() -> None:
    name = os.environ.get("extnet")
    if name is None:
        return
    network = libvirt.openReadOnly(os.environ["LIBVIRT_DEFAULT_URI"]).networkLookupByName(name)
    if not network.isActive():
        sys.stderr.write(f"extnet: network {name} is not active\n")
        sys.exit(2)
    document = minidom.parse(os.environ["_hook_domxml"])
    (interface,) = document.getElementsByTagName("interface")
    (source,) = interface.getElementsByTagName("source")
    source.removeAttribute("bridge")
    source.setAttribute("network", name)
    interface.setAttribute("type", "network")
    with open(os.environ["_hook_domxml"], "w") as file:
        file.write(document.toxml(encoding="utf-8").decode())


main()
