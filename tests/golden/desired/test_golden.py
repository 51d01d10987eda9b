"""Resource and context in, Kubernetes objects out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genset import desired, names
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired.autoscale import ScalingDecision
from genset.desired.context import Locality, ModelDeploymentContext, RoutePolicyContext, Settings
from genset.desired.secrets import UserSecret
from genset.desired.site import Site, SiteProxies
from genset.kinds import kind_of
from tests.golden import cases

HERE = Path(__file__).parent


def settings(given: dict[str, Any], site: dict[str, Any], *, assigned_ids: bool, data_zones: str | None) -> Settings:
    proxies = SiteProxies(**{**site.get("proxies", {}), "no_proxy": tuple(site.get("proxies", {}).get("no_proxy", ()))})
    place = Locality(assigned_ids=assigned_ids, data_zones=data_zones, site=Site(proxies, site.get("ca", "")))
    return Settings(**{"image": "registry.example/genset:0.1.0", "place": place, **given})


def secrets(given: dict[str, dict[str, str]]) -> dict[str, UserSecret]:
    """Secrets whose owner lets their values go anywhere, and be keys of consumers."""
    return {
        name: UserSecret({key: value.encode() for key, value in data.items()}, "*", holds_keys=True)
        for name, data in given.items()
    }


def objects(case: dict[str, Any]) -> list[dict[str, Any]]:
    """What the operator would apply for the resource of a case."""
    given = settings(
        case.get("settings", {}),
        case.get("site", {}),
        assigned_ids=case.get("assignedIds", False),
        data_zones=case.get("dataZones"),
    )
    known = secrets(case.get("secrets", {}))
    if case["resource"]["kind"] == names.MODEL_DEPLOYMENT:
        return desired.model_deployment(
            ModelDeployment.model_validate(case["resource"]),
            ModelDeploymentContext(given, known, scaling=ScalingDecision(case.get("awake", True))),
        )
    deployments = [ModelDeployment.model_validate(item) for item in case.get("deployments", [])]
    context = RoutePolicyContext(
        given,
        {item.metadata.name: item for item in deployments},
        known,
        {name: value.encode() for name, value in case.get("appliedCredentials", {}).items()},
    )
    return desired.route_policy(RoutePolicy.model_validate(case["resource"]), context)


@pytest.mark.parametrize("case", cases.inputs(HERE))
def test_desired(case: str) -> None:
    cases.check(HERE, case, objects(cases.load(HERE, case)))


@pytest.mark.parametrize("case", cases.inputs(HERE))
def test_every_object_is_of_a_kind_that_its_resource_declares(case: str) -> None:
    """What is not declared is neither listed nor pruned."""
    loaded = cases.load(HERE, case)
    kind = loaded["resource"]["kind"]
    declared = desired.MODEL_DEPLOYMENT if kind == names.MODEL_DEPLOYMENT else desired.ROUTE_POLICY
    assert {kind_of(item) for item in objects(loaded)} <= set(declared.kinds)
