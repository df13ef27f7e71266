"""Types of the fixtures that make things."""

from __future__ import annotations

from typing import Callable, Protocol, Union

from tests.real.guest import Guest
from tests.real.hookd import Hookd
from tests.real.host import Bridge
from tests.real.libvirtd import Network
from tests.real.ovs import OvsBridge

MakeNetwork = Callable[[str, Union[Bridge, OvsBridge]], Network]
MakeGuest = Callable[[str], Guest]
StartNetwork = Callable[[str, str], Network]


class MakeHookd(Protocol):
    def __call__(self, uri: str, configuration: str = "", start_deadline: float = 20.0) -> Hookd: ...


class MakeBridge(Protocol):
    def __call__(self, name: str | None = None) -> Bridge: ...
