"""status.capacity says where ready replicas are, and what they can do at once. Pure."""

from __future__ import annotations

from collections import Counter

from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import PlaceStatus
from genset.engines import managed_engine_of
from genset.names import COMPONENT_WORKER, LABEL_COMPONENT
from genset.status.observed import ModelDeploymentObserved


def status(resource: ModelDeployment, observed: ModelDeploymentObserved) -> list[PlaceStatus] | None:
    """Returns what the ready replicas on each node can do, by name of the node; None if there are none of ours."""
    if managed_engine_of(resource) is None:
        return None
    ready = [pod for pod in observed.pods if pod.ready and pod.labels.get(LABEL_COMPONENT) != COMPONENT_WORKER]
    replicas = Counter(pod.node for pod in ready if pod.node)
    slots = resource.spec.context.parallel
    return [
        PlaceStatus(node=node, replicas=count, slots=count * slots) for node, count in sorted(replicas.items())
    ] or None
