"""Source `pvc` is a file on a PersistentVolumeClaim of somebody else."""

from __future__ import annotations

from collections.abc import Iterator

from genset import names
from genset.api.sources.pvc import PvcSource
from genset.desired.context import Settings
from genset.desired.sources.base import VOLUME, InPlace, SourceKind, SourceProblem, climbs


def files(source: PvcSource, _: Settings) -> InPlace:
    """Mounts the whole volume, so that the shards of a split model are found beside the first."""
    return InPlace(
        file=source.path,
        identity=["pvc", source.claim_name, source.path],
        volumes=[{"name": VOLUME, "persistentVolumeClaim": {"claimName": source.claim_name, "readOnly": True}}],
        mounts=[{"name": VOLUME, "mountPath": names.MODELS_DIR, "readOnly": True}],
    )


def problems(source: PvcSource, _: Settings) -> Iterator[SourceProblem]:
    """Yields the problem of a path that climbs out of the volume."""
    yield from climbs(source.path, "spec.source.pvc.path")


KIND = SourceKind(PvcSource, files, problems)
