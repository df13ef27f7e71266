"""XML in and out: a parser that a hostile document can't use, and a serialiser that changes nothing of its own."""

from __future__ import annotations

from lxml import etree

MAX_SIZE = 4 * 1024 * 1024
"""Bytes of a document; vdsm's largest are some 100 KiB."""

# libxml2 before 2.11 checks attributes for duplicates in quadratic time: 100 000 on one element take 17 s (tried).
# Between two `<` lies one tag at most, so the `=` there bound its attributes; counting them is linear and needs no
# tokenizer.
_MAX_ATTRIBUTES = 4096
_SMALL = 64 * 1024

# For all documents and both threads: lxml locks it, and makes a new context for each document. Without the table of
# IDs, which nothing here looks up: to clear it takes a seventh of the time that an interface does.
_PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, strip_cdata=False, collect_ids=False
)
_UTF8 = (None, "UTF-8", "US-ASCII", "ASCII")


class BadDocument(Exception):
    """A document that can't be used; the text says why in one line."""


def parse(data: bytes) -> etree._Element:
    """Return the root element of a UTF-8 document. Raises BadDocument."""
    if len(data) > MAX_SIZE:
        raise BadDocument(f"the document has {len(data)} bytes, more than {MAX_SIZE}")
    if len(data) > _SMALL and any(part.count(b"=") > _MAX_ATTRIBUTES for part in data.split(b"<")):
        raise BadDocument(f"an element has more than {_MAX_ATTRIBUTES} attributes")
    # libxml2 guesses UTF-16, UCS-4 and EBCDIC from the first bytes; vdsm's files are UTF-8, and NUL is never legal XML.
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise BadDocument(f"not UTF-8 at byte {error.start}") from None
    if b"\0" in data:
        raise BadDocument("it holds a NUL byte")
    try:
        root = etree.fromstring(data, _PARSER)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise BadDocument(f"not well-formed in line {line}, column {column}") from None
    except ValueError as error:
        raise BadDocument(str(error)) from None
    if b"<!DOCTYPE" in data or b"<?xml" in data:  # without these words there is no DTD, and no encoding but UTF-8
        _check_prolog(root)
    return root


def _check_prolog(root: etree._Element) -> None:
    info = root.getroottree().docinfo
    if info.internalDTD is not None:
        raise BadDocument("it has a document type declaration, which is not allowed")
    if info.encoding is not None and info.encoding.upper() not in _UTF8:
        raise BadDocument("its encoding is not UTF-8")


def serialise(root: etree._Element) -> bytes:
    """The whole document, with comments and processing instructions around the root, as UTF-8 without XML
    declaration."""
    xml: bytes = etree.tostring(root.getroottree(), encoding="UTF-8", xml_declaration=False)
    return xml
