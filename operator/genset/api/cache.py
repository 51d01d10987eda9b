"""The cache is the volume that keeps downloaded weights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genset.api.base import LATER, ApiModel, CelRule, Name, Quantity, rules
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
    CelRule(
        "has(self.size) != has(self.claimName)",
        "cache needs either size, for a volume of its own, or claimName, for a PersistentVolumeClaim that is there",
        lambda cache: (cache.size is None) != (cache.claim_name is None),
    ),
    CelRule(
        "!has(self.claimName) || !(has(self.storageClassName) || (has(self.retain) && self.retain))",
        "cache.storageClassName and retain are of a volume that is made; the one of cache.claimName has its own, and stays: "
        "remove them",
        lambda cache: cache.claim_name is None or (cache.storage_class_name is None and not cache.retain),
    ),
    at_least("cache.size", SIZE_LEAST, gibi_below=1000, optional=True),
)
class Cache(ApiModel):
    """A PersistentVolumeClaim for downloaded weights. Without it each pod downloads into its own scratch space."""

    size: Quantity | None = Field(
        default=None, description="Size of the volume, e.g. 20Gi. Leave room for the file and its download."
    )
    claim_name: Name | None = Field(
        default=None,
        description="A PersistentVolumeClaim that is there already, in place of one of its own: deployments that name the "
        "same one download the same source once. Say in accessMode what it is; it is neither made nor removed. The one that "
        "size made before stays while it is named here, and goes with this resource.",
    )
    storage_class_name: str | None = Field(
        default=None, min_length=1, max_length=253, description="Storage class. Default: the cluster's."
    )
    retain: bool = Field(
        default=False,
        description="Keep the volume when the ModelDeployment is deleted: it has no owner then, and is taken over when a "
        "ModelDeployment of this name is made again.",
        json_schema_extra=LATER,
    )
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] = Field(
        default="ReadWriteOnce", description="ReadWriteMany lets replicas on several nodes share one download."
    )
