"""Accelerators of a replica: whose they are, how many, and which ones, by the names and labels of the vendors' own plugins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field

from genset.api.base import ApiModel, CelRule, Quantity, rules
from genset.api.bounds import at_least

Vendor = Literal["nvidia", "amd", "intel"]
#: What images of an engine may be for: cores alone, or a vendor's accelerators.
VENDORS: tuple[str, ...] = ("cpu", *get_args(Vendor))
#: Extended resource of a whole accelerator, which is the key of its nodes' taint, too: NVIDIA k8s-device-plugin, ROCm
#: k8s-device-plugin, Intel device plugins (i915 is the driver of most data-centre cards).
RESOURCES: Mapping[str, str] = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "intel": "gpu.intel.com/i915"}
_NVIDIA = r"nvidia\.com/(gpu|gpu\.shared|mig-[0-9]+g\.[0-9]+gb(\.[a-z0-9.]+)?)"
_RESOURCE = rf"^({_NVIDIA}|amd\.com/[a-z0-9_]+|gpu\.intel\.com/(i915|xe))$"
_DOMAINS = {"nvidia": "nvidia.com/", "amd": "amd.com/", "intel": "gpu.intel.com/"}
MEMORY_LEAST = "1Gi"
LABEL_VALUE = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
Product = Annotated[str, Field(pattern=LABEL_VALUE, max_length=63, examples=["NVIDIA-H100-80GB-HBM3"])]

_VENDOR = "(has(self.vendor) ? self.vendor : 'nvidia')"
_COUNT = "(has(self.count) ? self.count : 1)"


@rules(
    CelRule(
        "!has(self.resource) || self.resource.startsWith("
        f"{_VENDOR} == 'nvidia' ? 'nvidia.com/' : {_VENDOR} == 'amd' ? 'amd.com/' : 'gpu.intel.com/')",
        "accelerator.resource is another vendor's: correct it, or accelerator.vendor",
        lambda own: own.resource is None or own.resource.startswith(_DOMAINS[own.vendor]),
    ),
    CelRule(
        f"!has(self.resource) || !self.resource.matches('mig-|shared$') || {_COUNT} == 1",
        "accelerator.count must be 1 with a part of a GPU (MIG, time slices): one process uses one MIG device, and more slices "
        "give no more of it",
        lambda own: own.resource is None or not re.search("mig-|shared$", own.resource) or own.count == 1,
    ),
    CelRule(
        f"!has(self.memory) || ({_VENDOR} == 'nvidia' && !has(self.resource))",
        "accelerator.memory follows a label that only whole NVIDIA GPUs have (nvidia.com/gpu.memory): name accelerator.products "
        "instead, or the part of a GPU in accelerator.resource",
        lambda own: own.memory is None or (own.vendor == "nvidia" and own.resource is None),
    ),
    CelRule(
        "!has(self.claimTemplate) || (!has(self.resource) && !has(self.products) && !has(self.memory))",
        "accelerator.claimTemplate says itself which devices are wanted: remove accelerator.resource, products and memory",
        lambda own: own.claim_template is None or not (own.resource or own.products or own.memory),
    ),
    at_least("accelerator.memory", MEMORY_LEAST, gibi_below=512, optional=True),
)
class Accelerator(ApiModel):
    """GPUs of one replica. Without it the model runs on CPU cores."""

    vendor: Vendor = Field(default="nvidia", description="Decides the extended resource and the engine's image.")
    count: int = Field(default=1, ge=1, le=16, description="GPUs for each replica.")
    resource: str | None = Field(
        default=None,
        pattern=_RESOURCE,
        max_length=63,
        examples=["nvidia.com/mig-3g.40gb"],
        description="Extended resource to ask for instead of the vendor's usual one (nvidia.com/gpu, amd.com/gpu, "
        "gpu.intel.com/i915): a MIG device (nvidia.com/mig-3g.40gb), a time slice (nvidia.com/gpu.shared), a partition "
        "(amd.com/cpx_nps4), a card with the xe driver (gpu.intel.com/xe).",
    )
    products: list[Product] | None = Field(
        default=None,
        max_length=16,
        description="Only nodes with one of these products, as the vendor's labels name them (nvidia.com/gpu.product, "
        "amd.com/gpu.product-name, gpu.intel.com/product).",
    )
    memory: Quantity | None = Field(
        default=None,
        description="Only nodes whose GPUs have at least so much memory each (label nvidia.com/gpu.memory).",
    )
    claim_template: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        max_length=253,
        examples=["two-h100"],
        description="ResourceClaimTemplate of the namespace by which pods get their devices (dynamic resource allocation), "
        "instead of an extended resource. count is then the number of devices that it gives.",
    )
    runtime_class: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        max_length=253,
        examples=["nvidia"],
        description="RuntimeClass of the pods, where the vendor's runtime is not the nodes' default.",
    )

    @property
    def resource_name(self) -> str:
        """Returns the extended resource that pods ask for; "" with a claim."""
        return "" if self.claim_template is not None else self.resource or RESOURCES[self.vendor]
