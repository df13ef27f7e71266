"""What is counted of the decisions, and the metric families that it is shown as."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from vdsm_hookd.decision import Decision
from vdsm_hookd.openmetrics import Family, Sample
from vdsm_hookd.policy import Policy

BUCKETS = (50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2, 0.5, 1.0)
"""Upper bounds of the duration histogram, in seconds; above the last one is +Inf."""
OUTCOMES = ("unchanged", "rewritten", "refused", "held")
PREFIX = "vdsm_hookd"


class Metrics:
    """Counters since the start, and one duration histogram over all decisions."""

    def __init__(self, policy: Policy) -> None:
        self.requests: Counter[tuple[str, str, str, str]] = Counter()
        """Decisions by event, hook, outcome and code."""
        self.rewrites: Counter[str] = Counter()
        """Rewritten requests by the libvirt network that they were about."""
        self.bad_messages: Counter[str] = Counter()
        """Messages on the hook socket that were no request, by code."""
        self.durations = [0] * (len(BUCKETS) + 1)
        """Decisions by bucket, each counted in one only."""
        self.seconds = 0.0
        """All durations together."""
        self.use(policy)

    def use(self, policy: Policy) -> None:
        """From now on the names of this policy are the labels: a request can't bring one of its own."""
        self._hooks = frozenset(policy.names)
        self._events = frozenset(event for rule in policy.rules for event in rule.hook.events)

    def count(self, made: Decision, seconds: float, network_is_known: bool) -> None:
        """Count one decision. On the path of a request."""
        event = made.event if made.event in self._events else "other"
        hook = made.hook if made.hook in self._hooks else "other"
        self.requests[event, hook, made.outcome, made.code] += 1
        self.durations[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds
        if network_is_known and made.outcome == "rewritten":
            self.rewrites[made.network] += 1

    def outcomes(self) -> dict[str, int]:
        """How many decisions had which outcome."""
        totals = dict.fromkeys(OUTCOMES, 0)
        for (_event, _hook, outcome, _code), number in self.requests.items():
            totals[outcome] += number
        return totals

    def families(self) -> Iterator[Family]:
        """What was counted here, as metrics."""
        yield Family(
            f"{PREFIX}_requests",
            "counter",
            "Hook calls that were decided.",
            [
                Sample("_total", {"event": event, "hook": hook, "outcome": outcome, "code": code}, number)
                for (event, hook, outcome, code), number in sorted(self.requests.items())
            ],
        )
        yield Family(
            f"{PREFIX}_request_duration_seconds",
            "histogram",
            "Time from a hook call to its answer.",
            [*self._cumulated(), Sample("_sum", {}, self.seconds), Sample("_count", {}, sum(self.durations))],
        )
        yield Family(
            f"{PREFIX}_bad_messages",
            "counter",
            "Messages on the hook socket that were no hook call.",
            [Sample("_total", {"code": code}, number) for code, number in sorted(self.bad_messages.items())],
        )

    def _cumulated(self) -> Iterator[Sample]:
        total = 0
        for bound, number in zip((*map(str, BUCKETS), "+Inf"), self.durations):
            total += number
            yield Sample("_bucket", {"le": bound}, total)


def gauge(name: str, about: str, *samples: tuple[dict[str, str], float]) -> Family:
    """A family of what is now."""
    return Family(f"{PREFIX}_{name}", "gauge", about, [Sample("", labels, value) for labels, value in samples])


def counter(name: str, about: str, value: float) -> Family:
    """A family of one number that only grows."""
    return Family(f"{PREFIX}_{name}", "counter", about, [Sample("_total", {}, value)])


def quantile(ordered: list[float], part: float) -> float | None:
    """The value below which this part of the ordered ones lies; None where there are none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None
