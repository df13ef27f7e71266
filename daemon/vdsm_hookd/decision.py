"""The decision core: `decide` turns (request, policy, network view) into a Decision, and nothing else.

No I/O, no clock, no globals. The daemon, `hookctl explain` and the tests call this one function, and the reply, the
journal and the history print the one value that it returns.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from lxml import etree

from vdsm_hookd import document
from vdsm_hookd.hook import Call, Refusal, plain, quote
from vdsm_hookd.host import Host
from vdsm_hookd.networks import NetworkView
from vdsm_hookd.policy import Policy, Rule

HOST = Host()
STATE_CODES = frozenset({"network-missing", "network-inactive", "portgroup-missing"})
"""Refusals that stand on the network view, and so only as firmly as the view does."""


class Request(NamedTuple):
    """One hook call as it came in. The values of `environment` are untrusted bytes."""

    event: str
    hook: str
    environment: Mapping[str, bytes]
    document: bytes


class Decision(NamedTuple):
    """What is done with a request, and why: a value that explains itself.

    `outcome` is `unchanged`, `rewritten` (then `document` is the new one) or `refused` (then `code`, `what` and
    `remedy` say why, one line each). `unsure` says that it stands on the absence or inactivity of `network` in the
    view. `error` is what a hook raised, for the journal.
    """

    outcome: str
    event: str
    hook: str
    rule: str = ""
    vm_id: str = ""
    vm_name: str = ""
    vm_uuid: str = ""
    mac: str = ""
    network: str = ""
    document: bytes = b""
    code: str = ""
    what: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = ()
    unsure: bool = False
    error: BaseException | None = None

    @property
    def message(self) -> str:
        """The one line behind the hook's name that a refusal puts into vdsm's log and the Engine's."""
        return f"{self.code}: {self.what}{self.about}: {self.remedy}"

    @property
    def about(self) -> str:
        """VM, MAC address and network, as far as they are known and `what` does not name them, in brackets."""
        named = (("VM", self.vm_name or self.vm_id), ("MAC", self.mac), ("network", self.network))
        known = ", ".join(
            [
                f"{kind} {plain(value)}"
                for kind, value in named
                if value and not (self.what and quote(value) in self.what)
            ]
        )
        return f" ({known})" if known else ""


class _Facts(TypedDict, total=False):
    """What a decision tells about its request, gathered on the way."""

    event: str
    hook: str
    rule: str
    vm_id: str
    vm_name: str
    vm_uuid: str
    mac: str
    network: str


def decide(
    request: Request, policy: Policy, networks: NetworkView, host: Host = HOST, memory: document.Memory | None = None
) -> Decision:
    """Decide one request. Never raises: what a hook did not foresee is a refusal with code `internal`.

    `memory` changes nothing but the time that it takes.
    """
    vm_id = request.environment.get("vmId", b"").decode("utf-8", "backslashreplace")
    facts: _Facts = {"event": request.event, "hook": request.hook, "vm_id": vm_id}
    try:
        rules = policy.rules_for(request.hook, request.event, request.environment)
        if not rules:
            return Decision("unchanged", **facts)
        return _apply(request, rules, networks, host, memory or document.Memory(), facts)
    except Refusal as refusal:
        return _refused(refusal, networks, facts)


def _apply(
    request: Request,
    rules: Sequence[Rule],
    networks: NetworkView,
    host: Host,
    memory: document.Memory,
    facts: _Facts,
) -> Decision:
    """Let the rules, in order, rewrite the document; the first that refuses refuses for all."""
    try:
        root = memory.parse(request.document)
    except document.BadDocument as error:
        raise Refusal("bad-xml", f"the XML can't be used: {error}", "see the XML in vdsm.log") from None
    facts.update(_identity(root))
    applied, notes, unsure = [], [], False
    for rule in rules:
        facts["rule"] = rule.source
        call = _call(request, rule, root, networks, host, facts["vm_id"])
        try:
            if rule.hook.events[request.event](call):
                applied.append(rule.source)
        except Refusal:
            facts["network"] = call.network or facts.get("network", "")
            raise
        except Exception as error:  # a hook's own bug must cost one request, not the daemon
            return _failed(rule, error, facts)
        facts["network"] = call.network or facts.get("network", "")
        notes += call.notes
        unsure = unsure or call.unsure
    if applied and root.tag == "domain" and _text(root, "uuid") != facts.get("vm_uuid"):
        facts["rule"] = "; ".join(applied)
        raise Refusal("not-permitted", "a rewrite would change the VM's uuid", "correct the rule, then hookctl reload")
    if networks.outage and facts.get("network"):
        notes.append(f"decided from the network view of {_moment(networks)}: {networks.outage}")
    facts["rule"] = "; ".join(applied)
    if not applied:
        return Decision("unchanged", **facts, notes=tuple(notes), unsure=unsure)
    return Decision("rewritten", **facts, document=memory.serialise(root), notes=tuple(notes), unsure=unsure)


def _call(request: Request, rule: Rule, root: etree._Element, networks: NetworkView, host: Host, vm_id: str) -> Call:
    environment = request.environment
    properties = {name: environment[name] for name in rule.hook.properties if name in environment}
    return Call(request.event, properties, root, networks, rule.options, host, vm_id)


def _failed(rule: Rule, error: Exception, facts: _Facts) -> Decision:
    what = f"hook {rule.hook.name} failed: {type(error).__name__}"
    remedy = "see the journal of vdsm-hookd, and report it"
    return Decision("refused", **facts, code="internal", what=what, remedy=remedy, error=error)


def _refused(refusal: Refusal, networks: NetworkView, facts: _Facts) -> Decision:
    code, what, remedy = refusal.code, refusal.what, refusal.remedy
    unsure = code in STATE_CODES
    if unsure and networks.outage:
        code = "libvirt-unavailable"
        seen = f"; when it was last reached ({_moment(networks)}), {what}" if networks.synced_at else ""
        what, remedy = f"{networks.outage}{seen}", "see to libvirt (systemctl status libvirtd), then start the VM again"
    facts["network"] = refusal.network or facts.get("network", "")
    return Decision("refused", **facts, code=code, what=what, remedy=remedy, unsure=unsure)


def _identity(root: etree._Element) -> _Facts:
    """Who a document is about: the VM's name and uuid in a domain, the MAC address in an interface."""
    if root.tag == "domain":
        return {"vm_name": _text(root, "name"), "vm_uuid": _text(root, "uuid")}
    mac = _child(root, "mac")
    return {} if mac is None else {"mac": mac.get("address", "")}


def _child(root: etree._Element, tag: str) -> etree._Element | None:
    """The first such child. It stands far in front, so that to look is faster than to have `find` look."""
    for child in root:
        if child.tag == tag:
            return child
    return None


def _text(root: etree._Element, tag: str) -> str:
    child = _child(root, tag)
    return "" if child is None else child.text or ""


def _moment(networks: NetworkView) -> str:
    if networks.synced_at is None:
        return "no time yet"
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(networks.synced_at))
