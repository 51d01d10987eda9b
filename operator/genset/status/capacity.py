"""status.capacity says where ready replicas are, what they can do at once, and how fast they write. Pure.

A pace is one slot's, in tokens a second: as routers see it under traffic, or else as the completion measured it that proved the
pod. What was told before stays while a new measure is like it, and while there is none, so that a steady world is never written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import PlaceStatus
from genset.engines import managed_engine_of
from genset.names import COMPONENT_WORKER, LABEL_COMPONENT
from genset.status.pod import PodView

ALIKE: Final = 0.3  # of a pace, by which another one is no news


def status(resource: ModelDeployment, pods: Iterable[PodView], paces: Mapping[str, float]) -> list[PlaceStatus] | None:
    """Returns what the ready replicas on each node can do, by name of the node; None if there are none of ours."""
    if managed_engine_of(resource) is None:
        return None
    told = resource.status.capacity if resource.status is not None else None
    before = {place.node: place.tokens_per_second for place in told or ()}
    nodes: defaultdict[str, list[PodView]] = defaultdict(list)
    for pod in pods:
        if pod.ready and pod.node and pod.labels.get(LABEL_COMPONENT) != COMPONENT_WORKER:
            nodes[pod.node].append(pod)
    slots = resource.spec.context.parallel
    return [
        PlaceStatus(
            node=node,
            replicas=len(there),
            slots=len(there) * slots,
            tokens_per_second=_pace(there, paces, before, node),
        )
        for node, there in sorted(nodes.items())
    ] or None


def lost_nodes(pods: Iterable[PodView], wanted: int | None) -> list[str] | None:
    """Returns the nodes that do not answer, with pods of ours on them, for as long as fewer replicas are ready than wanted."""
    found = [pod for pod in pods if pod.labels.get(LABEL_COMPONENT) != COMPONENT_WORKER]
    if sum(pod.ready for pod in found) >= (wanted or 0):
        return None
    return sorted({pod.node for pod in found if pod.lost}) or None


def _pace(
    pods: Iterable[PodView], paces: Mapping[str, float], before: Mapping[str, int | None], node: str
) -> int | None:
    """Returns how fast one slot there writes. Of a node where nothing was measured: as the slowest of the others."""
    known = before.get(node)
    measured = [paces[pod.name] for pod in pods if pod.name in paces]
    others = [pace for pace in before.values() if pace is not None]
    seen = paces.get("") or min(measured, default=0.0)
    if not seen:
        return known if known is not None else min(others, default=None)
    return known if known is not None and abs(seen - known) <= max(ALIKE * known, 1) else _two_digits(seen)


def _two_digits(pace: float) -> int:
    return max(1, int(float(f"{pace:.2g}")))
