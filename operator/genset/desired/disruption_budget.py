"""PodDisruptionBudgets: a node drain takes one replica at a time.

`maxUnavailable: 1` and not `minAvailable`: with a single replica the latter would block every node drain for ever,
while the former lets it go (a router then uses the next tier). Pods that are broken anyway never stand in the way.
The same object for every number of replicas, so scaling changes nothing here.
"""

from __future__ import annotations

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import metadata
from genset.engines.base import Object

_API = "policy/v1"
_KIND = "PodDisruptionBudget"


def for_engine(resource: ModelDeployment) -> Object:
    """The budget of a ModelDeployment's pods."""
    name = resource.metadata.name
    return metadata.engine_child(resource, _API, _KIND, name, spec=_spec(metadata.engine_selector(name)))


def for_router(resource: RoutePolicy) -> Object:
    """The budget of a RoutePolicy's router pods."""
    name = resource.metadata.name
    return metadata.router_child(
        resource, _API, _KIND, metadata.router(name), spec=_spec(metadata.router_selector(name))
    )


def _spec(selector: dict[str, str]) -> Object:
    return {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
