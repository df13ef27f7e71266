"""What would happen to a document, hook after hook, as vdsm would hand it on. Changes, counts and logs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vdsm_hookd import answers, decision
from vdsm_hookd.decision import Request
from vdsm_hookd.networks import NetworkView
from vdsm_hookd.policy import Policy


def rehearse(
    event: str, hook: str, environment: Mapping[str, bytes], xml: bytes, policy: Policy, networks: NetworkView
) -> list[dict[str, Any]]:
    """The decisions of one hook, or of all that serve the event in the order of the policy, until one refuses.

    Each as `answers.decision` shows it.
    """
    serving = dict.fromkeys(rule.hook.name for rule in policy.rules if event in rule.hook.events)
    decisions = []
    for name in [hook] if hook else serving:
        made = decision.decide(Request(event, name, environment, xml), policy, networks)
        decisions.append(answers.decision(made, xml))
        xml = made.document or xml
        if made.outcome == "refused":
            break
    return decisions
