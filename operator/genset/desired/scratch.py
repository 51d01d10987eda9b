"""Scratch space is what pods write to their node's disk: every emptyDir has its limit, and pods ask for what they need.

Weights in an emptyDir count against a node's ephemeral storage, as do /tmp and logs. A pod that asks for nothing is evicted
first when the disk of its node runs full, and one without a limit can fill it.
"""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from math import ceil
from typing import Any

from genset.api.modeldeployment import ModelDeployment
from genset.api.quantity import parse_quantity
from genset.api.sources import Source
from genset.desired.context import Settings
from genset.engines.base import Object

EPHEMERAL = "ephemeral-storage"
LOGS_MIB = 1024  # of a container: the kubelet keeps five files of 10 MiB, some clusters more
LEAST_REQUEST_MIB = 64  # of any pod: logs, and the little that is in /tmp
MARKERS_MIB = 64  # notes and markers beside the weights
_SLACK_MIB = 64  # by which the kubelet's limit lies above the puller's own, as it counts in blocks
_MOST_BYTES = 2**60  # of any volume: the API server counts in 63 bits
_MIB = 2**20


def download_bytes(resource: ModelDeployment, settings: Settings, source: Source | None = None) -> int:
    """Returns the most that a download may bring: source.maxSize, else the size of the cache, else the operator's bound, also
    for a cache whose claim is somebody else's. `source`: the model's, if none is given."""
    cache, source = resource.spec.cache, source or resource.spec.source
    said = source.max_size if source is not None else None
    own = cache.size if cache is not None else None
    return min(ceil(parse_quantity(said or own or settings.max_scratch_size)), _MOST_BYTES)


def all_bytes(resource: ModelDeployment, settings: Settings) -> int:
    """Returns the most that all downloads of a pod may bring together: what sources say, and once the bound that is there
    for those that say nothing."""
    sources = [part.source for part in resource.spec.parts if part.source.block.downloaded]
    said = [source for source in sources if source.max_size is not None]
    silent = [source for source in sources if source.max_size is None][:1]
    return min(sum(download_bytes(resource, settings, source) for source in (*said, *silent)), _MOST_BYTES)


def volume_bytes(resource: ModelDeployment, settings: Settings) -> int:
    """Returns what the puller may have on an emptyDir, all in all; 0 if there is none, or a volume with a size."""
    if not downloads_to_scratch(resource):
        return 0
    return all_bytes(resource, settings) + MARKERS_MIB * _MIB


def weights_dir(resource: ModelDeployment, settings: Settings) -> Object:
    """Makes the volume of weights for a pod without spec.cache."""
    return empty_dir(f"{_weights_mib(resource, settings)}Mi")


def empty_dir(size: str) -> Object:
    """Makes an emptyDir that its node ends the pod for, should it grow larger."""
    return {"emptyDir": {"sizeLimit": size}}


def amounts(resource: ModelDeployment, settings: Settings, tmp: str) -> tuple[str, str]:
    """Returns what an engine's container asks for and may have of its node's ephemeral storage; `tmp`: size of its /tmp."""
    weights = _weights_mib(resource, settings) if downloads_to_scratch(resource) else 0
    known = min(known_mib(resource), weights)
    return f"{known + LEAST_REQUEST_MIB}Mi", f"{weights + mib(tmp) + 2 * LOGS_MIB}Mi"


def known_mib(resource: ModelDeployment) -> int:
    """Returns the size of weights in an emptyDir as far as it is known: as it was downloaded, else source.maxSize; else 0."""
    if not downloads_to_scratch(resource):
        return 0
    told = resource.status.weights if resource.status is not None else None
    if told is not None and told.total_bytes:
        return _up(told.total_bytes)
    sizes = [part.source.max_size for part in resource.spec.parts if part.source.block.downloaded]
    return sum(mib(size) for size in sizes if size is not None)


def downloads_to_scratch(resource: ModelDeployment) -> bool:
    """Returns whether weights are downloaded into the pod's own space."""
    return resource.spec.cache is None and any(part.source.block.downloaded for part in resource.spec.parts)


def mib(size: str) -> int:
    """Returns a quantity in MiB, rounded up."""
    return _up(parse_quantity(size))


def without(template: Object, names: Collection[str] = (EPHEMERAL,)) -> Object:
    """Returns a pod's template without what this file decides, and without the named resources of its containers: an upgrade,
    or a size that became known, changes nothing."""
    spec = dict(template["spec"])
    for entries in [entries for entries in ("initContainers", "containers") if entries in spec]:
        spec[entries] = [
            {**one, "resources": _without(one["resources"], names)} if one.get("resources") else one
            for one in spec[entries]
        ]
    spec["volumes"] = [{**one, "emptyDir": {}} if _on_disk(one) else one for one in spec.get("volumes") or ()]
    return {**template, "spec": spec}


def as_live(template: Object, live: Object, names: Collection[str] = (EPHEMERAL,)) -> Object:
    """Returns the template with what this file decides, and the named resources, as they are in the cluster."""
    spec = dict(template["spec"])
    for entries in [entries for entries in ("initContainers", "containers") if entries in spec]:
        found = {one["name"]: one.get("resources") or {} for one in live.get(entries) or ()}
        spec[entries] = [
            {**one, "resources": _as_live(one["resources"], found.get(one["name"]), names)}
            if one.get("resources")
            else one
            for one in spec[entries]
        ]
    dirs = {one["name"]: one["emptyDir"] for one in live.get("volumes") or () if "emptyDir" in one}
    spec["volumes"] = [
        {**one, "emptyDir": dirs.get(one["name"], one["emptyDir"])} if _on_disk(one) else one
        for one in spec.get("volumes") or ()
    ]
    return {**template, "spec": spec}


def _on_disk(volume: Object) -> bool:
    """Returns whether a volume is an emptyDir on the node's disk; one in memory is the engine's own."""
    return "emptyDir" in volume and not volume["emptyDir"].get("medium")


def _without(resources: Object, names: Collection[str]) -> Object:
    return {
        kind: {name: amount for name, amount in given.items() if name not in names}
        if isinstance(given, dict)
        else given
        for kind, given in resources.items()
    }


def _as_live(resources: Object, live: Object | None, names: Collection[str]) -> Object:
    if live is None:
        return resources
    out = _without(resources, names)
    for kind in ("requests", "limits"):
        kept = {name: amount for name, amount in (live.get(kind) or {}).items() if name in names}
        if kept:
            out[kind] = {**out.get(kind, {}), **kept}
    return out


def _weights_mib(resource: ModelDeployment, settings: Settings) -> int:
    return _up(all_bytes(resource, settings)) + MARKERS_MIB + _SLACK_MIB


def _up(size: Any) -> int:
    return ceil(Fraction(size) / _MIB)
