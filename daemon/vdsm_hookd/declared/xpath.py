"""XPath 1.0 expressions of an operator, checked when they are loaded as far as that goes without a document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lxml import etree

KNOWN_NAMESPACES = {
    "qemu": "http://libvirt.org/schemas/domain/qemu/1.0",
    "ovirt-vm": "http://ovirt.org/vm/1.0",
    "ovirt-tune": "http://ovirt.org/vm/tune/1.0",
}
"""Prefixes that every rule may use."""

_LITERAL = re.compile(r"\"[^\"]*\"|'[^']*'")
_PREFIX = re.compile(r"([A-Za-z_][\w.-]*):(?!:)")
_EMPTY = etree.fromstring("<domain/>")


class XPath:
    """An expression that selects nodes."""

    def __init__(self, expression: str, namespaces: Mapping[str, str]) -> None:
        """Raises ValueError: a syntax error, an unknown prefix, function or variable, or a result that is no nodes."""
        without_literals = _LITERAL.sub("", expression)
        for prefix in _PREFIX.findall(without_literals):
            if prefix not in namespaces:
                raise ValueError(f"the namespace prefix {prefix!r} is not known (known: {', '.join(namespaces)})")
        if "$" in without_literals:
            raise ValueError("variables are not supported in an XPath")
        try:
            self._xpath = etree.XPath(expression, namespaces=dict(namespaces))
            result: Any = self._xpath(_EMPTY)
        except etree.XPathError as error:
            raise ValueError(f"bad XPath {expression!r}: {error}") from None
        if not isinstance(result, list):
            raise ValueError(f"the XPath {expression!r} does not select nodes but gives a {type(result).__name__}")

    def nodes(self, root: etree._Element) -> list[Any]:
        """What it selects in a document: elements, and attributes or texts as lxml's smart strings.

        Raises etree.XPathError for what shows itself only with a document, an unknown function in a predicate for one.
        """
        found: list[Any] = self._xpath(root)  # type: ignore[assignment]
        return found
