"""Source `hostPath` is a file or folder that lies on each node, if the operator allows to read it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from genset.api.modeldeployment import Reason
from genset.api.sources.host_path import HostPathSource
from genset.contracts.shards import Shard, shard_names
from genset.desired.context import Settings
from genset.desired.sources.base import InPlace, Place, SourceKind, SourceProblem, climbs
from genset.engines.base import Object


def files(source: HostPathSource, _: Settings, place: Place) -> InPlace:
    """Mounts only the model's own files, shard by shard, not the folder that they lie in; or the model's own folder."""
    if place.whole_folder:
        return InPlace(
            file=place.path,
            identity=["hostPath", source.path],
            volumes=[{"name": place.volume, "hostPath": {"path": source.path, "type": "Directory"}}],
            mounts=[{"name": place.volume, "mountPath": place.path, "readOnly": True}],
        )
    folder, file_name = posixpath.split(source.path)
    named = Shard.of(file_name)
    shards = shard_names(named.stem, named.count)
    volumes: list[Object] = []
    mounts: list[Object] = []
    for number, name in enumerate(shards):
        volume = place.volume if len(shards) == 1 else f"{place.volume}-{number + 1}"
        volumes.append({"name": volume, "hostPath": {"path": posixpath.join(folder, name), "type": "File"}})
        mounts.append({"name": volume, "mountPath": f"{place.path}/{name}", "readOnly": True})
    return InPlace(file=f"{place.path}/{shards[0]}", identity=["hostPath", source.path], volumes=volumes, mounts=mounts)


def problems(source: HostPathSource, settings: Settings, place: Place) -> Iterator[SourceProblem]:
    """Yields problems of an operator without the opt-in, and of a path that climbs out of its folder."""
    if not settings.allow_host_path:
        field = f"{place.field}.hostPath"
        yield SourceProblem(
            Reason.HOST_PATH_NOT_ALLOWED,
            field,
            f"{field} reads the node's disk, which this operator does not allow: use pvc, http or "
            "huggingFace, or have the operator run with allowHostPath",
        )
    yield from climbs(source.path, f"{place.field}.hostPath.path")


KIND = SourceKind(HostPathSource, files, problems)
