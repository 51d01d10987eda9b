"""A cluster's nodes are read with what its pods have requested taken away."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from genset.api.quantity import parse_quantity
from genset.planning.errors import PlanError
from genset.sizing.nodes import Node, NodesError, from_kubernetes, minus

TIMEOUT_SECONDS = 60


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
    """Asks kubectl, which knows every way to log in that a kubeconfig may name."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise PlanError(
            "--context needs kubectl: install it, or give --nodes FILE with `kubectl get nodes -o yaml` of elsewhere"
        )
    command = [kubectl, "--context", context, "get", kind, *more, "-o", "json", "--request-timeout=30s"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise PlanError(f"the cluster of context {context} did not answer in {TIMEOUT_SECONDS} s") from error
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise PlanError(
            f"kubectl can't list the {kind} of context {context}: {words[-1] if words else 'no reason given'}"
        )
    items = json.loads(done.stdout).get("items")
    return items if isinstance(items, list) else []
