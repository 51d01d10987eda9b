"""Parallelism says how one replica splits its model over its accelerators."""

from __future__ import annotations

from pydantic import Field

from genset.api.base import ApiModel, CelRule


class Parallelism(ApiModel):
    """How a model is split over the accelerators of one replica: tensor x pipeline of them."""

    tensor: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Accelerators that share each layer. It must divide the model's attention heads.",
    )
    pipeline: int = Field(
        default=1, ge=1, le=16, description="Groups of accelerators that hold layers one after the other."
    )


#: A rule over the whole spec: all accelerators of a replica are used, and no more.
PARALLELISM_RULE = CelRule(
    "!has(self.parallelism) || (has(self.resources) && has(self.resources.accelerator) && "
    "self.parallelism.tensor * self.parallelism.pipeline == self.resources.accelerator.count)",
    "parallelism.tensor times parallelism.pipeline must be resources.accelerator.count: change one of them",
    lambda spec: (
        spec.parallelism is None
        or (
            spec.resources.accelerator is not None
            and spec.parallelism.tensor * spec.parallelism.pipeline == spec.resources.accelerator.count
        )
    ),
)
