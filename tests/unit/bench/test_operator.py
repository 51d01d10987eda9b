"""What the operator's benchmark asks of the cluster, and how it reads the answers."""

from __future__ import annotations

import pytest

from bench.fleet import FleetResult, resources
from bench.operator import memory_text, propagation_text
from bench.propagation import Change, PropagationResult, is_programmed, nearest_rank, policy
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy


def test_fleet_is_made_of_valid_resources_with_names_of_their_own() -> None:
    fleet = resources(20, 5)
    for item in fleet:
        (ModelDeployment if item["kind"] == "ModelDeployment" else RoutePolicy).model_validate(item)
    assert len({(item["kind"], item["metadata"]["name"]) for item in fleet}) == 25


def test_every_change_of_the_policy_is_one() -> None:
    first, second = policy(1, 2), policy(2, 2)
    RoutePolicy.model_validate(first)
    assert first["spec"]["routes"] != second["spec"]["routes"]
    assert first["spec"]["router"] == second["spec"]["router"], "routers must not roll out anew"


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100)])
def test_nearest_rank(share: float, value: float) -> None:
    assert nearest_rank([float(n) for n in range(100, 0, -1)], share) == value
    assert nearest_rank([7.0], share) == 7.0


@pytest.mark.parametrize(
    ("condition", "programmed"),
    [
        ({"type": "Programmed", "status": "True", "observedGeneration": 4}, True),
        ({"type": "Programmed", "status": "True", "observedGeneration": 3}, False),
        ({"type": "Programmed", "status": "False", "observedGeneration": 4}, False),
        ({"type": "Ready", "status": "True", "observedGeneration": 4}, False),
    ],
)
def test_programmed_counts_for_its_generation_only(condition: dict[str, object], programmed: bool) -> None:
    assert is_programmed({"status": {"conditions": [condition]}}, 4) is programmed
    assert not is_programmed(None, 4)
    assert not is_programmed({}, 4)


def test_texts_judge() -> None:
    fleet = FleetResult(500, 100, 70.0, 160.0, 170.0, 3200, 20.0, 1.0)
    assert "160 MiB, wanted below 150 MiB: missed" in memory_text(fleet)
    changes = tuple(Change(n, n / 100, n / 80) for n in range(1, 101))
    text = propagation_text(PropagationResult(2, changes))
    assert "| every router serves it | 0.50 | 0.90 | 0.99 | 1.00 |" in text
    assert "p99 1.24 s, wanted below 2 s: held" in text
