"""Conditions as a metric: what a resource says now, and nothing that it said before."""

from __future__ import annotations

from genset.kube.metrics import Metrics
from genset.kube.told_conditions import ToldConditions

SMALL, LARGE = (("law", "ModelDeployment", name) for name in ("small", "large"))


def condition(kind: str, status: str, reason: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason}


def rows(metrics: Metrics) -> set[tuple[str, ...]]:
    (family,) = metrics.conditions.collect()
    assert {sample.value for sample in family.samples} <= {1.0}
    return {tuple(sample.labels.values()) for sample in family.samples}


def test_a_resource_has_a_row_for_what_each_condition_says_now() -> None:
    metrics = Metrics()
    told = ToldConditions(metrics.conditions)
    told.tell(SMALL, [condition("Ready", "False", "Starting"), condition("Stalled", "True", "DiskFull")])
    told.tell(LARGE, [condition("Ready", "True", "Ready")])
    told.tell(SMALL, [condition("Ready", "False", "CrashLoop")])
    large = ("law", "ModelDeployment", "large", "Ready", "True", "Ready")
    assert rows(metrics) == {("law", "ModelDeployment", "small", "Ready", "False", "CrashLoop"), large}
    told.tell(SMALL, [])
    told.tell(SMALL, [])
    assert rows(metrics) == {large}
    ToldConditions(metrics.conditions)
    assert rows(metrics) == set(), "a process that no longer leads tells of nothing"
