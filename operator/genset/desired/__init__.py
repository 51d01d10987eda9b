"""Desired state: (resource, context) -> Kubernetes objects as dicts. Pure; one file per family of objects.

Objects come in the order in which they are worth applying. Every object has name, namespace, labels and the owner
reference of its resource, and values as the API server gives them back, so that in steady state nothing differs.
"""

from __future__ import annotations

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import disruption_budget, network_policy, router, service, weights, workload
from genset.desired.context import ModelDeploymentContext, Object, RoutePolicyContext, Settings
from genset.engines import managed_engine_of

#: (apiVersion, kind) of everything that is or was ever made: what is listed, watched and pruned.
CHILD_KINDS: tuple[tuple[str, str], ...] = (
    ("v1", "ConfigMap"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
)


def model_deployment(resource: ModelDeployment, context: ModelDeploymentContext) -> list[Object]:
    """Children of a ModelDeployment; none for an engine that runs elsewhere."""
    engine = managed_engine_of(resource)
    if engine is None:
        return []
    objects: list[Object] = []
    if (claim := weights.claim(resource)) is not None:
        objects.append(claim)
    if context.settings.network_policies:
        objects.append(network_policy.for_engine(resource, context.settings))  # before the pods that it guards
    objects += service.services(resource)
    objects.append(workload.deployment(resource, engine, context))
    objects.append(disruption_budget.for_engine(resource))
    return objects


def route_policy(resource: RoutePolicy, context: RoutePolicyContext) -> list[Object]:
    """Children of a RoutePolicy."""
    return router.children(resource, context)


__all__ = [
    "CHILD_KINDS",
    "ModelDeploymentContext",
    "Object",
    "RoutePolicyContext",
    "Settings",
    "model_deployment",
    "route_policy",
]
