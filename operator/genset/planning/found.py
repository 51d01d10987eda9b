"""A found model is one whose headers were read, with what else its place offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genset.sizing.model import ModelFacts


@dataclass(frozen=True)
class OtherFile:
    """Another file of the same model: its quantisation and its bytes."""

    name: str
    quantisation: str
    size: int


@dataclass(frozen=True)
class Found:
    """A model and where it was found. `source` is what a ModelDeployment says under spec.source."""

    model: ModelFacts
    pooled: bool  # a whole repository, not a GGUF file
    shown: str  # what people know the place by
    source: Mapping[str, Any] = field(default_factory=dict)
    files: int = 1
    others: tuple[OtherFile, ...] = ()
    projector: str = ""  # the name of a projector beside it
    projector_bytes: int = 0
