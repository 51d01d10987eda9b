"""Which way out a router gets for its traces, by how the collector is named."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.routepolicy import RoutePolicy
from genset.desired import network_policy
from genset.desired.context import RoutePolicyContext, Settings


def egress(endpoint: str | None, *, leaves: bool = False) -> list[dict[str, Any]]:
    cloud = {"cloud": {"provider": "openAICompatible", "model": "m", "baseURL": "http://g/v1"}}
    backend = {"name": "b", **(cloud if leaves else {"deployment": {"name": "d"}})}
    spec: dict[str, Any] = {"backends": [backend], "routes": [{"name": "r", "tiers": [{"backends": [{"name": "b"}]}]}]}
    if endpoint is not None:
        spec["router"] = {"telemetry": {"otlpEndpoint": endpoint}}
    metadata = {"name": "p", "namespace": "models", "uid": "1"}
    document = {"apiVersion": "genset.dev/v1alpha1", "kind": "RoutePolicy", "metadata": metadata, "spec": spec}
    policy = RoutePolicy.model_validate(document)
    made = network_policy.for_router(policy, RoutePolicyContext(Settings(image="i")))
    assert made is not None
    rules: list[dict[str, Any]] = made["spec"]["egress"]
    return rules


INSIDE = egress(None)
OBSERVABILITY = {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}]}


def tcp(port: int) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("endpoint", "rule"),
    [
        ("http://collector:4318", {"to": [{"podSelector": {}}]}),
        ("http://c.observability.svc:4318", OBSERVABILITY),
        ("https://c.observability.svc.cluster.local/x", OBSERVABILITY),
        ("http://10.1.2.3:4318", {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": tcp(4318)}),
        ("https://traces.example.com", {"ports": tcp(443)}),
        ("http://traces.example.com/otlp", {"ports": tcp(80)}),
    ],
)
def test_the_collector_can_be_reached_and_nothing_else(endpoint: str, rule: dict[str, Any]) -> None:
    assert egress(endpoint) == [*INSIDE, rule]


def test_a_router_that_leaves_the_cluster_needs_no_further_rule() -> None:
    assert egress("http://collector:4318", leaves=True) == [{}]
