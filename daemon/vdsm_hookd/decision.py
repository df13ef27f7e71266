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
from vdsm_hookd.events import UPDATE
from vdsm_hookd.hook import Call, Refusal, plain, quote
from vdsm_hookd.host import Host
from vdsm_hookd.networks import NetworkView
from vdsm_hookd.policy import Policy, Rule
from vdsm_hookd.running import NOT_LIVE, Look, Running

HOST = Host()
STATE_CODES = frozenset({"network-missing", "network-inactive", "portgroup-missing"})
"""Refusals that stand on the network view, and so only as firmly as the view does."""
RETRY = ", then restart the VM, or update the vNIC again"


class Request(NamedTuple):
    """One hook call as it came in, and at before_update_device what a look at the running vNIC showed; None before the
    look. The values of `environment` are untrusted bytes."""

    event: str
    hook: str
    environment: Mapping[str, bytes]
    document: bytes
    look: Look | None = None


class Decision(NamedTuple):
    """What is done with a request, and why: a value that explains itself.

    `outcome` is `unchanged`, `rewritten` (then `document` is the new one), `refused`, or at before_update_device
    `held`: the vNIC stays where it is, and `document` is an update that leaves it there. With `refused` and `held`,
    `code`, `what` and `remedy` say why, one line each. `doubts` are the networks on whose state the decision stands,
    and `blind` says that it wants a look at the running vNIC. `error` is what a hook raised, for the journal.
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
    doubts: tuple[str, ...] = ()
    blind: bool = False
    error: BaseException | None = None

    @property
    def message(self) -> str:
        """The one line behind the hook's name that a refusal puts into vdsm's log and the Engine's."""
        return f"{self.reason}: {self.remedy}"

    @property
    def reason(self) -> str:
        """The same without the remedy."""
        return f"{self.code}: {self.what}{self.about}"

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
        refused = _refused(refusal, networks, facts)
        return _held(request, refused, networks, host) if request.event == UPDATE else refused


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
    running = _running(request)
    applied: list[str] = []
    notes: list[str] = []
    doubts: dict[str, None] = {}
    blind = False
    for rule in rules:
        facts["rule"] = rule.source
        call = _call(request, rule, root, networks, host, facts["vm_id"], running)
        try:
            if rule.hook.events[request.event](call):
                applied.append(rule.source)
        except Refusal:
            raise
        except Exception as error:  # a hook's own bug must cost one request, not the daemon
            raise _Failure(rule, error) from error
        finally:
            facts["network"] = call.network or facts.get("network", "")
        notes += call.notes
        doubts.update(call.doubts)
        if call.wants_look and running is None:
            notes.append(_unseen(request))
            blind = request.look is None
    if applied and root.tag == "domain" and _text(root, "uuid") != facts.get("vm_uuid"):
        facts["rule"] = "; ".join(applied)
        raise Refusal("not-permitted", "a rewrite would change the VM's uuid", "correct the rule, then hookctl reload")
    if networks.outage and facts.get("network"):
        notes.append(f"decided from the network view of {_moment(networks)}: {networks.outage}")
    facts["rule"] = "; ".join(applied)
    outcome, after = ("rewritten", memory.serialise(root)) if applied else ("unchanged", b"")
    return Decision(outcome, **facts, document=after, notes=tuple(notes), doubts=tuple(doubts), blind=blind)


def _call(
    request: Request,
    rule: Rule,
    root: etree._Element,
    networks: NetworkView,
    host: Host,
    vm_id: str,
    running: Running | None,
) -> Call:
    environment = request.environment
    properties = {name: environment[name] for name in rule.hook.properties if name in environment}
    return Call(request.event, properties, root, networks, rule.options, host, vm_id, running=running)


class _Failure(Refusal):
    """The refusal for a hook that failed; its cause is what the hook raised."""

    def __init__(self, rule: Rule, error: Exception) -> None:
        what = f"hook {rule.hook.name} failed: {type(error).__name__}"
        super().__init__("internal", what, "see the journal of vdsm-hookd, and report it")


def _refused(refusal: Refusal, networks: NetworkView, facts: _Facts) -> Decision:
    code, what, remedy = refusal.code, refusal.what, refusal.remedy
    stands_on_state = code in STATE_CODES
    if stands_on_state and networks.outage:
        code = "libvirt-unavailable"
        seen = f"; when it was last reached ({_moment(networks)}), {what}" if networks.synced_at else ""
        what, remedy = f"{networks.outage}{seen}", "see to libvirt (systemctl status libvirtd), then start the VM again"
    facts["network"] = refusal.network or facts.get("network", "")
    doubts = (refusal.network,) if stands_on_state else ()
    error = refusal.__cause__ if isinstance(refusal, _Failure) else None
    return Decision("refused", **facts, code=code, what=what, remedy=remedy, doubts=doubts, error=error)


def _held(request: Request, refused: Decision, networks: NetworkView, host: Host) -> Decision:
    """In place of a refusal the update that leaves the running vNIC where it is, whatever rules did before that.

    Where it could not be looked at, the refusal stands.
    """
    running = _running(request)
    if running is None:
        return refused._replace(what=f"{refused.what}; {_unseen(request)}", blind=request.look is None)
    try:
        interface = document.parse(request.document)
        notes = running.stay(interface, networks, host)
    except Exception as error:  # most likely the document can't be used, which was refused for that
        return refused if isinstance(error, document.BadDocument) else refused._replace(error=error)
    what = f"{refused.what}; the running vNIC stays on {running.where}"
    remedy = f"{refused.remedy}{RETRY if refused.code != NOT_LIVE else ''}"
    doubts = dict.fromkeys([*refused.doubts, *([running.network] if running.network else [])])
    return refused._replace(
        outcome="held",
        document=document.serialise(interface),
        what=what,
        remedy=remedy,
        notes=tuple(notes),
        doubts=tuple(doubts),
    )


def _unseen(request: Request) -> str:
    if request.look is None:
        return "nobody has looked at the running vNIC"
    return f"the running vNIC could not be looked at: {request.look.failure}"


def _running(request: Request) -> Running | None:
    if request.look is None or request.look.failure:
        return None
    try:
        return Running(request.look)
    except document.BadDocument:  # libvirt's own words: never seen
        return None


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
