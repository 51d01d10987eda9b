"""Accelerators in a pod: the extended resource or the claim, tolerations, and the nodes that will do, by documented labels.

Labels: NVIDIA gpu-feature-discovery (nvidia.com/gpu.product, .memory in MiB), AMD's node labeller (amd.com/gpu.product-name),
Intel's through NFD (gpu.intel.com/product), NFD's own of CPUs (feature.node.kubernetes.io/cpu-cpuid.NAME).
"""

from __future__ import annotations

from genset.api.accelerator import RESOURCES, Accelerator
from genset.api.modeldeployment import Resources
from genset.api.quantity import whole
from genset.engines.base import Object

CLAIM = "accelerator"  # name of the claim in the pod
MIB = 2**20
_PRODUCT = {"nvidia": "nvidia.com/gpu.product", "amd": "amd.com/gpu.product-name", "intel": "gpu.intel.com/product"}
_MEMORY = "nvidia.com/gpu.memory"
_CPUID = "feature.node.kubernetes.io/cpu-cpuid."


def amounts(accelerator: Accelerator | None) -> dict[str, str]:
    """Returns what a container asks for as extended resources."""
    if accelerator is None or not accelerator.resource_name:
        return {}
    return {accelerator.resource_name: str(accelerator.count)}


def claims(accelerator: Accelerator | None) -> Object:
    """Returns what a container's resources say of claims."""
    return {"claims": [{"name": CLAIM}]} if accelerator is not None and accelerator.claim_template is not None else {}


def of_pod(resources: Resources) -> Object:
    """Returns the fields of a pod's spec that bring it to the right nodes, but for its affinity."""
    accelerator, selector = resources.accelerator, _selector(resources)
    found: Object = {"nodeSelector": selector} if selector else {}
    if accelerator is None:
        return found
    found["tolerations"] = [
        {"key": key, "operator": "Exists", "effect": "NoSchedule"}
        for key in dict.fromkeys((RESOURCES[accelerator.vendor], accelerator.resource_name))
        if key
    ]
    if accelerator.claim_template is not None:
        found["resourceClaims"] = [{"name": CLAIM, "resourceClaimTemplateName": accelerator.claim_template}]
    if accelerator.runtime_class is not None:
        found["runtimeClassName"] = accelerator.runtime_class
    return found


def node_affinity(accelerator: Accelerator | None) -> Object:
    """Returns the affinity to nodes with such accelerators; empty if all will do."""
    wanted: list[Object] = []
    if accelerator is not None and accelerator.products:
        wanted.append({"key": _PRODUCT[accelerator.vendor], "operator": "In", "values": list(accelerator.products)})
    if accelerator is not None and accelerator.memory is not None:
        least = -(-whole(accelerator.memory) // MIB)
        wanted.append({"key": _MEMORY, "operator": "Gt", "values": [str(least - 1)]})
    if not wanted:
        return {}
    terms = {"nodeSelectorTerms": [{"matchExpressions": wanted}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _selector(resources: Resources) -> dict[str, str]:
    found = {"kubernetes.io/arch": resources.architecture} if resources.architecture is not None else {}
    return found | {f"{_CPUID}{feature}": "true" for feature in resources.cpu_features or ()}
