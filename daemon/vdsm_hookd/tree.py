"""What several hooks share: elements of a domain, taken out and put in, and values that only a parser can read.

An element that a hook can't do without is asked for with `domain` or `first`, which refuse with `bad-xml`.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable

from lxml import etree

from vdsm_hookd.document import remove as remove
from vdsm_hookd.document import set_attributes as set_attributes
from vdsm_hookd.hook import Call, Refusal, bad_property
from vdsm_hookd.regex import Regex

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
"""The namespace of libvirt's pass-through to QEMU."""

MAX_LITERAL = 4096
"""Bytes of a property that is a Python literal: its parser's depth and its integers' cost are bounded by this."""

# What Python's parser remarks on a literal's style helps nobody here, and a user could fill the journal with it.
warnings.filterwarnings("ignore", module="<unknown>")

_MAX_DIGITS = 4300
_ORDER = re.compile(r"[0-9]{1,9}")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def bad_xml(what: str) -> Refusal:
    """The refusal of a document."""
    return Refusal("bad-xml", what, "see the VM's XML in vdsm.log")


def domain(call: Call) -> etree._Element:
    """The document, which has to be a domain."""
    if call.document.tag != "domain":
        raise bad_xml("the document is not a <domain>")
    return call.document


def first(call: Call, tag: str) -> etree._Element:
    """The first such element of the domain, at any depth."""
    for element in domain(call).iter(tag):
        return element
    raise bad_xml(f"the domain has no <{tag}>")


def vm_name(call: Call) -> str:
    """The VM's name, which has to be fit for a file name."""
    name = domain(call).findtext("name", "")
    if not name or "/" in name:
        raise bad_xml("the domain has no <name> that can be part of a file name")
    return name


def extend_qemu_commandline(root: etree._Element, arguments: Iterable[str]) -> None:
    """Add arguments behind those that QEMU gets already. lxml can't declare a prefix on a root that exists, so a new
    <qemu:commandline> declares its own."""
    present = root.findall(f"{{{QEMU}}}commandline")
    line = present[-1] if present else etree.SubElement(root, f"{{{QEMU}}}commandline", nsmap={"qemu": QEMU})
    for argument in arguments:
        etree.SubElement(line, f"{{{QEMU}}}arg", {"value": argument})


def set_cpu_feature(cpu: etree._Element, name: str, policy: str) -> bool:
    """Ask for the feature, or change what is asked already: libvirt refuses a second <feature> of one name."""
    for feature in cpu.iterchildren("feature"):
        if feature.get("name") == name:
            changed = feature.get("policy") != policy
            feature.set("policy", policy)
            return changed
    etree.SubElement(cpu, "feature", {"name": name, "policy": policy})
    return True


def free_first_boot_order(boots: Iterable[etree._Element]) -> None:
    """Move every <boot order="…"> one place down."""
    for boot in boots:
        order = boot.get("order", "")
        if not _ORDER.fullmatch(order):
            raise bad_xml('the domain has a <boot> whose order is not a number (<boot dev="..."/> in <os> is one)')
        boot.set("order", str(int(order) + 1))


def xml_can_carry(text: str) -> bool:
    """Whether XML 1.0 has all the characters: no control characters but tab and line ends, no surrogates."""
    return _NOT_XML.search(text) is None


def boolean(call: Call, name: str) -> bool:
    """A property as vdsm reads a boolean: `true` in any case, or an integer other than 0. All else is false: a missing
    property, bytes that are not UTF-8, and an integer with more digits than Python reads."""
    text = call.properties.get(name, b"").decode("utf-8", "replace")
    if text.lower() == "true":
        return True
    if len(text) > _MAX_DIGITS:
        return False
    try:
        return int(text) != 0
    except ValueError:
        return False


def literal(call: Call, name: str, text: str) -> object:
    """What a Python literal in a property stands for; nothing in it is run. `text` is the property, or part of it, and
    no longer than MAX_LITERAL."""
    try:
        value: object = ast.literal_eval(text.strip(" \t"))
    # What a hostile literal makes of Python's parser; TypeError: {[]: 1}.
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise bad_property(call, name, "is not a Python literal") from None
    return value


def name_regex(value: str) -> Regex | None:
    """An option: an expression that the beginning of a VM's name has to match, or nothing."""
    return Regex(f"^(?:{value})") if value else None


def wants_log(call: Call, name: str, vm_regexp: Regex | None) -> bool:
    """Whether a VM is to log: by its property, `on` or `off`, and without one of these by its name."""
    value = call.properties.get(name, b"")
    if value in (b"on", b"off"):
        return value == b"on"
    return vm_regexp is not None and vm_regexp.search(vm_name(call))
