"""spiceoptions, through the decision core: what comes out for which property and document."""

from __future__ import annotations

import pytest

from tests.unit.stock import (
    LITERALS,
    assert_becomes,
    assert_refused,
    domain,
    run,
)
from vdsm_hookd.hooks import (
    spiceoptions,
)


def test_spiceoptions_extends_every_spice_console() -> None:
    value = (
        b"{'Image': {'compression': 'auto_glz'}, 'jpeg': {'compression': 'never'}, 'zlib': {'compression': 'always'},"
        b"'playback': {'compression': 'off'}, 'streaming':{'mode':'filter'}, 'mouse': {'mode': 'client'}}"
    )
    inside = (
        '<channel name="main"/>{}<image compression="auto_glz"/><jpeg compression="never"/><zlib compression="always"/>'
        '<playback compression="off"/><streaming mode="filter"/><mouse mode="client"/>'
    ).format("")
    xml = '<graphics type="spice">{0}</graphics><graphics type="vnc"/><graphics type="spice">{0}</graphics>'
    made = run(spiceoptions.HOOK, domain(xml.format('<channel name="main"/>')), {"spiceoptions": value})
    assert_becomes(made, domain(xml.format(inside)))


@pytest.mark.parametrize(("value", "kind"), [(b"{}", "spice"), (b"{'image': {'compression': 'lz'}}", "vnc")])
def test_spiceoptions_with_nothing_to_do(value: bytes, kind: str) -> None:
    made = run(spiceoptions.HOOK, domain(f'<graphics type="{kind}"/>'), {"spiceoptions": value})
    assert made.outcome == "unchanged"


@pytest.mark.parametrize(
    "value",
    [
        *LITERALS,
        b"{'picture': {'compression': 'lz'}}",
        b"{'image': {'mode': 'lz'}}",
        b"{'image': {'compression': 'zip'}}",
        b"{'image': {'compression': ['lz']}}",
        b"{'image': {('compression',): 'lz'}}",
        b"{'image': 'lz'}",
    ],
)
@pytest.mark.parametrize("kind", ["spice", "vnc"])
def test_a_bad_spiceoptions(value: bytes, kind: str) -> None:
    made = run(spiceoptions.HOOK, domain(f'<graphics type="{kind}"/>'), {"spiceoptions": value})
    assert_refused(made, "bad-property")
