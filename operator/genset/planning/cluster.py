"""A cluster's nodes are read with what its pods have requested taken away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from genset.api.quantity import parse_quantity
from genset.kubectl import KubectlError, kubectl
from genset.planning.errors import PlanError
from genset.sizing.nodes import Node, NodesError, from_kubernetes, minus


def nodes(context: str) -> list[Node]:
    """Returns the nodes of the cluster that a context of the kubeconfig names."""
    found = [from_item(item) for item in _get(context, "nodes")]
    pods = _get(context, "pods", "--all-namespaces")
    return free(found, pods)


def from_item(item: Mapping[str, Any]) -> Node:
    try:
        return from_kubernetes(item)
    except NodesError as error:
        raise PlanError(str(error)) from error


def free(every: Iterable[Node], pods: Iterable[Mapping[str, Any]]) -> list[Node]:
    """Returns the nodes less what their running and starting pods have requested."""
    taken: dict[str, dict[str, Decimal]] = {}
    for pod in pods:
        node = (pod.get("spec") or {}).get("nodeName")
        if node and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            sums = taken.setdefault(node, {})
            for name, amount in requested(pod["spec"]).items():
                sums[name] = sums.get(name, Decimal()) + amount
    return [_less(node, taken[node.name]) if node.name in taken else node for node in every]


def requested(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """Returns what a node reckons for a pod, as kube-scheduler does (resource/helpers.go).

    Containers run together, and with them sidecars, which are init containers that are started again. Each other init container
    runs alone with the sidecars before it: the most of all counts. What a pod asks for as a whole comes first, and what its
    runtime takes comes on top.
    """
    together: dict[str, Decimal] = {}
    most: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        alone = _added(together, _requests(container))
        if container.get("restartPolicy") == "Always":
            together = alone
        most = {name: max(amount, most.get(name, Decimal())) for name, amount in {**most, **alone}.items()}
    for container in spec.get("containers") or ():
        together = _added(together, _requests(container))
    found = {name: max(together.get(name, Decimal()), most.get(name, Decimal())) for name in together | most}
    return _added(found | _requests(spec), _quantities(spec.get("overhead")))


def _requests(of: Mapping[str, Any]) -> dict[str, Decimal]:
    return _quantities((of.get("resources") or {}).get("requests"))


def _quantities(given: Mapping[str, Any] | None) -> dict[str, Decimal]:
    return {name: parse_quantity(str(amount)) for name, amount in (given or {}).items()}


def _added(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: one.get(name, Decimal()) + other.get(name, Decimal()) for name in {**one, **other}}


def _less(node: Node, taken: Mapping[str, Decimal]) -> Node:
    devices = {name: int(amount) for name, amount in taken.items() if "/" in name}
    return minus(node, float(taken.get("cpu", 0)), int(taken.get("memory", 0)), devices)


def _get(context: str, kind: str, *more: str) -> list[dict[str, Any]]:
    missing = "--context needs kubectl: install it, or give --nodes FILE with `kubectl get nodes -o yaml` of elsewhere"
    what, cluster = f"kubectl can't list the {kind} of context {context}", f"the cluster of context {context}"
    try:
        told = kubectl("get", kind, *more, "-o", "json", missing=missing, what=what, cluster=cluster, context=context)
    except KubectlError as error:
        raise PlanError(str(error)) from error
    items = json.loads(told).get("items")
    return items if isinstance(items, list) else []
