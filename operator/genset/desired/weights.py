"""Weights get into an engine's pod by volumes, and by the init container that fills or checks them.

Downloads (huggingFace, http, s3, oci) go into a PersistentVolumeClaim if spec.cache asks for one, else into the pod's
scratch space. Files that others put in place (pvc, hostPath, image volumes) are mounted read-only and only looked at.
Projector and adapters are parts like the model: one container fetches or checks all of them, into the same volume. Either
way the engine's paths are known before anything runs, and Secrets are seen by the puller alone.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from genset import kinds, names
from genset.api.adapters import Part
from genset.api.cache import Cache
from genset.api.engines.base import WeightsForm
from genset.api.modeldeployment import ModelDeployment
from genset.contracts.config_parts import ADAPTERS_FOLDER
from genset.contracts.puller import (
    CREDENTIAL_FILES,
    CREDENTIALS_DIR,
    TERMINATION_LOG,
    CheckSpec,
    Companion,
    FetchSpec,
    Role,
    to_args,
)
from genset.desired import metadata, scratch
from genset.desired.canonical import quantity
from genset.desired.context import ModelDeploymentContext, Settings
from genset.desired.sources import wanted
from genset.desired.sources.base import MODEL, VOLUME, Download, InPlace, Place
from genset.engines import managed_engine_of
from genset.engines.base import ModelPaths, Object
from genset.listening import EVERY_ADDRESS
from genset.off_limits import address_of

CREDENTIALS_VOLUME = "weights-credentials"
DOWNLOADS_VOLUME = "weights-downloads"  # of companions, if the model itself is read where it lies
DOWNLOADS_DIR = "/downloads"
COMPANIONS_DIR = "/companions"  # of those that are read where they lie
_ADAPTERS_DIR = f"{COMPANIONS_DIR}/{ADAPTERS_FOLDER}"
LISTEN = f"[{EVERY_ADDRESS}]:{names.WEIGHTS_PORT}"  # where the progress is served
_SECRET_MODE = 0o440  # readable by the pod's group, which is the puller's


@dataclass(frozen=True)
class Weights:
    """The weights are what a pod needs for them."""

    paths: ModelPaths  # in the engine's container
    hash: str  # changes with the bytes that are asked for: rolls the pods
    puller_args: list[str]  # of the init container, after `genset`
    volumes: list[Object]
    engine_mounts: list[Object]
    init_mounts: list[Object]
    addresses: tuple[str, ...] = ()  # URLs of the servers that the init container downloads from
    pull_secrets: tuple[str, ...] = ()  # names of Secrets that nodes need for images that are mounted
    joining: Mapping[str, str] = field(default_factory=dict)  # folders of adapters that join a running server, by name

    @property
    def listens(self) -> bool:
        """Returns whether the init container reports progress on WEIGHTS_PORT."""
        return bool(self.addresses)


@dataclass(frozen=True)
class _Placed:
    """This is one part in a pod: what it is, and what its source comes to."""

    part: Part
    place: Place
    found: Download | InPlace


def placed(resource: ModelDeployment) -> Iterator[tuple[Part, Place]]:
    """Yields each part of a ModelDeployment with where it belongs."""
    engine = managed_engine_of(resource)
    whole = engine is not None and engine.settings.weights is WeightsForm.FOLDER
    joining = engine.joining(resource) if engine is not None else ()
    number = {True: 0, False: 0}
    for part in resource.spec.parts:
        if part.is_projector:
            yield part, Place(part.field, Role.PROJECTOR, False, "weights-projector", f"{COMPANIONS_DIR}/projector")
        elif part.is_adapter:
            path = f"{_ADAPTERS_DIR}/{part.name}"
            joins = part.name in joining  # apart from the others, whose volumes' names must not change with these
            volume = f"weights-{'joining' if joins else 'adapter'}-{number[joins]}"
            yield part, Place(part.field, Role.ADAPTER, whole, volume, path)
            number[joins] += 1
        else:
            yield part, replace(MODEL, whole_folder=whole)


def weights(resource: ModelDeployment, settings: Settings, *, ahead: bool = False) -> Weights:
    """Returns the weights of a ModelDeployment whose pods are ours. Its rules guarantee a source.

    `ahead`: all of them are fetched, also the adapters that join a running server, which are none of a serving pod's business.
    """
    every = [_Placed(part, place, wanted(part.source, settings, place)) for part, place in placed(resource)]
    if not every or every[0].part.name:
        raise ValueError(f"ModelDeployment {resource.metadata.name} has no source")
    engine = managed_engine_of(resource)
    names_joining = () if engine is None or ahead else engine.joining(resource)
    downloads = [one.found for one in every if isinstance(one.found, Download)]
    later = [one for one in every if one.part.name in names_joining]
    every = [one for one in every if one.part.name not in names_joining]
    in_place = [one.found for one in every if isinstance(one.found, InPlace)]
    servers = [one.found.url for one in every if isinstance(one.found, Download)]
    volume, into = (
        (VOLUME, names.MODELS_DIR) if isinstance(every[0].found, Download) else (DOWNLOADS_VOLUME, DOWNLOADS_DIR)
    )
    volumes = [item for found in in_place for item in found.volumes]
    mounts = [item for found in in_place for item in found.mounts]
    engine_mounts, init_mounts = list(mounts), list(mounts)
    if downloads or (names_joining and resource.spec.cache is not None):  # one that joins later may be a download
        volumes.insert(0, {"name": volume, **_room(resource, settings)})
        engine_mounts.insert(0, {"name": volume, "mountPath": into, "readOnly": True})
        init_mounts.insert(0, {"name": volume, "mountPath": into})
    if credentials := [item for one in every for item in _credentials(one)]:
        projected = {"sources": credentials, "defaultMode": _SECRET_MODE}
        volumes.append({"name": CREDENTIALS_VOLUME, "projected": projected})
        init_mounts.append({"name": CREDENTIALS_VOLUME, "mountPath": CREDENTIALS_DIR, "readOnly": True})
    specs = [_spec(resource, one, into, settings) for one in every]
    paths = _paths(every, specs)
    if engine is not None and engine.adapter_list == "Paths":
        paths, named = _by_name(paths, volume, into)
        engine_mounts += named
    return Weights(
        paths=paths,
        hash=_hash(every, specs),
        puller_args=_arguments(every, specs, resource, settings),
        volumes=volumes,
        engine_mounts=engine_mounts,
        init_mounts=init_mounts,
        addresses=tuple(dict.fromkeys(servers)),
        pull_secrets=tuple(dict.fromkeys(found.pull_secret for found in in_place if found.pull_secret)),
        joining={one.part.name: _joins_from(resource, one, into, settings) for one in later},
    )


def _spec(resource: ModelDeployment, one: _Placed, into: str, settings: Settings) -> FetchSpec | CheckSpec:
    """Returns what the puller does for one part. What belongs to the whole container is said with the model."""
    found, place = one.found, one.place
    if isinstance(found, InPlace):
        check = CheckSpec(found.file, "", place.role, found.image, place.whole_folder)
        licences = ",".join(settings.allowed_licences)
        return (
            replace(check, termination_log=TERMINATION_LOG, allowed_licences=licences) if not one.part.name else check
        )
    spec = replace(
        fetch_spec(found),
        into=into,
        exclusive=_exclusive(resource.spec.cache),
        settled=resource.spec.autoscaling is not None,
        max_size=scratch.download_bytes(resource, settings, one.part.source),
        role=place.role,
        whole_folder=place.whole_folder,
    )
    if place.role is Role.MODEL:
        return _bounded(spec, resource, settings)
    own: dict[str, Any] = {
        file: f"{CREDENTIALS_DIR}/{_folder(one)}/{posixpath.basename(CREDENTIAL_FILES[file])}" for file in found.secrets
    }
    if one.part.source.max_size is None:
        own["max_size"] = 0  # the bound of all of them is said with the model
    return replace(spec, listen="", termination_log="", **own)


AnySpec = TypeVar("AnySpec", FetchSpec, CheckSpec)


def _bounded(spec: AnySpec, resource: ModelDeployment, settings: Settings) -> AnySpec:
    """Returns what is said with the model, with what bounds all downloads of a pod."""
    networks = ",".join((*_api_server(settings), *settings.forbidden_networks))
    return replace(
        spec,
        guarded=True,
        forbidden_networks=networks,
        volume_size=scratch.volume_bytes(resource, settings),
        allowed_licences=",".join(settings.allowed_licences),
    )


def _paths(every: Sequence[_Placed], specs: Sequence[FetchSpec | CheckSpec]) -> ModelPaths:
    at = {one.part.field: spec.model_path for one, spec in zip(every, specs, strict=True)}
    adapters = {one.part.name: at[one.part.field] for one in every if one.part.is_adapter}
    return ModelPaths(at[every[0].part.field], at.get("spec.projector", ""), adapters)


def _by_name(paths: ModelPaths, volume: str, into: str) -> tuple[ModelPaths, list[Object]]:
    """Returns the paths with the adapter's name in each, as in those that are read where they lie, and the mounts for that."""
    adapters, mounts = dict(paths.adapters), []
    for name, path in paths.adapters.items():
        if path.startswith(f"{into}/"):
            folder, _, rest = path.removeprefix(f"{into}/").partition("/")
            adapters[name] = f"{_ADAPTERS_DIR}/{name}/{rest}"
            mount = {"name": volume, "mountPath": f"{_ADAPTERS_DIR}/{name}", "subPath": folder, "readOnly": True}
            mounts.append(mount)
    return replace(paths, adapters=adapters), mounts


