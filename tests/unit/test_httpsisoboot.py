"""httpsisoboot, through the decision core: what comes out for which property and document."""

from __future__ import annotations

import pytest

from tests.unit.stock import (
    assert_becomes,
    assert_refused,
    domain,
    run,
)
from vdsm_hookd.hooks import (
    httpsisoboot,
)


def cdrom(server: str, port: int, path: str, slot: str = "hda") -> str:
    return (
        '<disk type="network" device="cdrom"><driver name="qemu" type="raw"/>'
        f'<source protocol="https" name="{path}"><host name="{server}" port="{port}"/></source>'
        f'<readonly/><target bus="ide" tray="closed" dev="{slot}"/><boot order="1"/></disk>'
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://server.example.com:8080/path/to/disk.iso", ("server.example.com", 8080, "/path/to/disk.iso")),
        ("HTTPS://Server/a?b=c&d#e", ("Server", 443, "/a?b=c&amp;d")),
        ("https://s:/a", ("s", 443, "/a")),
        ("https://[2001:db8::1]:444/a", ("2001:db8::1", 444, "/a")),
        ("https://s/%20ü", ("s", 443, "/%20ü")),
    ],
)
def test_httpsisoboot_adds_a_cdrom(url: str, expected: tuple[str, int, str]) -> None:
    made = run(httpsisoboot.HOOK, domain("<devices><a/></devices>"), {"httpsisoboot": url.encode()})
    assert_becomes(made, domain(f"<devices><a/>{cdrom(*expected)}</devices>"))


def test_httpsisoboot_takes_a_free_slot_and_boots_first() -> None:
    xml = (
        '<os><boot dev="hd"/></os><devices><!-- c --><disk><target dev="hda"/><boot order="2"/></disk><boot order="7"/>'
        '<disk><target dev="hdb"/></disk><interface><boot order="1"/></interface>{}</devices>'
    )
    made = run(httpsisoboot.HOOK, domain(xml.format("")), {"httpsisoboot": b"https://s/a"})
    moved = xml.replace('order="2"', 'order="3"').replace('order="1"', 'order="2"').replace('order="7"', 'order="8"')
    assert_becomes(made, domain(moved.format(cdrom("s", 443, "/a", "hdc"))))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"http://s/a",
        b"s/a",
        b"https:///a",
        b"https://s",
        b"https://:80/a",
        b"https://s:0/a",
        b"https://s:65536/a",
        b"https://s:x/a",
        b"https://u:p@s/a",
        b"https://[::1/a",
        b"https://[]/a",
        b"https://s/a\nb",
        b"https://s/\xff",
        "https://s/\ufffe".encode(),
        b"https://s/" + b"a" * 4096,
    ],
)
def test_a_bad_url(value: bytes) -> None:
    assert_refused(run(httpsisoboot.HOOK, domain("<devices/>"), {"httpsisoboot": value}), "bad-property")


@pytest.mark.parametrize(
    "xml",
    [
        "",
        '<devices><disk><boot order="x"/></disk></devices>',
        f"<devices><disk><boot order='{'1' * 5000}'/></disk></devices>",
        "<devices>" + "".join(f'<disk><target dev="hd{letter}"/></disk>' for letter in "abcd") + "</devices>",
    ],
)
def test_a_domain_that_httpsisoboot_can_not_serve(xml: str) -> None:
    assert_refused(run(httpsisoboot.HOOK, domain(xml), {"httpsisoboot": b"https://s/a"}), "bad-xml")
