"""PodDisruptionBudgets let a node drain take one replica at a time.

`maxUnavailable: 1` and not `minAvailable`: with a single replica the latter would block every node drain for ever,
while the former lets it go (a router then uses the next tier). Pods that are broken anyway never stand in the way.
The same object for every number of replicas, so scaling changes nothing here.
"""

from __future__ import annotations

from genset import kinds
from genset.api.children import DisruptionBudget
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import metadata
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext
from genset.engines.base import Object


def for_engine(resource: ModelDeployment, _: ModelDeploymentContext) -> Object | None:
    """Makes the budget of a ModelDeployment's pods; None if none is wanted."""
    if resource.spec.disruption_budget is DisruptionBudget.NONE:
        return None
    name = resource.metadata.name
    return metadata.engine_child(resource, kinds.DISRUPTION_BUDGET, name, spec=_spec(metadata.engine_selector(name)))


def for_router(resource: RoutePolicy, _: RoutePolicyContext) -> Object | None:
    """Makes the budget of a RoutePolicy's router pods; None if none is wanted."""
    if resource.spec.router.disruption_budget is DisruptionBudget.NONE:
        return None
    name = resource.metadata.name
    return metadata.router_child(
        resource, kinds.DISRUPTION_BUDGET, metadata.router(name), spec=_spec(metadata.router_selector(name))
    )


def _spec(selector: dict[str, str]) -> Object:
    return {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