def _joins_from(resource: ModelDeployment, one: _Placed, into: str, settings: Settings) -> str:
    """Returns where an adapter is that joins later: in the cache, or on the claim that the model is on."""
    pvc = one.part.source.pvc
    return f"{names.MODELS_DIR}/{pvc.path}" if pvc is not None else _spec(resource, one, into, settings).model_path


def _hash(every: Sequence[_Placed], specs: Sequence[FetchSpec | CheckSpec]) -> str:
    hashes = []
    for one, spec in zip(every, specs, strict=True):
        if isinstance(one.found, InPlace):
            hashes.append(_of(one.found.identity))
        elif isinstance(spec, FetchSpec):
            hashes.append(spec.hash[:16])
    return hashes[0] if len(hashes) == 1 else _of(hashes)


def _of(identity: list[str]) -> str:
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def _arguments(
    every: Sequence[_Placed], specs: Sequence[FetchSpec | CheckSpec], resource: ModelDeployment, settings: Settings
) -> list[str]:
    model, *others = specs
    if isinstance(model, CheckSpec) and any(isinstance(spec, FetchSpec) for spec in others):
        model = replace(_bounded(model, resource, settings), listen=LISTEN)
    companions = [Companion(one.part.name, one.part.field, spec) for one, spec in zip(every[1:], others, strict=True)]
    return to_args(model, companions)


