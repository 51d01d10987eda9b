"""The largest policy that there may be is within what an API server spends on the rules of one object."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.routepolicy import RoutePolicy
from tests.crds.cases import RP, Case, policy
from tests.crds.cases.case import cloud
from tests.crds.conftest import Server

BACKENDS, ROUTES, TIERS, IN_A_TIER, HEADERS = 128, 256, 8, 8, 16


def name(index: int) -> str:
    return f"fine-tune-of-the-house-{index:03d}"


def backend(index: int) -> dict[str, Any]:
    if index % 2:
        return {"name": name(index), "deployment": {"name": "house-small"}}
    headers = [{"name": f"x-header-{'y' * 40}-{number}", "value": "v" * 64} for number in range(HEADERS)]
    address = f"https://gateway-{index}.corp.example/tenants/a/v1"
    gateway = cloud(provider="openAICompatible", baseURL=address, headers=headers)
    return {"name": name(index), "cloud": gateway}


def route(index: int, when_full: str) -> dict[str, Any]:
    """Its backends are found last, if the API server looks from the front."""
    tiers = [
        {"backends": [{"name": name(BACKENDS - 1 - tier * IN_A_TIER - item)} for item in range(IN_A_TIER)]}
        for tier in range(TIERS)
    ]
    match = {
        "models": [f"model-{index}-{number}" for number in range(4)],
        "headers": [{"name": f"X-Header-{'y' * 40}-{number}", "value": "v"} for number in range(HEADERS)],
    }
    return {"name": f"route-{index}", "match": match, "tiers": tiers[::-1], "whenFull": when_full}


def largest(when_full: str = "NextTier", bounded: int = 0) -> Case:
    backends = [backend(index) for index in range(BACKENDS)]
    for item in backends[BACKENDS - bounded :]:
        item["balancing"] = {"maxInFlightPerEndpoint": 4}
    return Case("", RP, policy(backends=backends, routes=[route(index, when_full) for index in range(ROUTES)]))


@pytest.mark.parametrize(
    "case",
    [largest(), largest("Wait", bounded=1), largest("Wait", bounded=40), largest("Wait", bounded=BACKENDS)],
    ids=["every tier", "one bound", "forty bounds", "all bounds"],
)
def test_the_largest_policy_is_taken(server: Server, case: Case) -> None:
    status, answer = server.create(case.document())
    assert status == 201, f"a user would read: {answer.get('message')}"
    RoutePolicy.model_validate(case.document())


@pytest.mark.parametrize("tier", range(TIERS))
def test_a_wrong_name_in_the_largest_policy_is_refused(server: Server, tier: int) -> None:
    document = largest().document()
    document["spec"]["routes"][-1]["tiers"][tier]["backends"][-1]["name"] = "nobody"
    status, answer = server.create(document)
    assert status == 422
    assert "every backend of a tier must be one of spec.backends" in answer["message"]


def test_a_wait_without_a_bound_in_the_largest_policy_is_refused(server: Server) -> None:
    status, answer = server.create(largest("Wait").document())
    assert status == 422
    assert "whenFull Wait needs balancing.maxInFlightPerEndpoint" in answer["message"]
