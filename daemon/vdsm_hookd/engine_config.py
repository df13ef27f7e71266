"""The custom properties that the Engine has to offer, merged into what `engine-config -g` printed.

`engine-config -s` replaces a whole value, so what stands there is kept byte for byte and only added to. The grammar is
the Engine's own, which reads `a=b}};{type=` as the end of a group and a regular expression up to its last `}}`. What
does not fit it is refused: a guess would cost an Engine the properties of its VMs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from vdsm_hookd.hook import UNFIT
from vdsm_hookd.policy import Rule

DEVICE_KEY = "CustomDeviceProperties"
VM_KEY = "UserDefinedVMProperties"
VNIC_TYPE = "interface"
PREDEFINED = frozenset({"hugepages", "mdev_type", "sap_agent", "sndbuf", "vhost", "viodiskcache"})
"""VM properties that every Engine offers by itself (PredefinedVMProperties)."""
MAX_INPUT = 1 << 20
"""Bytes."""

_LINE = re.compile(rf"({DEVICE_KEY}|{VM_KEY}): (.*) version: ([0-9]+\.[0-9]+)")
_PROPERTY = r"[A-Za-z0-9_]+=[^;]*"
_PROPERTIES = rf"(?:{_PROPERTY}(?:;{_PROPERTY})*;?)?"
_GROUP = re.compile(rf"\{{type=([A-Za-z0-9_]+);prop=\{{({_PROPERTIES})\}}\}}")


class NotUnderstood(Exception):
    """What engine-config printed can't be read, or not in one way only."""


class Setting(NamedTuple):
    """One line of `engine-config -g`: the value of a key at a cluster level."""

    key: str
    version: str
    value: str


class Declared(NamedTuple):
    """What the policy's rules want to be set for VMs and in vNIC profiles: regular expressions by name. `undeclared`
    are properties that a rule reads without saying where they are set, each with that rule."""

    vm: Mapping[str, str]
    vnic: Mapping[str, str]
    undeclared: Sequence[tuple[str, str]]


class Change(NamedTuple):
    """What becomes of one setting. `added` and `kept` are regular expressions by name: of properties that are new, and
    of those that were wanted and there already, as they stand."""

    setting: Setting
    after: str
    added: Mapping[str, str]
    kept: Mapping[str, str]

    @property
    def command(self) -> str:
        """The shell command that makes the change; empty where there is none."""
        key, version, _before = self.setting
        return f"engine-config -s {key}={shlex.quote(self.after)} --cver={version}" if self.added else ""


class _Group(NamedTuple):
    """The properties of one type of device, and where in the value they stand."""

    properties: Mapping[str, str]
    start: int
    end: int


def declared(rules: Iterable[Rule]) -> Declared:
    """What all rules together declare; where two differ about a property, the first counts, as in a request."""
    vm: dict[str, str] = {}
    vnic: dict[str, str] = {}
    reads: dict[str, str] = {}
    for rule in rules:
        for wanted, own in ((vm, rule.hook.vm_properties), (vnic, rule.hook.vnic_properties)):
            for name, regex in own.items():
                wanted.setdefault(name, regex)
        for name in rule.hook.properties:
            reads.setdefault(name, rule.source)
    return Declared(vm, vnic, [(source, name) for name, source in reads.items() if name not in {*vm, *vnic}])


def read(text: str) -> list[Setting]:
    """The lines that `engine-config -g` printed, of either key or both. Raises NotUnderstood."""
    settings: dict[tuple[str, str], Setting] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip(" "):
            continue
        found = _LINE.fullmatch(line)
        if not found or UNFIT.search(line):
            shown = line[:80].encode("unicode_escape").decode()
            raise NotUnderstood(f"line {number} is not `{DEVICE_KEY}: VALUE version: 4.7` or {VM_KEY}'s: {shown}")
        setting = Setting(found[1], found[3], found[2])
        if (setting.key, setting.version) in settings:
            raise NotUnderstood(f"line {number}: {setting.key} of version {setting.version} stands there twice")
        _check(setting, f"line {number}: ")
        settings[setting.key, setting.version] = setting
    if not settings:
        raise NotUnderstood(f"there is no line `{DEVICE_KEY}: VALUE version: 4.7` or {VM_KEY}'s")
    return list(settings.values())


def _check(setting: Setting, where: str) -> None:
    try:
        properties_of(setting)
    except NotUnderstood as error:
        raise NotUnderstood(f"{where}{setting.key} of version {setting.version}: {error}") from None


def properties_of(setting: Setting) -> dict[str, Mapping[str, str]]:
    """The regular expressions by property name, by type of device; VM properties have the type `vm`. Raises
    NotUnderstood."""
    if setting.key == VM_KEY:
        return {"vm": _properties(setting.value)}
    return {name: group.properties for name, group in _groups(setting.value).items()}


