"""The cache is the volume that keeps downloaded weights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genset.api.base import ApiModel, CelRule, Quantity, rules
from genset.api.bounds import at_least

SIZE_LEAST = "1Mi"  # no model is smaller


@rules(
    CelRule(
        "has(self.storageClassName) == has(oldSelf.storageClassName) && "
        "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName) && "
        "self.accessMode == oldSelf.accessMode",
        "cache.storageClassName and cache.accessMode cannot change once set: a volume keeps them for life; make a new "
        "ModelDeployment, or remove cache first and add it again",
    ),
    at_least("cache.size", SIZE_LEAST, gibi_below=1000),
)
class Cache(ApiModel):
    """A PersistentVolumeClaim for downloaded weights. Without it each pod downloads into its own scratch space."""

    size: Quantity = Field(description="Size of the volume, e.g. 20Gi. Leave room for the file and its download.")
    storage_class_name: str | None = Field(
        default=None, min_length=1, max_length=253, description="Storage class. Default: the cluster's."
    )
    retain: bool = Field(
        default=False,
        description="Keep the volume when the ModelDeployment is deleted: it has no owner then, and is taken over when a "
        "ModelDeployment of this name is made again.",
    )
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] = Field(
        default="ReadWriteOnce", description="ReadWriteMany lets replicas on several nodes share one download."
    )
