"""Text and XML with `{property}` places, compiled once; what a user says goes in as text, never as XML."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping

from lxml import etree

from vdsm_hookd import document
from vdsm_hookd.hook import UNFIT, Call, bad_property

_PLACE = re.compile(r"\{\{|\}\}|\{([A-Za-z0-9_]+)\}|[{}]")


class Template:
    """Text in which `{name}` stands for a property; `{{` and `}}` stand for braces."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for a brace that opens or closes nothing."""
        self._parts: list[tuple[str, str]] = []  # literal text, and the property behind it or ""
        literal, end = "", 0
        for match in _PLACE.finditer(text):
            literal, end = literal + text[end : match.start()], match.end()
            if match[1] == "vmId":
                raise ValueError("vmId is vdsm's own variable, not a property")
            if match[1]:
                self._parts.append((literal, match[1]))
                literal = ""
            elif len(match[0]) == 2:
                literal += match[0][0]
            else:
                raise ValueError(f"a single {match[0]!r}: write {{property}}, or {match[0] * 2} for the brace itself")
        self._parts.append((literal + text[end:], ""))

    @property
    def properties(self) -> list[str]:
        """The properties that it has places for."""
        return [name for _literal, name in self._parts if name]

    def fill(self, call: Call) -> str:
        """The text of one call. Raises Refusal `bad-property` for a property that is missing or that XML can't
        carry."""
        return "".join(literal + (_value(call, name) if name else "") for literal, name in self._parts)


def _value(call: Call, name: str) -> str:
    if name not in call.properties:
        raise bad_property(call, name, "is not set, but a rewrite that applies needs it")
    try:
        text = call.properties[name].decode().strip(" \t")
    except UnicodeDecodeError as error:
        raise bad_property(call, name, f"is not UTF-8 at byte {error.start}") from None
    if UNFIT.search(text):
        raise bad_property(call, name, "holds a control character")
    return text


class Fragment:
    """XML elements whose attribute values and texts are templates."""

    def __init__(self, xml: str, namespaces: Mapping[str, str]) -> None:
        """Raises ValueError when it is not well-formed, or holds no element."""
        declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in namespaces.items())
        try:
            self._root = document.parse(f"<fragment{declared}>{xml}</fragment>".encode())
        except document.BadDocument as error:
            raise ValueError(f"bad XML: {error}") from None
        if len(self._root) == 0:
            raise ValueError("bad XML: it holds no element")
        self._places = [(path, Template(text)) for path, text in _texts(self._root) if "{" in text or "}" in text]

    @property
    def properties(self) -> list[str]:
        """The properties that it has places for."""
        return [name for _path, template in self._places for name in template.properties]

    def fill(self, call: Call) -> list[etree._Element]:
        """New elements for one call. Raises as Template.fill."""
        root = copy.deepcopy(self._root)
        elements = list(root.iter())
        for (index, attribute), template in self._places:
            text = template.fill(call)
            if attribute == ".text":
                elements[index].text = text
            elif attribute == ".tail":
                elements[index].tail = text
            else:
                elements[index].set(attribute, text)
        return list(root)


def _texts(root: etree._Element) -> Iterator[tuple[tuple[int, str], str]]:
    """Every attribute value and text below `root`, each behind its place: an element's number, and what of it."""
    for index, element in enumerate(root.iter()):
        if isinstance(element.tag, str):  # comments and processing instructions are left as they are
            for name, value in element.items():
                yield (index, str(name)), str(value)
            yield (index, ".text"), element.text or ""
        yield (index, ".tail"), element.tail or ""
