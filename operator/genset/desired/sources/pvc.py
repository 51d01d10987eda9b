"""Source `pvc` is a file, or the folder of a model, on a PersistentVolumeClaim of somebody else."""

from __future__ import annotations

from collections.abc import Iterator

from genset.api.sources.pvc import PvcSource
from genset.desired.context import Settings
from genset.desired.sources.base import InPlace, Place, SourceKind, SourceProblem, climbs


def files(source: PvcSource, _: Settings, place: Place) -> InPlace:
    """Mounts the whole volume, so that the shards of a split model are found beside the first."""
    return InPlace(
        file=f"{place.path}/{source.path}",
        identity=["pvc", source.claim_name, source.path],
        volumes=[{"name": place.volume, "persistentVolumeClaim": {"claimName": source.claim_name, "readOnly": True}}],
        mounts=[{"name": place.volume, "mountPath": place.path, "readOnly": True}],
    )


def problems(source: PvcSource, _: Settings, place: Place) -> Iterator[SourceProblem]:
    """Yields the problem of a path that climbs out of the volume."""
    yield from climbs(source.path, f"{place.field}.pvc.path")


KIND = SourceKind(PvcSource, files, problems)
