"""The conditions of declared rewrites: one line of `when`, compiled to a test of a call.

    property NAME present | equals VALUE | glob PATTERN | matches REGEX
    vm name|uuid          equals VALUE | glob PATTERN | matches REGEX
    event                 equals VALUE | glob PATTERN | matches REGEX
    xpath EXPRESSION
    network NAME          active | inactive | missing

Each may have `not` before it. A property's text is compared without surrounding blanks; one that is no UTF-8 equals
nothing.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Callable, NamedTuple

from vdsm_hookd.declared.xpath import XPath
from vdsm_hookd.hook import Call
from vdsm_hookd.regex import Regex

Test = Callable[[Call], bool]


class Condition(NamedTuple):
    """A test, the property without which it can't hold, and the one value that this must have, if there are such."""

    test: Test
    needs: str = ""
    equals: str | None = None
    reads: str = ""


def compile_condition(text: str, namespaces: Mapping[str, str]) -> Condition:
    """Compile one line of `when`. Raises ValueError with the reason and what would be right."""
    words = text.split(None, 1)
    if words and words[0] == "not":
        inner = compile_condition(words[1] if len(words) > 1 else "", namespaces)
        return Condition(lambda call: not inner.test(call), reads=inner.reads)
    kind, rest = [*words, "", ""][:2]
    compilers = {"property": _property, "vm": _vm, "event": _event, "network": _network}
    if kind == "xpath":
        path = XPath(rest, namespaces)
        return Condition(lambda call: bool(path.nodes(call.document)))
    if kind not in compilers:
        raise ValueError(f"a condition begins with property, vm, event, xpath or network, not {kind!r}")
    return compilers[kind](rest)


def _property(rest: str) -> Condition:
    name, comparison, value = [*rest.split(None, 2), "", "", ""][:3]
    if not re.fullmatch(r"[A-Za-z0-9_]+", name) or name == "vmId":
        raise ValueError(f"{name!r} is not a property's name: letters, digits and _ only; for vmId there is `vm uuid`")
    if comparison == "present" and not value:
        return Condition(lambda call: name in call.properties, needs=name, reads=name)
    compare = _comparison(comparison, value)

    def test(call: Call) -> bool:
        if name not in call.properties:
            return False
        return compare(call.properties[name].decode("utf-8", "surrogateescape").strip(" \t"))

    return Condition(test, needs=name, equals=value if comparison == "equals" else None, reads=name)


def _vm(rest: str) -> Condition:
    what, comparison, value = [*rest.split(None, 2), "", "", ""][:3]
    compare = _comparison(comparison, value)
    if what == "uuid":
        return Condition(lambda call: compare(call.vm_id))
    if what == "name":
        return Condition(lambda call: call.document.tag == "domain" and compare(call.document.findtext("name", "")))
    raise ValueError(f"of a VM there is name and uuid, not {what!r}")


def _event(rest: str) -> Condition:
    comparison, value = [*rest.split(None, 1), "", ""][:2]
    compare = _comparison(comparison, value)
    return Condition(lambda call: compare(call.event))


def _network(rest: str) -> Condition:
    name, _, state = rest.rpartition(" ")
    name = name.strip()
    if not name or state not in ("active", "inactive", "missing"):
        raise ValueError("write: network NAME active, inactive or missing")

    def test(call: Call) -> bool:
        network = call.networks.by_name.get(name)
        found = "missing" if network is None else "active" if network.active else "inactive"
        # What the view lacks may be there all the same: libvirt is asked before that is believed.
        if found != "active":
            call.network = name
            call.doubt(name)
        return found == state

    return Condition(test)


def _comparison(word: str, value: str) -> Callable[[str], bool]:
    if not value and word in ("glob", "matches"):
        raise ValueError(f"nothing stands behind {word}")
    if word == "equals":
        return value.__eq__
    if word == "glob":
        pattern = re.compile(fnmatch.translate(value))
        return lambda text: pattern.match(text) is not None
    if word == "matches":
        return Regex(value).search
    raise ValueError(f"a comparison is equals, glob or matches (or, of a property, present), not {word!r}")
