"""A cluster's nodes are read with what its pods have requested taken away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
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
    taken: dict[str, tuple[float, int, dict[str, int]]] = {}
    for pod in pods:
        node = (pod.get("spec") or {}).get("nodeName")
        if not node or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            continue
        cpu, memory, devices = taken.get(node, (0.0, 0, {}))
        for container in pod["spec"].get("containers") or []:
            requests = (container.get("resources") or {}).get("requests") or {}
            cpu += float(parse_quantity(str(requests.get("cpu", "0"))))
            memory += int(parse_quantity(str(requests.get("memory", "0"))))
            for name, amount in requests.items():
                if "/" in name:
                    devices[name] = devices.get(name, 0) + int(parse_quantity(str(amount)))
        taken[node] = (cpu, memory, devices)
    return [minus(node, *taken[node.name]) if node.name in taken else node for node in every]


def _get(context: str, kind: str, *more: str) -> list[dict[str, Any]]:
    missing = "--context needs kubectl: install it, or give --nodes FILE with `kubectl get nodes -o yaml` of elsewhere"
    what, cluster = f"kubectl can't list the {kind} of context {context}", f"the cluster of context {context}"
    try:
        told = kubectl("get", kind, *more, "-o", "json", missing=missing, what=what, cluster=cluster, context=context)
    except KubectlError as error:
        raise PlanError(str(error)) from error
    items = json.loads(told).get("items")
    return items if isinstance(items, list) else []
