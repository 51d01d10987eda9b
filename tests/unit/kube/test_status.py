"""When status is written: if it says something else, and not for what others added."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.base import Condition
from genset.api.modeldeployment import ConditionType
from genset.api.modeldeployment_status import ModelDeploymentStatus, WeightsStatus
from genset.kube.status import as_dict, differs


def condition(kind: str = "Ready", status: str = "True", **more: Any) -> dict[str, Any]:
    return {
        "type": kind, "status": status, "reason": "Ready", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z", **more,
    }  # fmt: skip


NEW = ModelDeploymentStatus(
    observed_generation=1,
    model="house",
    conditions=[Condition.model_validate(condition()), Condition.model_validate(condition("Accepted"))],
)
SAME = as_dict(NEW)

CASES = [
    ("none yet", None, True),
    ("the same", SAME, False),
    ("in another order", {**SAME, "conditions": SAME["conditions"][::-1]}, False),
    ("without what has a default", {key: value for key, value in SAME.items() if key != "replicas"}, False),
    ("a condition of others", {**SAME, "conditions": [*SAME["conditions"], condition("Audited")]}, False),
    ("a condition of ours that is over", {**SAME, "conditions": [*SAME["conditions"], condition("Stalled")]}, True),
    ("another reason", {**SAME, "conditions": [condition(reason="Starting"), condition("Accepted")]}, True),
    ("a field that is over", {**SAME, "weights": as_dict(WeightsStatus(percent=50))}, True),
    ("nonsense", {**SAME, "replicas": "many"}, True),
]


@pytest.mark.parametrize(("live", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_differs(live: Any, expected: bool) -> None:
    assert differs(live, NEW, tuple(ConditionType)) is expected
