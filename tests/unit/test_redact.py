"""Secrets that must never get into the history."""

from __future__ import annotations

import pytest

from tests import documents
from vdsm_hookd import redact
from vdsm_hookd.document import MAX_SIZE

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


@pytest.mark.parametrize(
    "xml",
    [
        b"<domain><devices><graphics type='vnc' passwd='hush'/></devices></domain>",
        b'<domain><devices><graphics type="spice" passwd = "hush"\n/></devices></domain>',
        b"<graphics x=\"passwd='\" passwd='hush'/>",
        b"<d><!-- don't --><graphics passwd='hush'/></d>",
        b"<disk><source><cookies><cookie name='session'>hush</cookie></cookies></source></disk>",
        b"<d xmlns:o='urn:o'><o:rootPassword>hush</o:rootPassword></d>",
        b"<d>" + f"<q:arg xmlns:q='{QEMU}' value='secret,id=s0,data=hush'/>".encode() + b"</d>",
        b'<d><o>["-object", "secret,id=s0,data=hush"]</o></d>',
        b"<d><entry>io.systemd.credential:passwd.plaintext-password.root=hush</entry></d>",
        b"<d><!-- password: hush --></d>",
        b"<d>x<a/>token=hush</d>",
        b"<source name='https://user:hush@host/path'/>",
        b"<source name='https://user@host/' other='rbd://x:hush@host'/>",
        b'<graphics passwd="*****" other="1"/><!-- -->'.replace(b"<!-- -->", b"<a passwd='hush'/>").join(
            [b"<d>", b"</d>"]
        ),
        b"<graphics passwd='*****hush'/>",
    ],
)
def test_a_document_loses_its_secrets_and_nothing_else(xml: bytes) -> None:
    blanked = redact.blank_document(xml)
    assert blanked is not None
    assert b"hush" not in blanked
    assert redact.BLANK.encode() in blanked
    assert redact.blank_document(blanked) == blanked


def test_what_has_no_secret_is_the_very_same_object() -> None:
    for name in ("interface.xml", "domain.xml"):  # the domain has passwd="*****" and namespaces with ://
        xml = documents.read(name)
        assert redact.blank_document(xml) is xml
    environment = {"extnet": b"glitter", "vmId": b"7a9c"}
    assert redact.blank_environment(environment) is environment


def test_references_to_secrets_and_their_life_time_stay() -> None:
    xml = b'<d><secret type="iscsi" usage="libvirtiscsi"/><graphics passwdValidTo="2026-01-01T00:00:00"/></d>'
    assert redact.blank_document(xml) == xml


def test_what_can_not_be_read_is_not_kept() -> None:
    assert redact.blank_document(b"<graphics passwd='hush'") is None


@pytest.mark.parametrize(
    ("name", "value", "blanked"),
    [
        ("qemu_cmdline", b'["-spice", "password=hush,port=1"]', b'["-spice", "password=*****,port=1"]'),
        ("qemu_cmdline", b'["-object", "secret,id=a,data=hush"]', b'["-object", "secret,id=a,data=*****"]'),
        ("httpsisoboot", b"https://me:hush@host/a.iso", b"https://me:*****@host/a.iso"),
        ("root_password", b"hush", b"*****"),
        ("smbios", b"PassWord=\xffhush", b"PassWord=*****"),
    ],
)
def test_a_property_loses_its_secret(name: str, value: bytes, blanked: bytes) -> None:
    assert redact.blank_environment({name: value}) == {name: blanked}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("text", ["password", "passwd=", "secret,", "://:", "token ", "cookie:" + "a" * 50])
def test_a_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    """In quadratic time a megabyte would take hours."""
    xml = b"<d>" + (text * (MAX_SIZE // 4 // len(text))).encode() + b" password=hush</d>"
    assert b"hush" not in (redact.blank_document(xml) or b"")
