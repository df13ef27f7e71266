"""XML in and out: a parser that a hostile document can't use, and a serialiser that changes nothing of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lxml import etree

MAX_SIZE = 4 * 1024 * 1024
"""Bytes of a document; vdsm's largest are some 100 KiB."""

# libxml2 compares each attribute of an element with each, and each namespace in scope with that of each element: 40 000
# attributes of one take it 5 s, 20 000 namespaces a minute (tried). libvirt's elements have some ten of either.
_MAX_TAGS = 128 * 1024
_MAX_ATTRIBUTES = 256
_MAX_NAMESPACES = 256
_STRETCH = 5 * _MAX_ATTRIBUTES  # bytes: an attribute takes five at least, ` a=""`
_ATTRIBUTE = re.compile(rb"""=\s*["']""")
_MAX_KEPT = 256 * 1024

# For all documents and both threads: lxml locks it, and makes a new context for each document. Without the table of
# IDs, which nothing here looks up: to clear it takes a seventh of the time that an interface does.
_PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, strip_cdata=False, collect_ids=False
)
_DECLARATION = re.compile(
    rb"""\s+version\s*=\s*["']1\.\d["'](?:\s+encoding\s*=\s*["'](?:UTF-8|US-ASCII|ASCII)["'])?"""
    rb"""(?:\s+standalone\s*=\s*["'](?:yes|no)["'])?\s*\?>""",
    re.IGNORECASE,
)


class BadDocument(Exception):
    """A document that can't be used; the text says why in one line."""


def parse(data: bytes) -> etree._Element:
    """Return the root element of a UTF-8 document. Raises BadDocument."""
    if len(data) > MAX_SIZE:
        raise BadDocument(f"the document has {len(data)} bytes, more than {MAX_SIZE}")
    if len(data) > _STRETCH:
        _check_counts(data)
    # libxml2 guesses UTF-16, UCS-4 and EBCDIC from the first bytes; vdsm's files are UTF-8, and NUL is never legal XML.
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise BadDocument(f"not UTF-8 at byte {error.start}") from None
    if b"\0" in data:
        raise BadDocument("it holds a NUL byte")
    # Nor is anything parsed that these could hide, or make long.
    if b"<!DOC" in data and b"<!DOCTYPE" in data:  # CPython looks for five bytes three times as fast as for more
        raise BadDocument("it has a document type declaration, which is not allowed")
    if b"<?xml" in data[:8]:
        _check_declaration(data)
    try:
        root = etree.fromstring(data, _PARSER)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise BadDocument(f"not well-formed in line {line}, column {column}") from None
    except ValueError as error:
        raise BadDocument(str(error)) from None
    return root


def _check_counts(data: bytes) -> None:
    for tag in _long_tags(data):
        if tag.count(b"=") > _MAX_ATTRIBUTES and len(_ATTRIBUTE.findall(tag)) > _MAX_ATTRIBUTES:
            raise BadDocument(f"an element has more than {_MAX_ATTRIBUTES} attributes")
    if data.count(b"xmlns") > _MAX_NAMESPACES:
        raise BadDocument(f"it has more than {_MAX_NAMESPACES} namespace declarations")
    if len(data) > _MAX_TAGS and data.count(b"<") > _MAX_TAGS:  # to count takes as long as all else here
        raise BadDocument(f"it has more than {_MAX_TAGS} tags")


def _long_tags(data: bytes) -> Iterator[bytes]:
    """The stretches without `<` that are long enough for too many attributes: each holds one tag at most, and places
    half as far apart can't miss any."""
    place = _STRETCH // 2
    while place < len(data):
        begin, end = data.rfind(b"<", 0, place) + 1, data.find(b"<", place)
        end = len(data) if end < 0 else end
        if end - begin >= _STRETCH:
            yield data[begin:end]
        place = end + _STRETCH // 2


def _check_declaration(data: bytes) -> None:
    begin = data.find(b"<?xml") + len(b"<?xml")
    if data[begin : begin + 1].isspace() and not _DECLARATION.match(data, begin):  # else <?xml-stylesheet
        raise BadDocument("its XML declaration is not well-formed, or its encoding not UTF-8")


def serialise(root: etree._Element) -> bytes:
    """The whole document, with comments and processing instructions around the root, as UTF-8 without XML
    declaration."""
    xml: bytes = etree.tostring(root.getroottree(), encoding="UTF-8", xml_declaration=False)
    return xml


def attribute(parent: etree._Element, child: str, name: str) -> str:
    """The attribute of the first such child; empty without one."""
    element = parent.find(child)
    return "" if element is None else element.get(name, "")


def remove(element: etree._Element) -> None:
    """Take the element out and leave the text behind it, which lxml keeps in its tail."""
    parent = element.getparent()
    assert parent is not None  # never the root
    if element.tail:
        previous = element.getprevious()
        if previous is None:
            parent.text = (parent.text or "") + element.tail
        else:
            previous.tail = (previous.tail or "") + element.tail
    parent.remove(element)


def set_attributes(element: etree._Element, wanted: Mapping[str, str | None]) -> bool:
    """Give the attributes these values, None for none; returns whether that changed any."""
    changed = False
    for name, value in wanted.items():
        if element.get(name) != value:
            changed = True
            if value is None:
                del element.attrib[name]
            else:
                element.set(name, value)
    return changed


class Memory:
    """Remembers the tree of the document that it serialised last: vdsm hands that one to the next hook of its row, byte
    for byte, which then need not be parsed again. One of more than 256 KiB is not kept, for a tree is ten times its
    text."""

    def __init__(self) -> None:
        self._kept: tuple[bytes, etree._Element] | None = None
        self._spent: object = None

    def parse(self, data: bytes) -> etree._Element:
        """As the module's. The tree is the caller's, who may change it."""
        kept, self._kept = self._kept, None
        root = kept[1] if kept is not None and kept[0] == data else parse(data)
        self._spent = kept, root
        return root

    def release(self) -> None:
        """Take apart the trees that are of no more use, which takes half as long as to build them: after the answer."""
        self._spent = None

    def serialise(self, root: etree._Element) -> bytes:
        """As the module's. The tree is no longer the caller's."""
        data = serialise(root)
        if len(data) <= _MAX_KEPT:
            self._kept = data, root
        return data
