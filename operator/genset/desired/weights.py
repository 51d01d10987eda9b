"""How weights get into an engine's pod: the volume, and the init container that fills or checks it.

Downloads (huggingFace, http) go into a PersistentVolumeClaim where spec.cache asks for one, else into the pod's
scratch space. Files that others put in place (pvc, hostPath) are mounted read-only and only looked at. Either way the
engine's path is known before anything runs, and Secrets are seen by the puller alone.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import dataclass, field

from genset import kinds, names
from genset.api.modeldeployment import ModelDeployment
from genset.api.source import Cache, PvcSource, Source
from genset.contracts.puller import (
    CA_FILE,
    CREDENTIALS_DIR,
    HEADERS_FILE,
    TERMINATION_LOG,
    TOKEN_FILE,
    CheckSpec,
    FetchSpec,
    Http,
    HuggingFace,
)
from genset.contracts.shards import Shard, shard_names
from genset.desired import metadata
from genset.desired.canonical import quantity
from genset.desired.context import ModelDeploymentContext, Settings
from genset.engines.base import Object

VOLUME = "weights"
CREDENTIALS_VOLUME = "weights-credentials"
_SECRET_MODE = 0o440  # readable by the pod's group, which is the puller's


@dataclass(frozen=True)
class Weights:
    """What a pod needs for its weights."""

    model_path: str  # in the engine's container
    hash: str  # changes with the bytes that are asked for: rolls the pods
    args: list[str]  # of the init container, after `genset`
    volumes: list[Object]
    engine_mounts: list[Object]
    init_mounts: list[Object]
    listens: bool = field(default=False)  # whether the init container reports progress on WEIGHTS_PORT


def weights(resource: ModelDeployment, settings: Settings) -> Weights:
    """The weights of a ModelDeployment whose pods are ours. Its rules guarantee a source."""
    source = resource.spec.source
    if source is None:
        raise ValueError(f"ModelDeployment {resource.metadata.name} has no source")
    if source.pvc is not None:
        return _on_claim(source.pvc)
    if source.host_path is not None:
        return _on_node(source.host_path.path)
    return _downloaded(resource, source, settings)


def claim(resource: ModelDeployment, _: ModelDeploymentContext) -> Object | None:
    """The PersistentVolumeClaim of spec.cache. It goes with the resource, and not before: scaling keeps it."""
    cache = resource.spec.cache
    if cache is None:
        return None
    spec: Object = {
        "accessModes": [cache.access_mode],
        "resources": {"requests": {"storage": quantity(cache.size)}},
    }
    if cache.storage_class_name is not None:
        spec["storageClassName"] = cache.storage_class_name
    name = metadata.weights_claim(resource.metadata.name)
    return metadata.engine_child(resource, kinds.PVC, name, spec=spec)


def _downloaded(resource: ModelDeployment, source: Source, settings: Settings) -> Weights:
    cache = resource.spec.cache
    spec = fetch_spec(
        source,
        settings.hugging_face_endpoint,
        exclusive=_exclusive(cache),
        settled=resource.spec.autoscaling is not None,
    )
    volumes: list[Object] = [{"name": VOLUME, **_place(resource.metadata.name, cache)}]
    init_mounts: list[Object] = [{"name": VOLUME, "mountPath": spec.into}]
    if projected := _credentials(source):
        volumes.append({"name": CREDENTIALS_VOLUME, "projected": {"sources": projected, "defaultMode": _SECRET_MODE}})
        init_mounts.append({"name": CREDENTIALS_VOLUME, "mountPath": CREDENTIALS_DIR, "readOnly": True})
    return Weights(
        model_path=spec.model_path,
        hash=spec.hash[:16],
        args=spec.to_args(),
        volumes=volumes,
        engine_mounts=[{"name": VOLUME, "mountPath": spec.into, "readOnly": True}],
        init_mounts=init_mounts,
        listens=True,
    )


def fetch_spec(source: Source, default_endpoint: str, *, exclusive: bool, settled: bool) -> FetchSpec:
    """The download for a huggingFace or http source; ValueError for the others, which are checked in place.

    The credential files are named if and only if the source names the Secrets.
    """
    listen = f"0.0.0.0:{names.WEIGHTS_PORT}"
    if source.hugging_face is not None:
        hub = source.hugging_face
        return FetchSpec(
            source=HuggingFace(hub.repo, hub.revision, hub.file, hub.endpoint or default_endpoint),
            into=names.MODELS_DIR,
            listen=listen,
            token_file=TOKEN_FILE if hub.token_secret_ref else "",
            ca_file=CA_FILE if hub.ca_secret_ref else "",
            termination_log=TERMINATION_LOG,
            exclusive=exclusive,
            settled=settled,
        )
    if source.http is not None:
        web = source.http
        return FetchSpec(
            source=Http(web.url, web.sha256),
            into=names.MODELS_DIR,
            listen=listen,
            headers_file=HEADERS_FILE if web.headers_secret_ref else "",
            ca_file=CA_FILE if web.ca_secret_ref else "",
            termination_log=TERMINATION_LOG,
            exclusive=exclusive,
            settled=settled,
        )
    raise ValueError("only huggingFace and http sources are downloaded; pvc and hostPath files are checked in place")


def _exclusive(cache: Cache | None) -> bool:
    """Whether no other pod can see the volume, so that the puller may remove other models from it."""
    return cache is None or cache.access_mode == "ReadWriteOncePod"


def _place(name: str, cache: Cache | None) -> Object:
    if cache is None:
        return {"emptyDir": {}}
    return {"persistentVolumeClaim": {"claimName": metadata.weights_claim(name)}}


def _credentials(source: Source) -> list[Object]:
    """Sources of the projected volume: each named key under the file name that the puller expects."""
    refs = []
    if source.hugging_face is not None:
        hub = source.hugging_face
        refs = [(hub.token_secret_ref, TOKEN_FILE), (hub.ca_secret_ref, CA_FILE)]
    elif source.http is not None:
        refs = [(source.http.headers_secret_ref, HEADERS_FILE), (source.http.ca_secret_ref, CA_FILE)]
    return [
        {"secret": {"name": ref.name, "items": [{"key": ref.key, "path": posixpath.basename(path)}]}}
        for ref, path in refs
        if ref is not None
    ]


def _on_claim(source: PvcSource) -> Weights:
    mount: Object = {"name": VOLUME, "mountPath": names.MODELS_DIR, "readOnly": True}
    volume = {"name": VOLUME, "persistentVolumeClaim": {"claimName": source.claim_name, "readOnly": True}}
    path = f"{names.MODELS_DIR}/{source.path}"
    return _checked(path, ["pvc", source.claim_name, source.path], [volume], [mount])


def _on_node(path: str) -> Weights:
    """Only the model's own files are mounted, shard by shard, not the folder that they lie in."""
    folder, file_name = posixpath.split(path)
    named = Shard.of(file_name)
    files = shard_names(named.stem, named.count)
    volumes: list[Object] = []
    mounts: list[Object] = []
    for number, name in enumerate(files):
        volume = VOLUME if len(files) == 1 else f"{VOLUME}-{number + 1}"
        volumes.append({"name": volume, "hostPath": {"path": posixpath.join(folder, name), "type": "File"}})
        mounts.append({"name": volume, "mountPath": f"{names.MODELS_DIR}/{name}", "readOnly": True})
    return _checked(f"{names.MODELS_DIR}/{files[0]}", ["hostPath", path], volumes, mounts)


def _checked(path: str, identity: list[str], volumes: list[Object], mounts: list[Object]) -> Weights:
    check = CheckSpec(path=path, termination_log=TERMINATION_LOG)
    return Weights(
        model_path=check.model_path,
        hash=hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16],
        args=check.to_args(),
        volumes=volumes,
        engine_mounts=mounts,
        init_mounts=mounts,
    )
