"""Secrets out of what is kept: a record in the history is never more than an operator may read.

It happens before a record is made, not when one is shown, so that no password stays in the daemon's memory for as long
as the history lasts. Nearly all documents have no word of one but `passwd="*****"`, as the Engine sends it, and cost a
few searches; the others are parsed once more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lxml import etree

from vdsm_hookd import document

BLANK = "*****"

_WORDS = ("passw", "passphrase", "secret", "token", "credential", "cookie", "://")
# Their beginnings: CPython looks for five bytes three times as fast as for more.
_SEARCHED = tuple(dict.fromkeys(word[:5].encode() for word in _WORDS))
_NAMED = re.compile(r"(?i)passw(?!dValidTo)|passphrase|secret|token|credential|cookie")
_ATTRIBUTES = frozenset({"passwd", "password", "cookie", "token"})
"""Of any element. Not `secret`: in libvirt's XML that is the uuid of one."""
# Every repetition has a bound, for the text may be a user's, and long.
_IN_TEXT = (
    # password=…, "password": "…", io.systemd.credential:passwd.hashed-password.root=…
    re.compile(
        r"(?i)((?:passw(?:or)?d|passphrase|secret|token|credential|cookie)[\w.:-]{0,32}[\"']?\s{0,8}[=:]\s{0,8}[\"']?)"
        r"[^\s,;\"'&<>\]})]+"
    ),
    # https://user:…@host
    re.compile(r"(://[^/\s:@\"']{0,256}:)[^@/\s\"']{1,256}(?=@)"),
)

_WORD = re.compile("|".join(_WORDS), re.IGNORECASE)
_HARMLESS = re.compile(rb"passwd=([\"'])\*{5}\1|passwdvalidto=|://(?![^/\s:@\"']{0,256}:[^@/\s\"']{1,256}@)")
"""What may follow where one of the words stands, in lower case, and is no secret."""

_SECRET_DATA = re.compile(r"(\bdata=)[^,\"'\s]+")
"""Of QEMU's -object secret,id=…,data=…"""


def blank_document(xml: bytes) -> bytes | None:
    """The document without its secrets; the very same object where it has none, None where it can't be told.

    Blanked are attributes and elements that are named after a secret (`passwd` of <graphics>, a <cookie>), and what
    looks like one in any other text, as in QEMU's arguments.
    """
    if not _might_hold_one(xml):
        return xml
    try:
        root = document.parse(xml)
    except document.BadDocument:
        return None
    for element in root.iter():
        if element.tail:
            element.tail = blank_text(element.tail)
        if element.text:
            element.text = BLANK if _is_secret(element) else blank_text(element.text)
        if isinstance(element.tag, str):  # a comment or a processing instruction has no attributes
            for name, value in element.attrib.items():
                element.set(name, BLANK if _local(name) in _ATTRIBUTES else blank_text(str(value)))
    return document.serialise(root)


def _is_secret(element: etree._Element) -> bool:
    """Whether its text is one: it is named after a secret, and has more than blanks between children."""
    named = isinstance(element.tag, str) and _NAMED.search(_local(element.tag)) is not None
    return named and bool((element.text or "").strip())


def _local(name: str | bytes) -> str:
    """A name without its namespace."""
    return str(name).rpartition("}")[2]


def blank_environment(environment: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """The properties without their secrets; the very same mapping where there are none."""
    blanked = environment
    for name, value in environment.items():
        without = _blank_property(name, value)
        if without is not value:
            blanked = {**blanked, name: without}
    return blanked


def blank_text(text: str) -> str:
    """A text with what looks like a secret in it blanked."""
    if not _WORD.search(text):
        return text
    if "secret," in text:
        text = _SECRET_DATA.sub(rf"\g<1>{BLANK}", text)
    for pattern in _IN_TEXT:
        text = pattern.sub(rf"\g<1>{BLANK}", text)
    return text


def _blank_property(name: str, value: bytes) -> bytes:
    if _NAMED.search(name):
        return BLANK.encode()
    if not _might_hold_one(value):
        return value
    return blank_text(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _might_hold_one(data: bytes) -> bool:
    """Whether it may have a word that points to a secret: if not, there is nothing to blank in it."""
    lowered = data.lower()
    for beginning in _SEARCHED:
        at = lowered.find(beginning)
        while at >= 0:
            if not _HARMLESS.match(lowered, at):
                return True
            at = lowered.find(beginning, at + 1)
    return False
