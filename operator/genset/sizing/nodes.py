"""Nodes are read from what Kubernetes says of them: allocatable resources and the labels of the vendors' own plugins.

Labels: NVIDIA gpu-feature-discovery (`nvidia.com/gpu.memory` in MiB, `.product`, `.replicas`), AMD's node labeller
(`amd.com/gpu.vram`, "64G"), Intel's through NFD (`gpu.intel.com/memory.max`, bytes). A plain list will do, too:

    - {name: office-1, cpu: 8, memory: 32Gi}
    - {name: gpu-1, cpu: 32, memory: 256Gi, accelerator: {vendor: nvidia, count: 2, memory: 80Gi, product: H100}}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from genset.api.quantity import parse_quantity

MIB, GIB = 2**20, 2**30
VENDORS = ("nvidia", "amd", "intel")
_MIG = re.compile(r"^nvidia\.com/mig-\d+g\.(\d+)gb")
_KEYS = {"name", "cpu", "memory", "accelerator"}
_ACCELERATOR_KEYS = {"vendor", "count", "memory", "product", "resource"}


class NodesError(ValueError):
    """A document tells of no nodes. The message names the node, the field and the remedy."""


@dataclass(frozen=True)
class Accelerators:
    """The accelerators of a node: of one kind, by the extended resource that pods ask for. `memory`: bytes of each."""

    vendor: str
    count: int
    memory: int
    product: str = ""
    resource: str = ""


@dataclass(frozen=True)
class Node:
    """A node is what its pods may use: cores, bytes of memory, accelerators."""

    name: str
    cpu: float
    memory: int
    accelerators: tuple[Accelerators, ...] = ()
    architecture: str = ""
    ready: bool = True


def from_document(document: Any) -> list[Node]:
    """Returns the nodes of a parsed YAML or JSON document: a Node, a List of Nodes, or the plain list above."""
    if isinstance(document, Mapping) and str(document.get("kind", "")).endswith("List"):
        items = document.get("items")
        return [from_kubernetes(item) for item in items] if isinstance(items, list) else []
    if isinstance(document, Mapping) and document.get("kind") == "Node":
        return [from_kubernetes(document)]
    if isinstance(document, list):
        return [
            from_kubernetes(item) if isinstance(item, Mapping) and item.get("kind") == "Node" else _plain(item, number)
            for number, item in enumerate(document, 1)
        ]
    raise NodesError(
        "no nodes in it: give the output of `kubectl get nodes -o yaml`, or a list such as "
        "`- {name: office-1, cpu: 8, memory: 32Gi}`"
    )


def from_kubernetes(item: Any) -> Node:
    """Returns a node from its Kubernetes object."""
    if not isinstance(item, Mapping) or item.get("kind", "Node") != "Node":
        raise NodesError(f"an item is no Node but {_kind(item)}: give the output of `kubectl get nodes -o yaml`")
    metadata, status = _mapping(item.get("metadata")), _mapping(item.get("status"))
    name = str(metadata.get("name", "")) or "a node without a name"
    allocatable = _mapping(status.get("allocatable")) or _mapping(status.get("capacity"))
    labels = {str(key): str(value) for key, value in _mapping(metadata.get("labels")).items()}
    given = status.get("conditions")
    conditions = [_mapping(one) for one in given] if isinstance(given, list) else []
    unschedulable = bool(_mapping(item.get("spec")).get("unschedulable"))
    ready = all(one.get("status") == "True" for one in conditions if one.get("type") == "Ready") and not unschedulable
    return Node(
        name=name,
        cpu=float(_quantity(name, "status.allocatable.cpu", allocatable.get("cpu", "0"))),
        memory=int(_quantity(name, "status.allocatable.memory", allocatable.get("memory", "0"))),
        accelerators=tuple(_accelerators(name, allocatable, labels)),
        architecture=labels.get("kubernetes.io/arch", ""),
        ready=ready,
    )


def minus(node: Node, cpu: float, memory: int, devices: Mapping[str, int]) -> Node:
    """Returns the node with what other pods have requested taken away; `devices` by extended resource."""
    left = tuple(replace(one, count=max(0, one.count - devices.get(one.resource, 0))) for one in node.accelerators)
    return replace(node, cpu=max(0.0, node.cpu - cpu), memory=max(0, node.memory - memory), accelerators=left)


def _accelerators(name: str, allocatable: Mapping[str, Any], labels: Mapping[str, str]) -> Iterable[Accelerators]:
    for resource, amount in allocatable.items():
        resource = str(resource)
        vendor = _vendor(resource)
        if vendor is None:
            continue
        count = int(_quantity(name, f"status.allocatable[{resource}]", amount))
        if count:
            product = _product(vendor, labels)
            yield Accelerators(vendor, count, _device_memory(vendor, resource, labels), product, resource)


def _vendor(resource: str) -> str | None:
    if resource in ("nvidia.com/gpu", "nvidia.com/gpu.shared") or _MIG.match(resource):
        return "nvidia"
    if resource == "amd.com/gpu" or re.match(r"^amd\.com/[a-z]+_nps\d$", resource):
        return "amd"
    return "intel" if resource in ("gpu.intel.com/i915", "gpu.intel.com/xe") else None


def _device_memory(vendor: str, resource: str, labels: Mapping[str, str]) -> int:
    """Returns the bytes of one device as a pod gets it; 0 if no label tells."""
    if found := _MIG.match(resource):
        return int(found[1]) * GIB
    if vendor == "nvidia":
        shared = max(1, _integer(labels.get("nvidia.com/gpu.replicas", "1"))) if _is_shared(labels) else 1
        return _integer(labels.get("nvidia.com/gpu.memory", "0")) * MIB // shared
    if vendor == "amd":
        text = labels.get("amd.com/gpu.vram") or labels.get("beta.amd.com/gpu.vram") or "0"
        return _integer(text.rstrip("GgIiBb")) * GIB
    return _integer(labels.get("gpu.intel.com/memory.max", "0"))


def _is_shared(labels: Mapping[str, str]) -> bool:
    strategy = labels.get("nvidia.com/gpu.sharing-strategy", "none")
    return strategy not in ("", "none") or labels.get("nvidia.com/gpu.product", "").endswith("-SHARED")


def _product(vendor: str, labels: Mapping[str, str]) -> str:
    names = {
        "nvidia": ("nvidia.com/gpu.product",),
        "amd": ("amd.com/gpu.product-name", "beta.amd.com/gpu.product-name"),
        "intel": ("gpu.intel.com/product", "gpu.intel.com/family"),
    }[vendor]
    return next((labels[name] for name in names if name in labels), "")


def _plain(item: Any, number: int) -> Node:
    if not isinstance(item, Mapping) or not item.get("name"):
        raise NodesError(f"node {number} of the list has no name: write {{name: office-1, cpu: 8, memory: 32Gi}}")
    name = str(item["name"])
    if unknown := sorted(set(item) - _KEYS):
        raise NodesError(f"node {name}: {unknown[0]} is unknown; a node has {', '.join(sorted(_KEYS))}")
    given = item.get("accelerator")
    return Node(
        name=name,
        cpu=float(_quantity(name, "cpu", item.get("cpu", "0"))),
        memory=int(_quantity(name, "memory", item.get("memory", "0"))),
        accelerators=(_plain_accelerators(name, given),) if given else (),
    )


def _plain_accelerators(name: str, given: Any) -> Accelerators:
    if not isinstance(given, Mapping) or set(given) - _ACCELERATOR_KEYS:
        raise NodesError(f"node {name}: accelerator has {', '.join(sorted(_ACCELERATOR_KEYS))}, and nothing else")
    vendor = str(given.get("vendor", "nvidia"))
    if vendor not in VENDORS:
        raise NodesError(f"node {name}: accelerator.vendor is {vendor}; use {', '.join(VENDORS)}")
    return Accelerators(
        vendor=vendor,
        count=int(_quantity(name, "accelerator.count", given.get("count", 1))),
        memory=int(_quantity(name, "accelerator.memory", given.get("memory", "0"))),
        product=str(given.get("product", "")),
        resource=str(given.get("resource", "")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _quantity(name: str, field: str, value: Any) -> Any:
    try:
        return parse_quantity(str(value))
    except ValueError as error:
        raise NodesError(f"node {name}: {field}: {error}") from error


def _integer(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _kind(item: Any) -> str:
    return str(item.get("kind", "something without a kind")) if isinstance(item, Mapping) else "something else"
