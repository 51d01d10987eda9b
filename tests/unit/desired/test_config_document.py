"""A configuration is written once for one pass, and again for whatever it is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.contracts.router_config import config_hash
from genset.desired import router_config
from genset.desired.config_document import document
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.secrets import UserSecret

SPEC = {
    "backends": [{"name": "house", "deployment": {"name": "house"}}],
    "routes": [{"name": "all", "tiers": [{"backends": [{"name": "house"}]}]}],
}
HOUSE = ModelDeployment.model_validate(
    {"metadata": {"name": "house"}, "spec": {"source": {"huggingFace": {"repo": "org/m"}}}}
)
CONTEXT = RoutePolicyContext(Settings(image="genset:test"), deployments={"house": HOUSE})


def policy(**metadata: Any) -> RoutePolicy:
    return RoutePolicy.model_validate({"metadata": {"name": "p", **metadata}, "spec": SPEC})


def test_it_is_what_the_builder_makes() -> None:
    text = router_config.build(policy(), CONTEXT).canonical_json()
    found = document(policy(), CONTEXT)
    assert found.files == {"router.json": text.encode()} and found.hash == config_hash(text) and found.size == len(text)


@pytest.mark.parametrize("beside", [{"upgrade": True}, {"operator": "a/b"}, {"running": {}}, {"bearer": {}}], ids=str)
def test_what_shapes_pods_alone_changes_nothing(beside: dict[str, Any]) -> None:
    resource = policy()
    assert document(resource, CONTEXT) is document(resource, replace(CONTEXT, **beside))


def test_what_it_is_made_of_makes_it_anew() -> None:
    resource = policy()
    with_house = document(resource, CONTEXT)
    for other in (
        replace(CONTEXT, deployments={}),
        replace(CONTEXT, settings=replace(CONTEXT.settings, forbidden_networks=("192.0.2.0/28",))),
    ):
        found = document(resource, other)
        assert found.hash != with_house.hash
        assert found.hash == config_hash(router_config.build(resource, other).canonical_json())
    assert document(policy(generation=2), CONTEXT).hash != with_house.hash
    assert document(resource, replace(CONTEXT, secrets={"s": UserSecret({})})).hash == with_house.hash
