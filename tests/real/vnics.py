"""vNICs as the Engine makes them, and where the host really has them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from lxml import etree

from tests.real.guest import link_state
from tests.real.kinds import Kinds
from tests.real.vdsm import Vm, Vnic

URI = "network:///system"
CONFIGURATION = "[libvirt]\nask_timeout = 5s\n"
FILTER = "vdsm-no-mac-spoofing"
_macs = (f"56:6f:1a:2b:{number >> 8:02x}:{number & 255:02x}" for number in itertools.count(256))


class StartVm(Protocol):
    """The fixture's type."""

    def __call__(self, *vnics: Vnic, stock: bool = False, **custom: str) -> Vm: ...


def new_mac() -> str:
    """One that no other vNIC has."""
    return next(_macs)


def vnic(kind: str, number: int = 1, **content: object) -> Vnic:
    """One for this kind of network."""
    return Vnic(new_mac(), {"extnet": Kinds.value(kind)}, **numbered(content, number))


def numbered(content: Mapping[str, object], number: int) -> dict[str, Any]:
    return {key: value.format(number=number) if isinstance(value, str) else value for key, value in content.items()}


def place(kinds: Kinds, vm: Vm, of: Vnic) -> str:
    target = etree.fromstring(vm.live(of)).find("target")
    assert target is not None
    return kinds.place(str(target.get("dev")))


def link_of(vm: Vm, of: Vnic) -> str:
    return link_state(etree.fromstring(vm.live(of)))


def table(title: str, columns: Iterable[str], rows: Mapping[str, Iterable[str]]) -> str:
    lines = [("", *columns), *((name, *cells) for name, cells in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join([f"\n{title}", *("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)])
