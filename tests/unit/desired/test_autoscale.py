"""Awake or at rest: the decision, and what of it is told in status."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset import desired
from genset.api.modeldeployment import Autoscaling, ModelDeployment
from genset.desired import autoscale
from genset.desired.autoscale import ScalingDecision, TotalDemand, decide
from genset.desired.context import ModelDeploymentContext, Settings
from genset.times import rfc3339

NOW = 1_800_000_000.0
IDLE = 600
LONG_AGO = NOW - 100_000.0

ASLEEP, AWAKE = ScalingDecision(False), ScalingDecision(True)


def known(**more: Any) -> TotalDemand:
    """A deployment that has been up for long, and of which everything is known; nobody has asked."""
    return TotalDemand(**{"available_since": LONG_AGO, "known_since": LONG_AGO, **more})


@pytest.mark.parametrize(
    ("what", "awake", "demand", "expected"),
    [
        ("nobody has ever asked", True, known(), ASLEEP),
        ("the last request is just too old", True, known(last_request=NOW - IDLE), ASLEEP),
        ("the last request is just not too old", True, known(last_request=NOW - IDLE + 1), AWAKE),
        ("an old request still runs", True, known(last_request=NOW - 2 * IDLE, busy=True), AWAKE),
        ("no replica is ready yet", True, known(available_since=None), AWAKE),
        ("a replica has just become ready", True, known(available_since=NOW - 5), AWAKE),
        ("it is not known for long enough", True, known(known_since=NOW - IDLE + 1), AWAKE),
        (
            "a router does not answer",
            True,
            known(known_since=None, unknown="router a"),
            ScalingDecision(True, "router a"),
        ),
        ("routers have yet to be met", True, known(known_since=None), AWAKE),
        ("a silent router, but somebody has asked", True, known(unknown="router a", last_request=NOW - 1), AWAKE),
        ("at rest", False, known(available_since=None), ASLEEP),
        ("at rest, nothing is known", False, TotalDemand(), ASLEEP),
        ("at rest, a router does not answer", False, TotalDemand(unknown="router a"), ASLEEP),
        ("at rest, the request that was its last", False, known(last_request=NOW - IDLE), ASLEEP),
        ("at rest, a request came", False, TotalDemand(last_request=NOW - 0.5), AWAKE),
        ("at rest, a request waits", False, TotalDemand(busy=True), AWAKE),
        ("at rest, one router asks and another is silent", False, TotalDemand(busy=True, unknown="router a"), AWAKE),
    ],
)
def test_decision(what: str, awake: bool, demand: TotalDemand, expected: ScalingDecision) -> None:
    assert decide(Autoscaling(), demand, awake=awake, now=NOW) == expected, what


moments = st.none() | st.floats(NOW - 5000, NOW)
demands = st.builds(
    TotalDemand,
    busy=st.booleans(),
    last_request=moments,
    available_since=moments,
    known_since=moments,
    unknown=st.sampled_from(["", "router a"]),
)


@given(demand=demands, awake=st.booleans())
def test_it_never_rests_under_a_request_and_never_wakes_without_one(demand: TotalDemand, awake: bool) -> None:
    after = decide(Autoscaling(), demand, awake=awake, now=NOW)
    asked = demand.busy or (demand.last_request is not None and NOW - demand.last_request < IDLE)
    if asked:
        assert after == AWAKE
    if after.awake and not awake:
        assert asked
    if awake and not after.awake:
        assert not demand.unknown and demand.known_since is not None and demand.available_since is not None
    assert decide(Autoscaling(), demand, awake=after.awake, now=NOW).awake == after.awake, "a decision is settled"


def resource(status: dict[str, Any] | None = None, **spec: Any) -> ModelDeployment:
    content = {"source": {"huggingFace": {"repo": "a/b"}}, "cache": {"size": "1Gi"}, **spec}
    document = {"metadata": {"name": "m", "uid": "u"}, "spec": content, "status": status}
    return ModelDeployment.model_validate({key: value for key, value in document.items() if value is not None})


SCALING = {"min": 0, "max": 2}


@pytest.mark.parametrize(
    ("status", "scaling", "expected"),
    [
        (None, SCALING, True),  # new: weights are fetched before the first user comes
        ({}, SCALING, True),
        ({"desiredReplicas": 2}, SCALING, True),
        ({"desiredReplicas": 0}, SCALING, False),
        ({"desiredReplicas": 3}, SCALING, True),  # a fixed number until now, or another max
        ({"desiredReplicas": 1}, {"min": 1, "max": 3}, False),
        ({"desiredReplicas": 0}, {"min": 1, "max": 3}, False),  # min was raised at rest
    ],
)
def test_what_was_decided_last_is_in_the_status(status: dict[str, Any] | None, scaling: Any, expected: bool) -> None:
    assert autoscale.was_awake(resource(status, autoscaling=scaling)) is expected


@pytest.mark.parametrize(
    ("spec", "awake", "expected"),
    [
        ({}, True, 1),
        ({"replicas": 0}, True, 0),
        ({"replicas": 3}, False, 3),  # a fixed number knows no rest
        ({"autoscaling": {"min": 0, "max": 4}}, True, 4),
        ({"autoscaling": {"min": 0, "max": 4}}, False, 0),
        ({"autoscaling": {"min": 1, "max": 4}}, False, 1),
    ],
)
def test_replicas(spec: dict[str, Any], awake: bool, expected: int) -> None:
    objects = desired.model_deployment(
        resource(**spec), ModelDeploymentContext(Settings(image="i"), scaling=ScalingDecision(awake))
    )
    (deployment,) = [item for item in objects if item["kind"] == "Deployment"]
    assert deployment["spec"]["replicas"] == expected


def test_rest_changes_nothing_but_the_number_of_replicas() -> None:
    def objects(awake: bool) -> list[dict[str, Any]]:
        context = ModelDeploymentContext(Settings(image="i"), scaling=ScalingDecision(awake))
        return desired.model_deployment(resource(autoscaling=SCALING), context)

    changed = [(a, b) for a, b in zip(objects(True), objects(False), strict=True) if a != b]
    ((woken, rested),) = changed
    assert {**woken["spec"], "replicas": 0} == rested["spec"], "the volume, the Services and the template stay"


def pod(**spec: Any) -> dict[str, Any]:
    objects = desired.model_deployment(resource(**spec), ModelDeploymentContext(Settings(image="i")))
    found: dict[str, Any] = next(item for item in objects if item["kind"] == "Deployment")["spec"]["template"]["spec"]
    return found


def test_waking_is_quick() -> None:
    """No question to the source, and a startup probe each second: somebody may be waiting."""
    assert "--settled" in pod(autoscaling=SCALING)["initContainers"][0]["args"]
    assert "--settled" not in pod()["initContainers"][0]["args"]
    probe = pod(autoscaling=SCALING)["containers"][0]["startupProbe"]
    assert (probe["periodSeconds"], probe["failureThreshold"]) == (1, 900)
    slow = pod()["containers"][0]["startupProbe"]
    assert slow["periodSeconds"] * slow["failureThreshold"] == 900


TOLD = rfc3339(NOW)


@pytest.mark.parametrize(
    ("what", "told", "was", "awake", "last", "expected"),
    [
        ("never asked", None, 2, True, None, None),
        ("the first request", None, 2, True, NOW, TOLD),
        ("within the minute", TOLD, 2, True, NOW + 59, TOLD),
        ("a minute later", TOLD, 2, True, NOW + 60, rfc3339(NOW + 60)),
        ("put to rest: exactly", TOLD, 2, False, NOW + 30, rfc3339(NOW + 30)),
        ("put to rest, with no later request", TOLD, 2, False, NOW, TOLD),
        ("at rest", TOLD, 0, False, NOW + 30, TOLD),
        ("woken", TOLD, 0, True, NOW + 9000, rfc3339(NOW + 9000)),
        ("a new operator that has heard nothing yet", TOLD, 2, True, None, TOLD),
    ],
)
def test_last_active_time_is_written_rarely(
    what: str, told: str | None, was: int, awake: bool, last: float | None, expected: str | None
) -> None:
    before = resource({"desiredReplicas": was, "lastActiveTime": told} if told else None, autoscaling=SCALING)
    assert autoscale.told_active(before, last, awake=awake) == expected, what


def test_a_fixed_number_has_no_last_active_time() -> None:
    assert autoscale.told_active(resource({"lastActiveTime": TOLD}), NOW, awake=True) is None
