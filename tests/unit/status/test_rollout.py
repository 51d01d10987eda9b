"""A roll-out says what is missing, and whether that is news: ordinary scaling is none."""

from __future__ import annotations

from typing import Any

import pytest

from genset.status.rollout import incomplete, rollout


def deployment(asked: int, *, generation: int = 1, seen: int = 1, **status: int) -> dict[str, Any]:
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": asked},
        "status": {"observedGeneration": seen, **status},
    }


CASES = [
    ("all there", deployment(2, replicas=2, updatedReplicas=2, availableReplicas=2), 2, 0, None),
    ("one more was asked for and starts", deployment(2, replicas=2, updatedReplicas=2, availableReplicas=1), 2, 1,
     ("Starting", "1 of 2 replicas are available, 1 starting")),
    ("one was lost", deployment(2, replicas=2, updatedReplicas=2, availableReplicas=1), 2, 0,
     ("ReplicasMissing", "1 of 2 replicas are available")),
    ("one of two that are missing starts", deployment(3, replicas=3, updatedReplicas=3, availableReplicas=1), 3, 1,
     ("ReplicasMissing", "1 of 3 replicas are available")),
    ("an older one leaves", deployment(1, replicas=2, updatedReplicas=1, availableReplicas=1), 1, 0,
     ("RollingOut", "1 of 1 replicas are available, 1 of 1 run the current template, 1 of an older one still to go")),
    ("one too many leaves", deployment(1, replicas=2, updatedReplicas=2, availableReplicas=1), 1, 0,
     ("RollingOut", "1 of 1 replicas are available, 1 more still to go")),
    ("its controller has not seen it", deployment(1, generation=2, replicas=1, updatedReplicas=1, availableReplicas=1), 1, 0,
     ("RollingOut", "1 of 1 replicas are available, 1 of 1 run the current template")),
    ("none is there", deployment(1), 1, 1, ("Starting", "0 of 1 replicas are available")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("live", "wanted", "coming", "told"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_incomplete(live: dict[str, Any], wanted: int, coming: int, told: tuple[str, str] | None) -> None:
    verdict = incomplete(rollout(live, wanted), "replicas", coming)
    assert (None if verdict is None else (verdict.reason, verdict.message)) == told


def test_a_deployment_that_asks_for_another_number_is_not_what_was_asked_for() -> None:
    assert not rollout(deployment(1), 0).asked and rollout(deployment(0), 0).asked