def _properties(text: str) -> dict[str, str]:
    if not re.fullmatch(_PROPERTIES, text):
        raise NotUnderstood(f"not NAME=REGEX;NAME=REGEX...: {text[:80]}")
    properties: dict[str, str] = {}
    for each in text.split(";"):
        name, _, regex = each.partition("=")
        if name in properties:
            raise NotUnderstood(f"{name} stands there twice")
        if name:
            properties[name] = regex
    return properties


def _groups(text: str) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    at = 0
    while at < len(text):
        found = _GROUP.match(text, at)
        # Two groups without `;` between them read, to the Engine too, as one with an odd regular expression.
        if not found or "{type=" in found[2]:
            raise NotUnderstood(f"not {{type=TYPE;prop={{NAME=REGEX;...}}}};...: {text[at : at + 80]}")
        if found[1] in groups:
            raise NotUnderstood(f"type {found[1]} stands there twice")
        groups[found[1]] = _Group(_properties(found[2]), *found.span(2))
        at = found.end()
        if at < len(text) and text[at] != ";":
            raise NotUnderstood(f"no `;` before {text[at : at + 80]}")
        at += 1
    return groups


def merge(setting: Setting, wanted: Declared) -> Change:
    """The setting with what is wanted of it. Properties that are there stay as they are, also with another regular
    expression."""
    kind = "vm" if setting.key == VM_KEY else VNIC_TYPE
    asked = (
        {name: regex for name, regex in wanted.vm.items() if name not in PREDEFINED} if kind == "vm" else wanted.vnic
    )
    there = properties_of(setting)
    own = there.get(kind, {})
    added = {name: regex for name, regex in asked.items() if name not in own}
    kept = {name: own[name] for name in asked if name in own}
    after = _with(setting, added) if added else setting.value
    # The last word has the parser: a command must not go out that the Engine reads in another way.
    expected = {**there, kind: {**own, **added}} if added else there
    if properties_of(setting._replace(value=after)) != expected:
        raise NotUnderstood(f"{setting.key} of version {setting.version}: no unambiguous value has all properties")
    return Change(setting, after, added, kept)


def _with(setting: Setting, added: Mapping[str, str]) -> str:
    text = setting.value
    new = ";".join(f"{name}={regex}" for name, regex in added.items())
    if setting.key == VM_KEY:
        return _joined(text, new)
    groups = _groups(text)
    if VNIC_TYPE in groups:
        start, end = groups[VNIC_TYPE].start, groups[VNIC_TYPE].end
        return text[:start] + _joined(text[start:end], new) + text[end:]
    # The Engine takes the types in its own order only: disks, vNICs, then all others.
    group = f"{{type={VNIC_TYPE};prop={{{new}}}}}"
    if "disk" in groups:
        end = groups["disk"].end + len("}}")
        return f"{text[:end]};{group}{text[end:]}"
    return f"{group};{text}" if text else group


def _joined(properties: str, more: str) -> str:
    return f"{properties}{'' if not properties or properties.endswith(';') else ';'}{more}"


def notes(settings: Sequence[Setting], wanted: Declared) -> list[str]:
    """What a person has to know or decide, one line each."""
    lines = []
    given = {setting.key for setting in settings}
    for key, names in ((DEVICE_KEY, wanted.vnic), (VM_KEY, wanted.vm.keys() - PREDEFINED)):
        if names and key not in given:
            lines.append(f"{', '.join(sorted(names))} not looked at: hand in what `engine-config -g {key}` prints, too")
    for name in wanted.vm:
        if name in PREDEFINED:
            lines.append(f"{name} is offered by the Engine itself (PredefinedVMProperties)")
    for source, name in wanted.undeclared:
        lines.append(
            f"{name} left out: {source} reads it and does not say where it is set"
            f" (in a rewrite: vm_property {name} = REGEX, or vnic_property {name} = REGEX)"
        )
    return lines + [line for setting in settings for line in _notes_on(setting, wanted)]


def _notes_on(setting: Setting, wanted: Declared) -> list[str]:
    lines, where = [], f"{setting.key} {setting.version}"
    for kind, properties in properties_of(setting).items():
        for name, regex in properties.items():
            own = {"vm": wanted.vm, VNIC_TYPE: wanted.vnic}.get(kind, {}).get(name)
            elsewhere = (wanted.vnic if kind == "vm" else wanted.vm).get(name)
            if own is not None and own != regex:
                lines.append(f"{where}: {name} keeps its own {regex or 'empty expression'}; vdsm-hookd's is {own}")
            elif own is None and kind == "vm" and elsewhere is not None:
                lines.append(f"{where}: {name} is a VM's property too, and there wins over every vNIC profile")
            elif own is None and kind == VNIC_TYPE and elsewhere is not None:
                lines.append(f"{where}: {name} is a vNIC's property too; its hook looks for it on VMs")
            elif own is None and kind not in ("vm", VNIC_TYPE) and name in wanted.vnic:
                lines.append(f"{where}: {name} is a property of type {kind} too, where its hook never looks")
    return lines
