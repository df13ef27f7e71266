"""Declared rewrites: a `[rewrite NAME]` section of the configuration, compiled to a rule.

Everything that can be wrong with one is found when it is loaded, and named with its file and line; vdsm-hookd.conf(5)
describes the language.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple

from lxml import etree

from vdsm_hookd.declared.condition import Condition, Test, compile_condition
from vdsm_hookd.declared.template import Fragment, Template
from vdsm_hookd.declared.xpath import KNOWN_NAMESPACES, XPath
from vdsm_hookd.events import XML_EVENTS
from vdsm_hookd.hook import Call, Hook, Refusal, check_engine_regex
from vdsm_hookd.ini import ConfigError, Entry, Problem
from vdsm_hookd.options import choice, words
from vdsm_hookd.policy import Rule
from vdsm_hookd.tree import remove

_WITH_NAME = ("set", "namespace", "vm_property", "vnic_property")

Action = Callable[[Call, Any], bool]
"""Does one thing to one selected node, and returns whether that changed anything."""


def compile_rule(name: str, entries: Sequence[Entry]) -> Rule:
    """Compile one section. Raises ConfigError with all that is wrong in it."""
    return _Compiler(name, entries).rule()


class _Compiler:
    def __init__(self, name: str, entries: Sequence[Entry]) -> None:
        self.name = name
        self.entries = entries
        self.source = f"rewrite {name} ({entries[0].origin})"
        self.problems: list[Problem] = []
        self.namespaces = dict(KNOWN_NAMESPACES)
        self.hook = ""
        self.events: tuple[str, ...] = ()
        self.conditions: list[Condition] = []
        self.xpath: XPath | None = None
        self.must_match = False
        self.actions: list[Action] = []
        self.is_gone = False  # an action after which the node is no longer there
        self.properties: list[str] = []
        self.engine_properties: dict[str, dict[str, str]] = {"vm_property": {}, "vnic_property": {}}

    def rule(self) -> Rule:
        first: dict[str, Entry] = {}
        for entry in sorted(self.entries[1:], key=lambda entry: not entry.key.startswith("namespace ")):
            before = first.setdefault(entry.key, entry)
            if before is not entry and entry.key in ("hook", "events", "xpath", "on_no_match"):
                line = before.origin.line
                self.problems.append(
                    Problem(entry.origin, f"[{entry.section}] {entry.key} is already set in line {line}")
                )
                continue
            try:
                self._read(entry)
            except ValueError as error:
                self.problems.append(Problem(entry.origin, f"[{entry.section}] {entry.key} = {entry.value}: {error}"))
        missing = [
            word
            for word, given in (("hook", self.hook), ("events", self.events), ("xpath", self.xpath))
            if not given and word not in {entry.key for entry in self.entries}
        ]
        if not self.actions and not self.problems:
            missing.append("an action (set NAME, text, append, prepend, replace, remove)")
        for word in missing:
            self.problems.append(Problem(self.entries[0].origin, f"[rewrite {self.name}] lacks {word}"))
        if self.problems:
            raise ConfigError(self.problems)
        conditions = [condition.reads for condition in self.conditions if condition.reads]
        read = tuple(dict.fromkeys([*conditions, *self.properties]))
        self._check_engine_properties(read)
        return self._finished(read)

    def _check_engine_properties(self, read: Sequence[str]) -> None:
        """Raises ConfigError for one that is declared in vain: most likely its name is misspelt."""
        problems = [
            Problem(entry.origin, f"[{entry.section}] {entry.key}: the rewrite reads no such property")
            for entry in self.entries
            for word, _, name in [entry.key.partition(" ")]
            if word in self.engine_properties and name not in read
        ]
        if problems:
            raise ConfigError(problems)

    def _finished(self, read: tuple[str, ...]) -> Rule:
        assert self.xpath is not None
        tests = tuple(condition.test for condition in self.conditions)
        only_removes = len(self.actions) == 1 and "remove" in {entry.key for entry in self.entries}
        run = _Run(self.source, tests, self.xpath, self.must_match, tuple(self.actions), only_removes)
        hook = Hook(
            self.hook,
            read,
            dict.fromkeys(self.events, run.apply),
            vm_properties=self.engine_properties["vm_property"],
            vnic_properties=self.engine_properties["vnic_property"],
        )
        equal = [
            (condition.needs, condition.equals.encode())
            for condition in self.conditions
            if condition.equals is not None
        ]
        always = not any(condition.needs for condition in self.conditions)
        return Rule(hook, None, self.source, always, None if always or not equal else equal[0])

    def _read(self, entry: Entry) -> None:
        word, _, argument = entry.key.partition(" ")
        readers: Mapping[str, Callable[[str, str], None]] = {
            "hook": self._read_hook,
            "events": self._read_events,
            "when": self._read_when,
            "xpath": self._read_xpath,
            "on_no_match": self._read_on_no_match,
            "namespace": self._read_namespace,
            "vm_property": functools.partial(self._read_engine_property, "vm_property"),
            "vnic_property": functools.partial(self._read_engine_property, "vnic_property"),
            "set": self._read_set,
            "text": self._read_text,
            "append": self._read_fragment,
            "prepend": self._read_fragment,
            "replace": self._read_fragment,
            "remove": self._read_remove,
        }
        if word not in readers or bool(argument) is not (word in _WITH_NAME):
            raise ValueError(
                f"is no option of a rewrite (there are: {', '.join(readers)}; {', '.join(_WITH_NAME)} with a NAME)"
            )
        readers[word](argument or word, entry.value)

    def _read_hook(self, _word: str, value: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            raise ValueError("a hook's name has letters, digits, - and _ only: it is a file's name")
        self.hook = value

    def _read_events(self, _word: str, value: str) -> None:
        self.events = words(value)
        unknown = [event for event in self.events if event not in XML_EVENTS]
        if unknown or not self.events:
            raise ValueError(
                f"vdsm has no event {', '.join(unknown)} with an XML document" if unknown else "names no event"
            )

    def _read_when(self, _word: str, value: str) -> None:
        for line in value.split("\n"):
            self.conditions.append(compile_condition(line, self.namespaces))

    def _read_xpath(self, _word: str, value: str) -> None:
        self.xpath = XPath(value, self.namespaces)

    def _read_on_no_match(self, _word: str, value: str) -> None:
        self.must_match = choice("ignore", "refuse")(value) == "refuse"

    def _read_namespace(self, prefix: str, uri: str) -> None:
        if not re.fullmatch(r"[A-Za-z_][\w.-]*", prefix) or not uri or re.search(r"[\"<&\s]", uri):
            raise ValueError("write: namespace PREFIX = URI")
        self.namespaces[prefix] = uri

    def _read_engine_property(self, word: str, name: str, regex: str) -> None:
        check_engine_regex(regex)
        if name in self.engine_properties[word]:
            raise ValueError("is set twice")
        self.engine_properties[word][name] = regex

    def _add(self, action: Action, properties: Sequence[str] = (), last: bool = False) -> None:
        if self.is_gone:
            raise ValueError("the node is gone after replace or remove, so nothing may follow")
        self.is_gone = last
        self.actions.append(action)
        self.properties += properties

    def _read_set(self, name: str, value: str) -> None:
        prefix, colon, local = name.rpartition(":")
        if colon and prefix not in self.namespaces:
            raise ValueError(f"the namespace prefix {prefix!r} is not known")
        if not re.fullmatch(r"[A-Za-z_][\w.-]*", local):
            raise ValueError(f"{name!r} is not an attribute's name")
        attribute = f"{{{self.namespaces[prefix]}}}{local}" if colon else local
        template = Template(value)

        def set_attribute(call: Call, node: etree._Element) -> bool:
            text = template.fill(call)
            changed = node.get(attribute) != text
            node.set(attribute, text)
            return changed

        self._add(set_attribute, template.properties)

    def _read_text(self, _word: str, value: str) -> None:
        template = Template(value)

        def set_text(call: Call, node: etree._Element) -> bool:
            text = template.fill(call)
            changed = (node.text or "") != text
            node.text = text
            return changed

        self._add(set_text, template.properties)

    def _read_fragment(self, word: str, value: str) -> None:
        fragment = Fragment(value, self.namespaces)
        put: Mapping[str, Callable[[etree._Element, list[etree._Element]], None]] = {
            "append": _append,
            "prepend": _prepend,
            "replace": _replace,
        }
        place = put[word]

        def act(call: Call, node: etree._Element) -> bool:
            place(node, fragment.fill(call))
            return True

        self._add(act, fragment.properties, last=word == "replace")

    def _read_remove(self, _word: str, value: str) -> None:
        if value not in ("", "yes"):
            raise ValueError("write: remove = yes")

        def act(call: Call, node: Any) -> bool:
            if isinstance(node, etree._Element):
                _refuse_root(node)
                remove(node)
            else:
                del node.getparent().attrib[node.attrname]
            return True

        self._add(act, last=True)


class _Run(NamedTuple):
    """The compiled rewrite: what the rule's hook does at each of its events."""

    source: str
    tests: Sequence[Test]
    xpath: XPath
    must_match: bool
    actions: Sequence[Action]
    only_removes: bool

    def apply(self, call: Call) -> bool:
        try:
            if not all(test(call) for test in self.tests):
                return False
            nodes = self.xpath.nodes(call.document)
            if not nodes and self.must_match:
                raise Refusal(
                    "no-match",
                    f"{self.source} finds nothing to rewrite",
                    "see the XML in vdsm.log, or correct the rule",
                )
            changed = [self._act(call, node) for node in nodes]
            return any(changed)
        except etree.XPathError as error:
            raise self._bad_rule(str(error)) from None

    def _act(self, call: Call, node: Any) -> bool:
        is_element = isinstance(node, etree._Element) and isinstance(node.tag, str)
        if not is_element and not (self.only_removes and getattr(node, "is_attribute", False)):
            raise self._bad_rule("its xpath selects what is no element (and only `remove` takes attributes)")
        changed = [action(call, node) for action in self.actions]
        return any(changed)

    def _bad_rule(self, what: str) -> Refusal:
        return Refusal("bad-rule", f"{self.source} can't be applied: {what}", "correct it, then hookctl reload")


def _refuse_root(node: etree._Element) -> etree._Element:
    """The parent of a node that is to go; the root has none, and is not a rule's to take away."""
    parent = node.getparent()
    if parent is None:
        raise Refusal(
            "bad-rule", "a rewrite would take away the whole document", "correct its xpath, then hookctl reload"
        )
    return parent


def _append(node: etree._Element, elements: list[etree._Element]) -> None:
    node.extend(elements)


def _prepend(node: etree._Element, elements: list[etree._Element]) -> None:
    for element in reversed(elements):
        node.insert(0, element)


def _replace(node: etree._Element, elements: list[etree._Element]) -> None:
    parent = _refuse_root(node)
    tail, node.tail = node.tail, None
    index = parent.index(node)
    parent.remove(node)
    for offset, element in enumerate(elements):
        parent.insert(index + offset, element)
    elements[-1].tail = (elements[-1].tail or "") + (tail or "")
