"""What is counted, and the two text formats, read by Prometheus' own parsers."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from vdsm_hookd import openmetrics
from vdsm_hookd.decision import Decision
from vdsm_hookd.hooks import extnet
from vdsm_hookd.metrics import BUCKETS, Metrics, counter, gauge, quantile
from vdsm_hookd.openmetrics import Family, Sample
from vdsm_hookd.policy import Policy, Rule

POLICY = Policy([Rule(extnet.HOOK, extnet.Options(), "here")])
EVENT = "before_device_create"


def counted(*decisions: tuple[Decision, float]) -> Metrics:
    metrics = Metrics(POLICY)
    for made, seconds in decisions:
        metrics.count(made, seconds, network_is_known=True)
    return metrics


def read(families: list[Family], form: str) -> dict[str, Any]:
    """All samples by name and labels, as a parser of Prometheus reads them."""
    if form == "openmetrics":
        parsed = openmetrics_parser.text_string_to_metric_families(openmetrics.openmetrics(families))
    else:
        parsed = parser.text_string_to_metric_families(openmetrics.prometheus(families))
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value for family in parsed for sample in family.samples
    }


def test_decisions_are_counted_by_what_they_are() -> None:
    metrics = counted(
        (Decision("rewritten", EVENT, "extnet", network="glitter"), 0.001),
        (Decision("rewritten", EVENT, "extnet", network="glitter"), 0.002),
        (Decision("refused", EVENT, "extnet", code="network-missing"), 0.003),
    )
    assert metrics.outcomes() == {"unchanged": 0, "rewritten": 2, "refused": 1, "held": 0}
    assert metrics.rewrites == {"glitter": 2}
    labels = "[('code', 'network-missing'), ('event', 'before_device_create'), ('hook', 'extnet')"
    for form in ("openmetrics", "prometheus"):
        values = read(list(metrics.families()), form)
        assert values[f"vdsm_hookd_requests_total{labels}, ('outcome', 'refused')]"] == 1
        assert values["vdsm_hookd_request_duration_seconds_count[]"] == 3


def test_a_request_brings_no_label_of_its_own() -> None:
    many = [(Decision("refused", f"event-{n}", f"hook\n{n}", code="unknown-hook"), 0.0) for n in range(1000)]
    metrics = counted(*many)
    assert dict(metrics.requests) == {("other", "other", "refused", "unknown-hook"): 1000}


@given(st.lists(st.floats(0, 2), max_size=50))
def test_the_histogram_is_cumulated_and_sums_agree(durations: list[float]) -> None:
    metrics = counted(*[(Decision("unchanged", EVENT, "extnet"), seconds) for seconds in durations])
    values = read(list(metrics.families()), "openmetrics")
    name = "vdsm_hookd_request_duration_seconds"
    for bound in BUCKETS:
        assert values[f"{name}_bucket[('le', '{bound}')]"] == sum(seconds <= bound for seconds in durations)
    assert values[f"{name}_bucket[('le', '+Inf')]"] == values[f"{name}_count[]"] == len(durations)
    assert math.isclose(values[f"{name}_sum[]"], sum(durations), abs_tol=1e-9)


@given(st.text(max_size=30), st.floats(allow_nan=False, allow_infinity=False))
def test_any_label_and_any_number_can_be_read_back(label: str, value: float) -> None:
    families = [
        gauge("networks", "Any.", ({"state": label}, value)),
        counter("drifts", "Any.", 3),
        Family("vdsm_hookd_build", "info", "Any.", [Sample("_info", {"version": label}, 1)]),
    ]
    for form in ("openmetrics", "prometheus"):
        values = read(families, form)
        assert value in values.values()
        assert "vdsm_hookd_drifts_total[]" in values
        shown = "".join(char if char.isprintable() else "?" for char in label)
        assert f"vdsm_hookd_build_info{[('version', shown)]}" in values


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([1.0], 0.99) == 1.0
    assert quantile([float(n) for n in range(100)], 0.5) == 50.0
    assert quantile([float(n) for n in range(100)], 0.99) == 99.0
