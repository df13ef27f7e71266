"""The API that a hook is written against: `Hook` declares it, `Call` is one call of it, `Refusal` says no.

A hook is a pure function of its call. What it may change is the document; what it wants an operator to know it notes;
what it can't do it refuses. It never reads files, the environment, the clock or libvirt: networks it finds in
`Call.networks`, and the little else that it may know of its host it asks `Call.host`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable

from lxml import etree

from vdsm_hookd.host import Host
from vdsm_hookd.networks import NetworkView
from vdsm_hookd.options import NoOptions

if TYPE_CHECKING:
    from vdsm_hookd.running import Running

MAX_QUOTED = 64
"""Characters of an untrusted value that a message shows."""
MAX_OPERAND = 260
"""Characters of an operand that has a stand-in: two of them fit into a remedy (wire.MAX_REMEDY)."""
# Unicode's control characters (Cc), and what XML can't carry at all: surrogates and two noncharacters.
UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_HARMLESS = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_WORD = re.compile(r"[\w@%+=:./-]+", re.ASCII)  # means the same to a shell without quotes


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


def quote(value: str | bytes) -> str:
    """An untrusted value for a one-line message: quoted, printable ASCII as it is, all else escaped, cut when long."""
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
    else:
        text = value
    shown = text[:MAX_QUOTED].encode("unicode_escape").decode("ascii").replace("'", "\\'")
    return f"'{shown}'" + ("..." if len(text) > MAX_QUOTED else "")


def plain(value: str) -> str:
    """An identifier for a one-line message: as it is where that is harmless, quoted where it is not."""
    return value if _HARMLESS.fullmatch(value) else quote(value)


def operand(value: str, stand_in: str = "") -> str:
    """A name as an operand of a command that an operator may paste into a shell: it arrives there as it is, and does
    nothing else.

    Printable ASCII in any POSIX shell; what is not is written as $'...', which bash, zsh and POSIX.1-2024 know.
    `stand_in`, if given, takes the place of one that is longer than MAX_OPERAND.
    """
    if _WORD.fullmatch(value):
        word = value
    elif value.isascii() and value.isprintable():
        word = "'{}'".format(value.replace("'", "'\\''"))
    else:
        raw = value.encode("utf-8", "surrogateescape")  # a file's name need not be UTF-8
        # Three octal digits are three, whatever follows.
        word = "".join(chr(byte) if 0x20 <= byte < 0x7F and byte not in b"'\\" else f"\\{byte:03o}" for byte in raw)
        word = f"$'{word}'"
    if value.startswith("-"):  # or it would be read as an option
        word = f"-- {word}"
    return stand_in if stand_in and len(word) > MAX_OPERAND else word


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
