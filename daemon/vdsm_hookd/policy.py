"""The rewrite policy: which rules serve a request, found without looking at those that don't."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from vdsm_hookd.hook import Hook, Refusal, quote


class Rule(NamedTuple):
    """One hook with its options, or one declared rewrite, and where the configuration says so.

    `always` rules look at every request of their events, also without a property. `equals` names a property and the one
    value without which the rule can't match, if there is such a condition: an index, never the condition itself.
    """

    hook: Hook
    options: object
    source: str
    always: bool = False
    equals: tuple[str, bytes] | None = None


class _Plan:
    """The rules of one hook at one event, by what wakes them; the numbers are their places in the policy."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}  # all that its rules read, in order
        self.always: list[int] = []
        self.by_name: dict[str, list[int]] = {}
        self.by_value: dict[str, dict[bytes, list[int]]] = {}

    def add(self, number: int, rule: Rule) -> None:
        self.names.update(dict.fromkeys(rule.hook.properties))
        if rule.always:
            self.always.append(number)
        elif rule.equals is not None:
            name, value = rule.equals
            self.by_value.setdefault(name, {}).setdefault(value, []).append(number)
        else:
            for name in rule.hook.properties:
                self.by_name.setdefault(name, []).append(number)

    def woken_by(self, environment: Mapping[str, bytes]) -> list[int]:
        found = set(self.always)
        for name, value in environment.items():
            found.update(self.by_name.get(name, ()))
            if name in self.by_value:
                found.update(self.by_value[name].get(value.strip(b" \t"), ()))
        return sorted(found)


class Policy:
    """All that the configuration says about requests: never changed, only replaced as a whole."""

    def __init__(self, rules: Iterable[Rule], disabled: Iterable[Hook] = ()) -> None:
        """`rules` in the order in which they apply; `disabled` are hooks that the shim may know but no rule has."""
        self.rules = tuple(rules)
        self._disabled = tuple(disabled)
        self.names: dict[str, dict[str, None]] = {}
        """The properties that each hook reads, over all its rules, in order."""
        self._plans: dict[tuple[str, str], _Plan] = {}
        for number, rule in enumerate(self.rules):
            self.names.setdefault(rule.hook.name, {}).update(dict.fromkeys(rule.hook.properties))
            for event in rule.hook.events:
                self._plans.setdefault((rule.hook.name, event), _Plan()).add(number, rule)

    def rules_for(self, hook: str, event: str, environment: Mapping[str, bytes]) -> Sequence[Rule]:
        """The rules that a request wakes, in order; none where it has no business here.

        Raises Refusal where a property asks for a hook that is not enabled (`unknown-hook`), or at an event that it
        does not serve (`unsupported-event`).
        """
        plan = self._plans.get((hook, event))
        if plan is not None:
            return [self.rules[number] for number in plan.woken_by(environment)]
        names = self.names.get(hook)
        if not any(name != "vmId" and (names is None or name in names) for name in environment):
            return ()
        if names is None:
            raise Refusal(
                "unknown-hook",
                f"no hook {quote(hook)} is enabled in vdsm-hookd (enabled: {', '.join(self.names) or 'none'})",
                "enable it in vdsm-hookd.conf, or mask its links (ln -sfn /dev/null LINK): an upgrade makes them anew",
            )
        served = ", ".join(
            sorted({event for rule in self.rules if rule.hook.name == hook for event in rule.hook.events})
        )
        raise Refusal(
            "unsupported-event",
            f"hook {hook} does not serve {quote(event)}",
            f"remove its link from that hook directory, which no package makes; it serves {served}",
        )

    def hooks(self) -> list[dict[str, Any]]:
        """The hooks, each with the events, the properties and the wakefulness of all its rules, for people."""
        served: dict[str, dict[str, Any]] = {}
        for rule in self.rules:
            hook = served.setdefault(rule.hook.name, {"name": rule.hook.name, "events": {}, "always": False})
            hook["events"].update(dict.fromkeys(rule.hook.events))
            hook["always"] = hook["always"] or rule.always
        return [
            {**hook, "events": list(hook["events"]), "properties": list(self.names[name])}
            for name, hook in served.items()
        ]

    def wake_table(self) -> str:
        """Which variables wake which hook, for the shim, which can't ask a daemon that may be dead (see shim/wake.c).

        A line a hook and event, then one for any other event; the name `*` for rules that every request wakes. A
        disabled hook has a line too: a link to it is refused where a property asks for it, and wakes for nothing else,
        whatever the shim has compiled in.
        """
        lines = []
        for (hook, event), plan in self._plans.items():
            every = ["*"] if plan.always else []
            lines.append(" ".join([hook, event, *every, *plan.names]))
        lines += [" ".join([hook, "*", *names]) for hook, names in self.names.items()]
        lines += [
            " ".join([hook.name, "*", *hook.properties]) for hook in self._disabled if hook.name not in self.names
        ]
        return "".join(f"{line}\n" for line in ("# what wakes which hook, by vdsm-hookd", *lines))
