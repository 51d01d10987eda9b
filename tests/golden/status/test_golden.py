"""Resource and what was observed in, status and Events out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import genset
from genset import names
from genset.api.base import ApiModel
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.continuity.coverage import World
from genset.contracts.puller import DownloadProgress
from genset.contracts.router_admin import ConfigReport
from genset.desired import coverage, router_config
from genset.desired.autoscale import ScalingDecision
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.schedule import ScalingBounds
from genset.desired.secrets import EVERY_HOST, UserSecret
from genset.status import model_deployment, route_policy
from genset.status import scaling as scaling_status
from genset.status.observed import (
    CompletionProbe,
    ModelDeploymentObserved,
    Prefetch,
    Problem,
    RoutePolicyObserved,
    Upgrade,
    template_key,
)
from genset.status.pod import PodView
from genset.times import seconds
from tests.golden import cases

HERE = Path(__file__).parent
NOW = "2026-11-21T10:00:00Z"


def problems(given: list[dict[str, str]]) -> tuple[Problem, ...]:
    return tuple(Problem(**item) for item in given)


@pytest.fixture(autouse=True)
def _release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages name the release that runs: the same one in all golden files."""
    monkeypatch.setattr(genset, "__version__", "1.2.3")


def upgrade(given: dict[str, Any]) -> Upgrade | None:
    if "upgrade" not in given:
        return None
    return Upgrade(**{**given["upgrade"], "fields": tuple(given["upgrade"]["fields"])})


def model(resource: ModelDeployment, given: dict[str, Any]) -> ModelDeploymentObserved:
    """`completion.for_template` may say `current`; a missing completion is one that was not tried."""
    completion = given.get("completion")
    if completion is not None:
        key = template_key(resource, given.get("deployment"))
        completion = CompletionProbe(**{**completion, "for_template": completion.get("for_template", key)})
    return ModelDeploymentObserved(
        deployment=given.get("deployment"),
        pods=tuple(map(PodView.of, given.get("pods", ()))),
        weights={
            pod: DownloadProgress.from_json(json.dumps(item).encode()) for pod, item in given.get("weights", {}).items()
        },
        completion=completion,
        problems=problems(given.get("problems", [])),
        apply_errors=problems(given.get("apply_errors", [])),
        namespace_terminating=given.get("namespace_terminating", False),
        pvc=given.get("pvc"),
        prefetch=prefetch(given),
        scaling=scaling(given),
        replicas_owner=given.get("replicas_owner", ""),
        last_request=seconds(given["last_request"]) if "last_request" in given else None,
        asked_by=tuple(given["asked_by"]) if "asked_by" in given else None,
        upgrade=upgrade(given),
    )


def prefetch(given: dict[str, Any]) -> Prefetch | None:
    if "prefetch" not in given:
        return None
    pods = tuple(map(PodView.of, given.get("fetchers", ())))
    return Prefetch(given["prefetch"], pods, given.get("fetchers_refused", ""))


def scaling(given: dict[str, Any]) -> ScalingDecision:
    bounds = ScalingBounds(**given["bounds"]) if "bounds" in given else None
    return ScalingDecision(
        given.get("awake", True),
        given.get("awake_note", ""),
        given.get("wanted"),
        bounds,
        holder=given.get("holder", ""),
        waits=given.get("waits", False),
    )


def acks(given: dict[str, Any]) -> dict[str, ConfigReport | None]:
    """As a router writes them (/-/config)."""
    return {pod: ConfigReport.from_json(json.dumps(item).encode()) for pod, item in given.items()}


def policy(given: dict[str, Any]) -> RoutePolicyObserved:
    """`acknowledgements`: what routers answer now; `heard`: what else they said when they last spoke."""
    acknowledgements = acks(given.get("acknowledgements", {}))
    deployments = [ModelDeployment.model_validate(item) for item in given.get("deployments", ())]
    return RoutePolicyObserved(
        deployment=given.get("deployment"),
        pods=tuple(map(PodView.of, given.get("pods", ()))),
        acknowledgements=acknowledgements,
        heard={**acknowledgements, **acks(given.get("heard", {}))},
        deployments={found.metadata.name: found for found in deployments},
        problems=problems(given.get("problems", [])),
        unused_problems=problems(given.get("unused_problems", [])),
        apply_errors=problems(given.get("apply_errors", [])),
        config_hash=given.get("config_hash", ""),
        credentials_hash=given.get("credentials_hash", ""),
        upgrade=upgrade(given),
        namespace_terminating=given.get("namespace_terminating", False),
    )


def world(resource: RoutePolicy, observed: RoutePolicyObserved, given: dict[str, Any] | None) -> World | None:
    """`coverage` says where routers stand, what routes give in tokens a second, and what Secrets hold."""
    if given is None:
        return None
    secrets = {
        name: UserSecret({key: str(value).encode() for key, value in data.items()}, allow_hosts=EVERY_HOST)
        for name, data in given.get("secrets", {}).items()
    }
    context = RoutePolicyContext(Settings(image="genset:1"), deployments=observed.deployments, secrets=secrets)
    config = router_config.build(resource, context)
    files = router_config.credential_files(resource, context)
    nodes, loads = given.get("router_nodes", ()), given.get("loads", {})
    return coverage.world(resource, config, files, observed.deployments, loads=loads, router_nodes=nodes)


def outcome(case: dict[str, Any]) -> tuple[ApiModel, list[Any]]:
    """The new status, and the Events on the way from the old one to it."""
    if case["resource"]["kind"] == names.MODEL_DEPLOYMENT:
        deployment = ModelDeployment.model_validate(case["resource"])
        new = model_deployment.evaluate(deployment, model(deployment, case["observed"]), NOW)
        assert model_deployment.evaluate(deployment, model(deployment, case["observed"]), NOW) == new
        told = [*model_deployment.events(deployment.status, new), *scaling_status.events(deployment, new)]
        return new, told
    rules = RoutePolicy.model_validate(case["resource"])
    observed = policy(case["observed"])
    status = route_policy.evaluate(rules, observed, NOW, world(rules, observed, case["observed"].get("coverage")))
    return status, route_policy.events(rules, status, observed)


@pytest.mark.parametrize("case", cases.inputs(HERE))
def test_status(case: str) -> None:
    status, events = outcome(cases.load(HERE, case))
    cases.check(HERE, case, [status.model_dump(mode="json", exclude_none=True), [list(event) for event in events]])


@pytest.mark.parametrize("case", cases.inputs(HERE))
def test_a_steady_world_changes_nothing(case: str) -> None:
    loaded = cases.load(HERE, case)
    status, _ = outcome(loaded)
    again = {**loaded["resource"], "status": status.model_dump(mode="json", exclude_none=True)}
    later, events = outcome({**loaded, "resource": again})
    assert later == status, "the same world must not be written again"
    assert events == []
