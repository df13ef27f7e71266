"""The API that a hook is written against: `Hook` declares it, `Call` is one call of it, `Refusal` says no.

A hook is a pure function of its call. What it may change is the document; what it wants an operator to know it notes;
what it can't do it refuses. It never reads files, the environment, the clock or libvirt: networks it finds in
`Call.networks`, and the little else that it may know of its host it asks `Call.host`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from lxml import etree

from vdsm_hookd.host import Host
from vdsm_hookd.networks import NetworkView
from vdsm_hookd.options import NoOptions
from vdsm_hookd.running import NOT_LIVE, RESTART, Running
from vdsm_hookd.text import MAX_QUOTED as MAX_QUOTED
from vdsm_hookd.text import operand as operand
from vdsm_hookd.text import plain as plain
from vdsm_hookd.text import quote as quote

# Unicode's control characters (Cc), and what XML can't carry at all: surrogates and two noncharacters.
UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Refusal(Exception):
    """This call can't be served: the hook says why, and what to do.

    `code` is one of CONTRACT's words, `what` a clause that says what is wrong, `remedy` a clause in the imperative;
    both are one line and hold untrusted values only through `quote`, and in a command through `operand`. `network` is
    the libvirt network it is about: where the state of a network is the reason (`network-missing`, `network-inactive`,
    `portgroup-missing`), libvirt itself is asked about it before the refusal stands.

    At before_update_device a refusal leaves the running vNIC where it is, and the Engine's other changes are made.
    """

    def __init__(self, code: str, what: str, remedy: str, network: str = "") -> None:
        super().__init__(f"{code}: {what}: {remedy}")
        self.code = code
        self.what = what
        self.remedy = remedy
        self.network = network


@dataclass
class Call:
    """One call of a hook. `document` is the root element and may be changed in place."""

    event: str
    properties: Mapping[str, bytes]
    document: etree._Element
    networks: NetworkView
    options: Any
    host: Host = field(default_factory=Host)
    vm_id: str = ""
    """The VM's uuid, as vdsm gives it in the variable vmId."""
    network: str = ""
    """The libvirt network that the call turned out to be about, for the records."""
    running: Running | None = None
    """The running vNIC, where it could be looked at; a hook gets it by `look`."""
    doubts: dict[str, None] = field(default_factory=dict)
    """Networks on whose state the answer stands; see `doubt`."""
    wants_look: bool = False
    notes: list[str] = field(default_factory=list)

    def look(self) -> Running | None:
        """The running vNIC that before_update_device is about. None where it could not be looked at, or was not yet:
        then the hook is called again with it."""
        self.wants_look = True
        return self.running

    def plug(self, interface: etree._Element, running: Running, bridge: str) -> None:
        """Plug the running vNIC into this bridge of the host, or leave it there. Raises Refusal where libvirt can't."""
        reason = running.why_not_to_bridge(bridge, self.host)
        if reason:
            raise Refusal(NOT_LIVE, reason, RESTART)
        self.notes += running.plug(interface, bridge, self.networks, self.host)

    def doubt(self, network: str) -> None:
        """The answer stands on the state of this network: have libvirt asked before it is given."""
        self.doubts[network] = None

    def note(self, text: str) -> None:
        """Tell the operator something about an answer that stands."""
        self.notes.append(text)


Rewrite = Callable[[Call], bool]
"""Serves one event: changes `call.document` in place and returns whether it changed anything, or raises Refusal."""


def _needs_a_property(options: Any) -> bool:
    return False


@dataclass(frozen=True)
class Hook:
    """What a hook is: its name (the file name in vdsm's hook directory without `50_`), the properties that wake it, the
    events that it serves, and the dataclass of its section in the configuration."""

    name: str
    properties: tuple[str, ...]
    events: Mapping[str, Rewrite]
    options: type = NoOptions
    always: Callable[[Any], bool] = _needs_a_property
    """Whether, with these options, every request of its events wakes it, also one without any of its properties."""
    vm_properties: Mapping[str, str] = field(default_factory=dict)
    """Those of the properties that are set for a VM, each with the regular expression that the Engine, where it is
    defined, holds whole values against: Java's, and without `;`."""
    vnic_properties: Mapping[str, str] = field(default_factory=dict)
    """The same for those that are set in a vNIC profile."""

    def __post_init__(self) -> None:
        """Raises ValueError for names that a file or an environment variable can't have, and for declarations that the
        Engine can't take."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ValueError(f"{self.name!r} is not a hook's name: letters, digits, - and _ only")
        for name in self.properties:
            if not re.fullmatch(r"[A-Za-z0-9_]+", name) or name == "vmId":
                raise ValueError(f"{name!r} is not a property's name: letters, digits and _ only, and not vmId")
        for name, regex in (*self.vm_properties.items(), *self.vnic_properties.items()):
            if name not in self.properties:
                raise ValueError(f"{name!r} is declared for the Engine, but is none of the properties")
            check_engine_regex(regex)


def check_engine_regex(regex: str) -> None:
    """Raises ValueError for a regular expression that can't stand in the Engine's definition of a property: `;` ends it
    there."""
    if not regex or ";" in regex or UNFIT.search(regex):
        raise ValueError(f"{regex!r} can't be defined on the Engine: no `;`, no control character, and not empty")


def text_property(call: Call, name: str, max_bytes: int) -> str:
    """The property as text without surrounding blanks. Raises Refusal `bad-property` where it is empty, too long, no
    UTF-8, or holds a control character or one that XML can't carry."""
    raw = call.properties[name]

    try:
        text = raw.decode("utf-8").strip(" \t")
    except UnicodeDecodeError as error:
        raise bad_property(call, name, f"is not UTF-8 at byte {error.start}") from None
    if not text:
        raise bad_property(call, name, "is empty")
    if len(text.encode()) > max_bytes:
        raise bad_property(call, name, f"is longer than {max_bytes} bytes")
    if UNFIT.search(text):
        raise bad_property(call, name, "holds a control character")
    return text


def bad_property(call: Call, name: str, reason: str) -> Refusal:
    """The refusal of a property's value: `reason` goes on after the quoted value."""
    value = f"={quote(call.properties[name])}" if name in call.properties else ""
    what = f"{name}{value} {reason}"
    return Refusal("bad-property", what, f"correct {name} in the vNIC profile or the VM")
