"""What would happen to a document, hook after hook, as vdsm would hand it on. Changes, counts and logs nothing."""

from __future__ import annotations

from typing import Any

from vdsm_hookd import answers, decision
from vdsm_hookd.decision import Request
from vdsm_hookd.networks import NetworkView
from vdsm_hookd.policy import Policy


def rehearse(request: Request, policy: Policy, networks: NetworkView) -> list[dict[str, Any]]:
    """The decisions of one hook, or without a name of all that serve the event in the order of the policy, until one
    refuses.

    Each as `answers.decision` shows it.
    """
    event, xml = request.event, request.document
    serving = dict.fromkeys(rule.hook.name for rule in policy.rules if event in rule.hook.events)
    decisions = []
    for name in [request.hook] if request.hook else serving:
        made = decision.decide(request._replace(hook=name, document=xml), policy, networks)
        decisions.append(answers.decision(made, xml))
        xml = made.document or xml
        if made.outcome == "refused":
            break
    return decisions
