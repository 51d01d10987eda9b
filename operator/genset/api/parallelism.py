"""Parallelism says how one replica splits its model over its accelerators."""

from __future__ import annotations

from pydantic import Field

from genset.api.base import LATER, ApiModel, CelRule


class Parallelism(ApiModel):
    """How a model is split over the accelerators of one replica: tensor x pipeline of them, the same number on each node."""

    tensor: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Accelerators that share each layer. It must divide the model's attention heads.",
    )
    pipeline: int = Field(
        default=1, ge=1, le=16, description="Groups of accelerators that hold layers one after the other."
    )
    nodes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Pods of one replica, each with resources of its own. More than one needs the LeaderWorkerSet controller "
        "(leaderworkerset.x-k8s.io) in the cluster.",
        json_schema_extra=LATER,
    )


#: A rule over the whole spec: all accelerators of a replica are used, and no more.
PARALLELISM_RULE = CelRule(
    "!has(self.parallelism) || (has(self.resources) && has(self.resources.accelerator) && "
    "self.parallelism.tensor * self.parallelism.pipeline == self.resources.accelerator.count * "
    "(has(self.parallelism.nodes) ? self.parallelism.nodes : 1))",
    "parallelism.tensor times parallelism.pipeline must be resources.accelerator.count times parallelism.nodes: change one of "
    "them",
    lambda spec: (
        spec.parallelism is None
        or (
            spec.resources.accelerator is not None
            and spec.parallelism.tensor * spec.parallelism.pipeline
            == spec.resources.accelerator.count * spec.parallelism.nodes
        )
    ),
)

#: Every pod of a group reads the weights, and they are on several nodes.
NODES_RULE = CelRule(
    "!has(self.parallelism) || !has(self.parallelism.nodes) || self.parallelism.nodes == 1 || !has(self.cache) || "
    "(has(self.cache.accessMode) && self.cache.accessMode == 'ReadWriteMany') || has(self.cache.claimName)",
    "parallelism.nodes above 1 needs a cache that pods on several nodes can mount: use cache.accessMode ReadWriteMany, a "
    "cache.claimName that allows it, or no cache",
    lambda spec: (
        spec.nodes == 1
        or spec.cache is None
        or spec.cache.access_mode == "ReadWriteMany"
        or spec.cache.claim_name is not None
    ),
)
#: An adapter is loaded by every pod of a group, and only the leader's follows the list of those that join.
NODES_ADAPTERS_RULE = CelRule(
    "!has(self.parallelism) || !has(self.parallelism.nodes) || self.parallelism.nodes == 1 || !has(self.adapters) || "
    "self.adapters.size() == 0",
    "adapters are for a replica of one pod: remove them, or let parallelism.nodes be 1",
    lambda spec: spec.nodes == 1 or not spec.adapters,
)
#: A StatefulSet's name, its revision (11 characters) and a number are one label of its pods; a label has 63.
NODES_NAME_LENGTH = 40
NODES_NAME_RULE = CelRule(
    "!has(self.spec.parallelism) || !has(self.spec.parallelism.nodes) || self.spec.parallelism.nodes == 1 || "
    f"self.metadata.name.size() <= {NODES_NAME_LENGTH}",
    f"metadata.name must be at most {NODES_NAME_LENGTH} characters for parallelism.nodes above 1: names of pods are made of it",
    lambda resource: resource.spec.nodes == 1 or len(resource.metadata.name) <= NODES_NAME_LENGTH,
)