def claim(resource: ModelDeployment, _: ModelDeploymentContext) -> Object | None:
    """Makes the PersistentVolumeClaim of spec.cache. It goes with the resource, and not before: scaling keeps it.

    With `retain` it has no owner, and stays when the resource goes; its labels say whose it was.
    """
    cache = resource.spec.cache
    if cache is None or cache.size is None:
        return None
    spec: Object = {
        "accessModes": [cache.access_mode],
        "resources": {"requests": {"storage": quantity(cache.size)}},
    }
    if cache.storage_class_name is not None:
        spec["storageClassName"] = cache.storage_class_name
    name = metadata.weights_claim(resource.metadata.name)
    made = metadata.engine_child(resource, kinds.PVC, name, spec=spec)
    if cache.retain:
        del made["metadata"]["ownerReferences"]
    return made


def fetch_spec(download: Download) -> FetchSpec:
    """Makes the puller's arguments, apart from what the resource says beside its source. A credential's file is named if and
    only if the source names its Secret."""
    files: dict[str, Any] = {file: CREDENTIAL_FILES[file] for file in download.secrets}
    return FetchSpec(
        source=download.source,
        into=names.MODELS_DIR,
        listen=LISTEN,
        termination_log=TERMINATION_LOG,
        **files,
    )


def _api_server(settings: Settings) -> Iterator[str]:
    """Yields the API server's addresses, as networks."""
    for host in settings.api_server:
        if (address := address_of(host)) is not None:
            yield f"{address}/{address.max_prefixlen}"


def _exclusive(cache: Cache | None) -> bool:
    """Returns whether no other pod can see the volume, so that the puller may remove other models from it."""
    return cache is None or (cache.access_mode == "ReadWriteOncePod" and cache.claim_name is None)


def _room(resource: ModelDeployment, settings: Settings) -> Object:
    cache = resource.spec.cache
    if cache is None:
        return scratch.weights_dir(resource, settings)
    return {"persistentVolumeClaim": {"claimName": cache.claim_name or metadata.weights_claim(resource.metadata.name)}}


def _folder(one: _Placed) -> str:
    """Names the folder of the credentials of a companion."""
    return one.place.volume.removeprefix(f"{VOLUME}-")


def _credentials(one: _Placed) -> Iterator[Object]:
    """Yields the sources of the projected volume: each named key under the file name that the puller expects."""
    if not isinstance(one.found, Download):
        return
    for file, ref in one.found.secrets.items():
        path = posixpath.basename(CREDENTIAL_FILES[file])
        if one.place.role is not Role.MODEL:
            path = f"{_folder(one)}/{path}"
        yield {"secret": {"name": ref.name, "items": [{"key": ref.key, "path": path}]}}
