"""Labels and annotations of children, and which of them get whose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from genset import desired
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired.context import Locality, ModelDeploymentContext, RoutePolicyContext, Settings
from genset.desired.site import Site, SiteProxies

#: What controllers that copy Secrets, and webhooks of clouds, obey.
ORDERS = {
    "reflector.v1.k8s.emberstack.com/reflection-auto-enabled": "true",
    "replicator.v1.mittwald.de/replicate-to": "mine",
    "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/admin",
    "corp.example/owner": "platform",
}
SHAPE = {"labels": {"cost-center": "42"}, "annotations": ORDERS}
SETTINGS = Settings(image="genset:test")


def model(settings: Settings = SETTINGS) -> list[dict[str, Any]]:
    spec = {"source": {"huggingFace": {"repo": "a/b"}}, "cache": {"size": "1Gi"}, "metadataTemplate": SHAPE}
    resource = ModelDeployment.model_validate({"metadata": {"name": "house", "uid": "m"}, "spec": spec})
    site = Site(proxies=SiteProxies(http="http://p:1", https="http://p:1"))
    return desired.model_deployment(resource, ModelDeploymentContext(replace(settings, place=Locality(site=site))))


def policy(settings: Settings = SETTINGS) -> list[dict[str, Any]]:
    spec = {
        "backends": [{"name": "a", "deployment": {"name": "x"}}],
        "routes": [{"name": "r", "tiers": [{"backends": [{"name": "a"}]}]}],
        "metadataTemplate": SHAPE,
    }
    resource = RoutePolicy.model_validate({"metadata": {"name": "p", "uid": "p"}, "spec": spec})
    return desired.route_policy(resource, RoutePolicyContext(settings))


@pytest.mark.parametrize(
    ("made", "plain"), [(model(), {"Secret"}), (policy(), {"Secret", "ServiceAccount"})], ids=["model", "policy"]
)
def test_no_annotation_reaches_what_holds_keys_or_is_somebody(made: list[dict[str, Any]], plain: set[str]) -> None:
    without = {
        child["kind"] for child in made if not ORDERS.keys() & (child["metadata"].get("annotations") or {}).keys()
    }
    assert without == plain
    assert all(child["metadata"]["labels"]["cost-center"] == "42" for child in made)
    full = [child for child in made if child["kind"] not in plain]
    assert all(child["metadata"]["annotations"].items() >= ORDERS.items() for child in full)


@pytest.mark.parametrize(
    ("patterns", "reach"),
    [
        (("corp.example/*",), {"corp.example/owner"}),
        (("corp.example/owner", "*/role-arn"), {"corp.example/owner", "eks.amazonaws.com/role-arn"}),
        (("corp.example", "owner", "CORP.example/*", "xcorp.example/*", "corp?example/*"), set()),
        (("*",), set(ORDERS)),
    ],
)
def test_an_administrator_names_those_that_reach_it(patterns: tuple[str, ...], reach: set[str]) -> None:
    settings = replace(SETTINGS, allowed_annotations=patterns)
    made = [child for child in (*model(settings), *policy(settings)) if child["kind"] in ("Secret", "ServiceAccount")]
    assert [child["kind"] for child in made] == ["Secret", "ServiceAccount", "Secret"]
    for child in made:
        assert ORDERS.keys() & (child["metadata"].get("annotations") or {}).keys() == reach
