"""Source `pvc` is a file on somebody's volume."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from genset.api.base import Name
from genset.api.sources.base import SourceBlock


class PvcSource(SourceBlock):
    """A file that someone else put on a PersistentVolumeClaim in the same namespace. It is mounted read-only."""

    downloaded: ClassVar[bool] = False

    claim_name: Name = Field(description="Name of the PersistentVolumeClaim.")
    path: str = Field(
        pattern=r"^[^/\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
        max_length=1024,
        examples=["models/model.gguf"],
        description="Path of the file inside the volume, without leading /.",
    )
