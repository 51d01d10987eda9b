"""This registry of a ModelDeployment's `spec.source` says which sources of weights there are, with the block of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pydantic import Field

from genset.api.base import ApiModel, CelRule, Quantity, rules
from genset.api.bounds import at_least
from genset.api.sources.base import SourceBlock
from genset.api.sources.host_path import HostPathSource
from genset.api.sources.http import HttpSource
from genset.api.sources.hugging_face import HuggingFaceSource
from genset.api.sources.pvc import PvcSource

MAX_SIZE_LEAST = "1Mi"  # no model is smaller


class Source(ApiModel):
    """Where the weights come from: exactly one kind."""

    hugging_face: HuggingFaceSource | None = Field(default=None, description="Hugging Face hub or mirror.")
    http: HttpSource | None = Field(default=None, description="One file by URL and checksum.")
    pvc: PvcSource | None = Field(default=None, description="A file on an existing PersistentVolumeClaim.")
    host_path: HostPathSource | None = Field(
        default=None,
        description="A file on the node. Refused unless the operator runs with allowHostPath.",
    )
    max_size: Quantity | None = Field(
        default=None,
        description="Most that the download may bring, e.g. 20Gi; what is larger is cut off and refused. Without cache the "
        "pods ask their node for so much ephemeral storage. Default: cache.size, else the operator's maxScratchSize.",
    )

    @property
    def block(self) -> SourceBlock:
        """Returns the one block that is there."""
        blocks: list[SourceBlock | None] = [getattr(self, name) for name in TYPES]
        return next(block for block in blocks if block is not None)

    @property
    def block_name(self) -> str:
        """Returns the block's name as the spec has it, e.g. huggingFace."""
        return next(alias(name) for name in TYPES if getattr(self, name) is not None)


#: Name of the field in `Source` -> type of the block in it.
TYPES: Mapping[str, type[SourceBlock]] = {
    name: block
    for name, field in Source.model_fields.items()
    for block in get_args(field.annotation)
    if isinstance(block, type) and issubclass(block, SourceBlock)
}


def alias(name: str) -> str:
    """Returns a source's block as the spec has it, e.g. huggingFace."""
    return str(Source.model_fields[name].alias)


_blocks = [alias(name) for name in TYPES]
_DOWNLOADED = [name for name, block in TYPES.items() if block.downloaded]
_IN_PLACE = [name for name, block in TYPES.items() if not block.downloaded]

#: A rule over the whole spec, beside those of `Source`.
CACHE_RULE = CelRule(
    f"!has(self.cache) || !has(self.source) || {' || '.join(f'has(self.source.{alias(name)})' for name in _DOWNLOADED)}",
    f"cache is for downloads; a {' or '.join(map(alias, _IN_PLACE))} source is read where it lies: remove cache",
    lambda spec: spec.cache is None or spec.source is None or spec.source.block.downloaded,
)

rules(
    CelRule(
        f"{' + '.join(f'(has(self.{block}) ? 1 : 0)' for block in _blocks)} == 1",
        f"source needs exactly one of {', '.join(_blocks)}",
        lambda source: sum(getattr(source, name) is not None for name in TYPES) == 1,
    ),
    CelRule(
        f"!has(self.maxSize) || {' || '.join(f'has(self.{alias(name)})' for name in _DOWNLOADED)}",
        f"source.maxSize is for downloads; a {' or '.join(map(alias, _IN_PLACE))} source is read where it lies: remove it",
        lambda source: source.max_size is None or any(getattr(source, name) is not None for name in _DOWNLOADED),
    ),
    at_least("source.maxSize", MAX_SIZE_LEAST, gibi_below=1000, optional=True),
)(Source)
