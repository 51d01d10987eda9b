"""A node that does not answer is an outage of the policies whose models or routers stood there. Pure.

Routers see its replicas go within seconds, and tell the house if all of them are gone. Kubernetes calls a node lost after most of
a minute; then the node is told, and no longer the house that it took along: one cause is told once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy_status import Outage, OutageReason, OutageScope
from genset.status.conditions import clip
from genset.status.outage_words import effect, listed
from genset.status.outline import Outline
from genset.status.pod import PodView


def gone(policy: Outline, deployments: Mapping[str, ModelDeployment]) -> set[str]:
    """Returns the backends that have no replica left because of lost nodes."""
    lost = {name for name, found in deployments.items() if _lost_nodes(found) and not _replicas(found)}
    return {backend.name for backend in policy.backends if backend.deployment in lost}


def told(
    policy: Outline,
    deployments: Mapping[str, ModelDeployment],
    pods: Iterable[PodView],
    down: Collection[str],
    now: str,
) -> list[Outage]:
    """Returns an outage for each lost node, by name. `pods` are the routers', `down` all backends that cannot answer now."""
    routers = [pod for pod in pods if pod.lost]
    nodes = {node for found in deployments.values() for node in _lost_nodes(found)}.union(pod.node for pod in routers)
    before = {outage.node: outage.since for outage in policy.known if outage.scope is OutageScope.NODE}
    without = gone(policy, deployments)
    made = []
    for node in sorted(nodes):
        there = [
            backend.name
            for backend in policy.backends
            if (found := deployments.get(backend.deployment)) is not None and node in _lost_nodes(found)
        ]
        stood = [listed("backend", there)] if there else []
        if count := sum(pod.node == node for pod in routers):
            stood.append(f"{count} router{'s' if count != 1 else ''}")
        message = (
            f"Node {node} does not answer; on it stood replicas of {' and '.join(stood)}. "
            f"{_effect(policy, deployments, there, without, down)}Look at the node (kubectl describe node {node}). If it "
            "stays away, delete it, and its pods are made anew where there is room"
        )
        made.append(
            Outage(
                scope=OutageScope.NODE,
                node=node,
                backends=there or None,
                reason=OutageReason.NODE_DOWN,
                message=clip(message),
                since=before.get(node, now),
            )
        )
    return made


def _effect(
    policy: Outline,
    deployments: Mapping[str, ModelDeployment],
    there: Collection[str],
    without: Collection[str],
    down: Collection[str],
) -> str:
    """Says who answers in place of those that stood on the node."""
    said = []
    for backend in policy.backends:
        if backend.name in there and backend.name not in without:
            left = _replicas(deployments[backend.deployment])
            said.append(f"Of {backend.name} {left} replica{' is' if left == 1 else 's are'} left. ")
    if stranded := [name for name in there if name in without]:
        said.append(f"{effect(policy, stranded, down)} ")
    return "".join(said)


def _lost_nodes(found: ModelDeployment) -> list[str]:
    return (found.status.lost_nodes if found.status is not None else None) or []


def _replicas(found: ModelDeployment) -> int:
    return sum(place.replicas for place in (found.status.capacity if found.status is not None else None) or ())
