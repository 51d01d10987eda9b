"""This registry says which sources of weights there are, with what each comes to in a pod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from genset.api.sources import Source
from genset.desired.context import Settings
from genset.desired.sources import host_path, http, hugging_face, oci, pvc, s3
from genset.desired.sources.base import MODEL, Download, InPlace, Place, SourceKind, SourceProblem

_KINDS: dict[type[Any], SourceKind[Any]] = {
    kind.block: kind for kind in (hugging_face.KIND, http.KIND, s3.KIND, oci.KIND, pvc.KIND, host_path.KIND)
}


def wanted(source: Source, settings: Settings, place: Place = MODEL) -> Download | InPlace:
    """Returns what the source comes to."""
    return _KINDS[type(source.block)].wanted(source.block, settings, place)


def problems(source: Source, settings: Settings, place: Place = MODEL) -> Iterator[SourceProblem]:
    """Yields what is wrong with the source and no schema can tell."""
    return _KINDS[type(source.block)].problems(source.block, settings, place)
