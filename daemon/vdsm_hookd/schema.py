"""What a rewrite breaks in the eyes of libvirt's own RELAX NG schema, where that is installed."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from vdsm_hookd import document

SCHEMAS = Path("/usr/share/libvirt/schemas")

_DEVICE_GRAMMAR = """<grammar xmlns="http://relaxng.org/ns/structure/1.0">
  <include href="{common}"/><start><ref name="{name}"/></start>
</grammar>"""


def errors(xml: bytes, schemas: Path = SCHEMAS) -> list[str]:
    """What the schema says of a domain or a device, without line numbers.

    Raises FileNotFoundError when there is no schema, LookupError for a document that it does not know, BadDocument for
    one that can't be parsed.
    """
    root = document.parse(xml)
    domain, common = schemas / "domain.rng", schemas / "domaincommon.rng"
    for file in (domain, common):
        if not file.exists():
            raise FileNotFoundError(f"{file}: libvirt's schema is not installed")
    try:
        if root.tag == "domain":
            grammar = etree.RelaxNG(etree.parse(str(domain)))
        else:
            text = _DEVICE_GRAMMAR.format(common=common.as_uri(), name=root.tag)
            grammar = etree.RelaxNG(etree.fromstring(text))
    except etree.RelaxNGParseError:
        raise LookupError(f"libvirt's schema has no <{root.tag}> of its own") from None
    grammar.validate(root)
    return [f"<{root.tag}>: {entry.message}" for entry in grammar.error_log]


def broken(before: bytes, after: bytes, schemas: Path = SCHEMAS) -> list[str]:
    """What the schema finds in the rewritten document that it did not find in the old one. Raises as `errors`."""
    known = set(errors(before, schemas))
    return [error for error in dict.fromkeys(errors(after, schemas)) if error not in known]
