"""The decision core: `decide` turns (request, policy, network view) into a Decision, and nothing else.

No I/O, no clock, no globals. The daemon, `hookctl explain` and the tests call this one function, and the reply, the
journal and the history print the one value that it returns.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import NamedTuple, TypedDict

from lxml import etree

from vdsm_hookd import document
from vdsm_hookd.hook import Call, Hook, Refusal, quote
from vdsm_hookd.networks import NetworkView

STATE_CODES = frozenset({"network-missing", "network-inactive", "portgroup-missing"})
"""Refusals that stand on the network view, and so only as firmly as the view does."""


class Request(NamedTuple):
    """One hook call as it came in. The values of `environment` are untrusted bytes."""

    event: str
    hook: str
    environment: Mapping[str, bytes]
    document: bytes


class Rule(NamedTuple):
    """One enabled hook with its options, and where it was enabled."""

    hook: Hook
    options: object
    source: str


class Policy(NamedTuple):
    """All that the configuration says about requests: an immutable snapshot, replaced as a whole."""

    rules: Mapping[str, Rule]


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
        known = ", ".join(f"{kind} {_plain(value)}" for kind, value in named if value and quote(value) not in self.what)
        return f" ({known})" if known else ""


class _Facts(TypedDict, total=False):
    """What a decision tells about its request, gathered on the way."""

    event: str
    hook: str
    rule: str
    vm_id: str
    vm_name: str
    mac: str
    network: str


def decide(request: Request, policy: Policy, networks: NetworkView) -> Decision:
    """Decide one request. Never raises: what a hook did not foresee is a refusal with code `internal`."""
    vm_id = request.environment.get("vmId", b"").decode("utf-8", "backslashreplace")
    facts: _Facts = {"event": request.event, "hook": request.hook, "vm_id": vm_id}
    rule = policy.rules.get(request.hook)
    try:
        if rule is None:
            raise _unknown_hook(request.hook, policy)
        facts["rule"] = rule.source
        properties = {name: request.environment[name] for name in rule.hook.properties if name in request.environment}
        if not properties:
            return Decision("unchanged", **facts)
        return _run(request, rule, properties, networks, facts)
    except Refusal as refusal:
        return _refused(refusal, networks, facts)


def _run(
    request: Request, rule: Rule, properties: Mapping[str, bytes], networks: NetworkView, facts: _Facts
) -> Decision:
    rewrite = rule.hook.events.get(request.event)
    if rewrite is None:
        served = ", ".join(rule.hook.events)
        raise Refusal(
            "unsupported-event",
            f"hook {rule.hook.name} does not serve {quote(request.event)}",
            f"remove its link from that hook directory; it serves {served}",
        )
    try:
        root = document.parse(request.document)
    except document.BadDocument as error:
        raise Refusal("bad-xml", f"the XML can't be used: {error}", "see the XML in vdsm.log") from None
    facts.update(_identity(root))
    call = Call(request.event, properties, root, networks, rule.options)
    try:
        changed = rewrite(call)
        rewritten = document.serialise(root) if changed else b""
    except Refusal:
        raise
    except Exception as error:  # a hook's own bug must cost one request, not the daemon
        what = f"hook {rule.hook.name} failed: {type(error).__name__}"
        return Decision(
            "refused",
            **facts,
            code="internal",
            what=what,
            remedy="see the journal of vdsm-hookd, and report it",
            error=error,
        )
    finally:
        facts["network"] = call.network
    if networks.outage and call.network:
        call.note(f"decided from the network view of {_moment(networks)}: {networks.outage}")
    outcome = "rewritten" if changed else "unchanged"
    return Decision(outcome, **facts, document=rewritten, notes=tuple(call.notes), unsure=call.unsure)


def _refused(refusal: Refusal, networks: NetworkView, facts: _Facts) -> Decision:
    code, what, remedy = refusal.code, refusal.what, refusal.remedy
    unsure = code in STATE_CODES
    if unsure and networks.outage:
        code = "libvirt-unavailable"
        seen = f"; when it was last reached ({_moment(networks)}), {what}" if networks.synced_at else ""
        what, remedy = f"{networks.outage}{seen}", "see to libvirt (systemctl status libvirtd), then start the VM again"
    facts["network"] = refusal.network or facts.get("network", "")
    return Decision("refused", **facts, code=code, what=what, remedy=remedy, unsure=unsure)


def _unknown_hook(name: str, policy: Policy) -> Refusal:
    enabled = ", ".join(policy.rules) or "none"
    return Refusal(
        "unknown-hook",
        f"no hook {quote(name)} is enabled in vdsm-hookd (enabled: {enabled})",
        "enable it in vdsm-hookd.conf, or remove its link from the hook directories",
    )


def _identity(root: etree._Element) -> _Facts:
    """Who a document is about, for people: the VM's name in a domain, the MAC address in an interface."""
    if root.tag == "domain":
        return {"vm_name": root.findtext("name", "")}
    for mac in root.iterchildren("mac"):
        return {"mac": mac.get("address", "")}
    return {}


def _plain(value: str) -> str:
    """An identifier as it is where that is harmless, quoted where it is not."""
    return value if re.fullmatch(r"[\w.:-]{1,64}", value, re.ASCII) else quote(value)


def _moment(networks: NetworkView) -> str:
    if networks.synced_at is None:
        return "no time yet"
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(networks.synced_at))
