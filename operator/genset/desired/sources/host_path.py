"""Source `hostPath` is a file that lies on each node, if the operator allows to read it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from genset import names
from genset.api.modeldeployment import Reason
from genset.api.sources.host_path import HostPathSource
from genset.contracts.shards import Shard, shard_names
from genset.desired.context import Settings
from genset.desired.sources.base import VOLUME, InPlace, SourceKind, SourceProblem, climbs
from genset.engines.base import Object


def files(source: HostPathSource, _: Settings) -> InPlace:
    """Mounts only the model's own files, shard by shard, not the folder that they lie in."""
    folder, file_name = posixpath.split(source.path)
    named = Shard.of(file_name)
    shards = shard_names(named.stem, named.count)
    volumes: list[Object] = []
    mounts: list[Object] = []
    for number, name in enumerate(shards):
        volume = VOLUME if len(shards) == 1 else f"{VOLUME}-{number + 1}"
        volumes.append({"name": volume, "hostPath": {"path": posixpath.join(folder, name), "type": "File"}})
        mounts.append({"name": volume, "mountPath": f"{names.MODELS_DIR}/{name}", "readOnly": True})
    return InPlace(file=shards[0], identity=["hostPath", source.path], volumes=volumes, mounts=mounts)


def problems(source: HostPathSource, settings: Settings) -> Iterator[SourceProblem]:
    """Yields problems of an operator without the opt-in, and of a path that climbs out of its folder."""
    if not settings.allow_host_path:
        yield SourceProblem(
            Reason.HOST_PATH_NOT_ALLOWED,
            "spec.source.hostPath",
            "spec.source.hostPath reads the node's disk, which this operator does not allow: use pvc, http or "
            "huggingFace, or have the operator run with allowHostPath",
        )
    yield from climbs(source.path, "spec.source.hostPath.path")


KIND = SourceKind(HostPathSource, files, problems)
