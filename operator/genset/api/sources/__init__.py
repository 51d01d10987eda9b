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
from genset.api.sources.oci import OciSource
from genset.api.sources.pvc import PvcSource
from genset.api.sources.s3 import S3Source

MAX_SIZE_LEAST = "1Mi"  # no model is smaller


class Source(ApiModel):
    """Where the weights come from: exactly one kind."""

    hugging_face: HuggingFaceSource | None = Field(default=None, description="Hugging Face hub or mirror.")
    http: HttpSource | None = Field(default=None, description="One file by URL and checksum.")
    s3: S3Source | None = Field(default=None, description="Objects of a bucket: S3, Google Cloud Storage, Azure.")
    oci: OciSource | None = Field(default=None, description="An artifact or image in a registry.")
    pvc: PvcSource | None = Field(default=None, description="Files on an existing PersistentVolumeClaim.")
    host_path: HostPathSource | None = Field(
        default=None,
        description="Files on the node. Refused unless the operator runs with allowHostPath.",
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
_IN_PLACE = [name for name, block in TYPES.items() if not block.downloads]


def downloaded_if(source: str) -> str:
    """Returns in CEL whether the source at a path, e.g. self.source, is one that the puller fetches."""
    found = []
    for name, block in TYPES.items():
        at = f"{source}.{alias(name)}"
        if block.downloads:
            more = block.downloads_if.replace("S.", f"{at}.")
            found.append(f"(has({at}) && ({more}))" if more else f"has({at})")
    return " || ".join(found)


#: A rule over the whole spec, beside those of `Source`. Adapters and a projector may be downloaded where the model is not.
CACHE_RULE = CelRule(
    "!has(self.cache) || !has(self.source) || has(self.projector) || has(self.adapters) || "
    f"{downloaded_if('self.source')}",
    f"cache is for downloads; a {' or '.join(map(alias, _IN_PLACE))} source, and an image that is mounted, is read where it "
    "lies: remove cache",
    lambda spec: (
        spec.cache is None
        or spec.source is None
        or spec.projector is not None
        or bool(spec.adapters)
        or spec.source.block.downloaded
    ),
)

rules(
    CelRule(
        f"{' + '.join(f'(has(self.{block}) ? 1 : 0)' for block in _blocks)} == 1",
        f"source needs exactly one of {', '.join(_blocks)}",
        lambda source: sum(getattr(source, name) is not None for name in TYPES) == 1,
    ),
    CelRule(
        f"!has(self.maxSize) || {downloaded_if('self')}",
        f"source.maxSize is for downloads; a {' or '.join(map(alias, _IN_PLACE))} source is read where it lies: remove it",
        lambda source: source.max_size is None or source.block.downloaded,
    ),
    at_least("source.maxSize", MAX_SIZE_LEAST, gibi_below=1000, optional=True),
)(Source)
