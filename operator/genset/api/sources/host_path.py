"""Source `hostPath` is a file, or the folder of a model, on each node's disk."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from genset.api.sources.base import SourceBlock


class HostPathSource(SourceBlock):
    """What lies on each node. Needs the operator's opt-in, because it reads the node's disk."""

    downloads: ClassVar[bool] = False
    folders: ClassVar[bool] = True

    path: str = Field(
        pattern=r"^/[^\x00-\x1f\x7f]*[^/\x00-\x1f\x7f]$",
        max_length=1024,
        examples=["/srv/models/model.gguf"],
        description="Absolute path on the node: the GGUF file, or the folder for an engine that reads one.",
    )
