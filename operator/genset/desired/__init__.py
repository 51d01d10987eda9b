"""Desired state goes from (resource, context) to Kubernetes objects as dicts. Pure; one file per family of objects.

Objects come in the order in which they are worth applying. Every object has name, namespace, labels and the owner
reference of its resource, and values as the API server gives them back, so that in steady state nothing differs.
"""

from __future__ import annotations

from genset import kinds
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import (
    disruption_budget,
    joined,
    multi_node,
    network_policy,
    prefetch,
    router,
    service,
    site_objects,
    weights,
    workload,
)
from genset.desired.child import Child, ChildSet
from genset.desired.context import ModelDeploymentContext, Object, RoutePolicyContext, Settings
from genset.engines import managed_engine_of
from genset.kinds import Kind

#: What a ModelDeployment may have. A further child is a line here; one of a further kind is a line in `genset.kinds`
#: and its verbs in the chart, too.
MODEL_DEPLOYMENT: ChildSet[ModelDeployment, ModelDeploymentContext] = ChildSet(
    (
        Child(kinds.PVC, weights.claim),
        Child(kinds.CONFIG_MAP, site_objects.config_map),
        Child(kinds.CONFIG_MAP, joined.config_map),
        Child(kinds.SECRET, site_objects.secret),
        Child(kinds.NETWORK_POLICY, network_policy.for_engine),  # before the pods that it guards
        Child(kinds.NETWORK_POLICY, network_policy.for_download),
        Child(kinds.NETWORK_POLICY, network_policy.for_prefetch),
        Child(kinds.NETWORK_POLICY, network_policy.for_group),
        Child(kinds.SERVICE, service.of_model),
        Child(kinds.SERVICE, service.endpoints),
        Child(kinds.JOB, prefetch.job),
        Child(kinds.DEPLOYMENT, workload.deployment),
        Child(kinds.LEADER_WORKER_SET, multi_node.leader_worker_set),
        Child(kinds.DISRUPTION_BUDGET, disruption_budget.for_engine),
    )
)
#: What a RoutePolicy may have. Configuration comes before the pods that mount it.
ROUTE_POLICY: ChildSet[RoutePolicy, RoutePolicyContext] = ChildSet(
    (
        Child(kinds.SERVICE_ACCOUNT, router.service_account),
        Child(kinds.CONFIG_MAP, router.config_map),
        Child(kinds.SECRET, router.credentials),
        Child(kinds.SERVICE, router.service),
        Child(kinds.SERVICE, router.peers),
        Child(kinds.DEPLOYMENT, router.deployment),
        Child(kinds.DISRUPTION_BUDGET, disruption_budget.for_router),
        Child(kinds.NETWORK_POLICY, network_policy.for_router),
    )
)
#: Every kind of child, each once.
CHILD_KINDS: tuple[Kind, ...] = tuple(dict.fromkeys((*MODEL_DEPLOYMENT.kinds, *ROUTE_POLICY.kinds)))


def model_deployment(resource: ModelDeployment, context: ModelDeploymentContext) -> list[Object]:
    """Returns the children of a ModelDeployment; none if its engine runs elsewhere."""
    return MODEL_DEPLOYMENT.build(resource, context) if managed_engine_of(resource) is not None else []


def route_policy(resource: RoutePolicy, context: RoutePolicyContext) -> list[Object]:
    """Returns the children of a RoutePolicy."""
    return ROUTE_POLICY.build(resource, context)


__all__ = [
    "CHILD_KINDS",
    "MODEL_DEPLOYMENT",
    "ROUTE_POLICY",
    "ModelDeploymentContext",
    "Object",
    "RoutePolicyContext",
    "Settings",
    "model_deployment",
    "route_policy",
]
