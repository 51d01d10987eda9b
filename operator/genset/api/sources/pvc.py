"""Source `pvc` is a file, or the folder of a model, on somebody's volume."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from genset.api.base import Name
from genset.api.sources.base import SourceBlock


class PvcSource(SourceBlock):
    """What someone else put on a PersistentVolumeClaim in the same namespace. It is mounted read-only."""

    downloads: ClassVar[bool] = False
    folders: ClassVar[bool] = True

    claim_name: Name = Field(description="Name of the PersistentVolumeClaim.")
    path: str = Field(
        pattern=r"^[^/\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
        max_length=1024,
        examples=["models/model.gguf"],
        description="Path inside the volume, without leading /: the GGUF file, or the folder for an engine that reads one.",
    )
