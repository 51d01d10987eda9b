"""Weights get into an engine's pod by a volume, and by the init container that fills or checks it.

Downloads (huggingFace, http) go into a PersistentVolumeClaim if spec.cache asks for one, else into the pod's
scratch space. Files that others put in place (pvc, hostPath) are mounted read-only and only looked at. Either way the
engine's path is known before anything runs, and Secrets are seen by the puller alone.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import dataclass, field

from genset import kinds, names
from genset.api.cache import Cache
from genset.api.modeldeployment import ModelDeployment
from genset.contracts.puller import CREDENTIAL_FILES, CREDENTIALS_DIR, TERMINATION_LOG, CheckSpec, FetchSpec
from genset.desired import metadata
from genset.desired.canonical import quantity
from genset.desired.context import ModelDeploymentContext, Settings
from genset.desired.sources import wanted
from genset.desired.sources.base import VOLUME, Download, InPlace
from genset.engines.base import Object
from genset.listening import EVERY_ADDRESS

CREDENTIALS_VOLUME = "weights-credentials"
_SECRET_MODE = 0o440  # readable by the pod's group, which is the puller's


@dataclass(frozen=True)
class Weights:
    """The weights are what a pod needs for them."""

    model_path: str  # in the engine's container
    hash: str  # changes with the bytes that are asked for: rolls the pods
    puller_args: list[str]  # of the init container, after `genset`
    volumes: list[Object]
    engine_mounts: list[Object]
    init_mounts: list[Object]
    listens: bool = field(default=False)  # whether the init container reports progress on WEIGHTS_PORT
    address: str = ""  # URL of the server that the init container downloads from; "" if it does not


def weights(resource: ModelDeployment, settings: Settings) -> Weights:
    """Returns the weights of a ModelDeployment whose pods are ours. Its rules guarantee a source."""
    source = resource.spec.source
    if source is None:
        raise ValueError(f"ModelDeployment {resource.metadata.name} has no source")
    found = wanted(source, settings)
    return _in_place(found) if isinstance(found, InPlace) else _downloaded(resource, found)


def claim(resource: ModelDeployment, _: ModelDeploymentContext) -> Object | None:
    """Makes the PersistentVolumeClaim of spec.cache. It goes with the resource, and not before: scaling keeps it.

    With `retain` it has no owner, and stays when the resource goes; its labels say whose it was.
    """
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
    made = metadata.engine_child(resource, kinds.PVC, name, spec=spec)
    if cache.retain:
        del made["metadata"]["ownerReferences"]
    return made


def _downloaded(resource: ModelDeployment, download: Download) -> Weights:
    cache = resource.spec.cache
    settled = resource.spec.autoscaling is not None
    spec = fetch_spec(download, exclusive=_exclusive(cache), settled=settled)
    volumes: list[Object] = [{"name": VOLUME, **_place(resource.metadata.name, cache)}]
    init_mounts: list[Object] = [{"name": VOLUME, "mountPath": spec.into}]
    if download.secrets:
        projected = {"sources": _credentials(download), "defaultMode": _SECRET_MODE}
        volumes.append({"name": CREDENTIALS_VOLUME, "projected": projected})
        init_mounts.append({"name": CREDENTIALS_VOLUME, "mountPath": CREDENTIALS_DIR, "readOnly": True})
    return Weights(
        model_path=spec.model_path,
        hash=spec.hash[:16],
        puller_args=spec.to_args(),
        volumes=volumes,
        engine_mounts=[{"name": VOLUME, "mountPath": spec.into, "readOnly": True}],
        init_mounts=init_mounts,
        listens=True,
        address=download.url,
    )


def fetch_spec(download: Download, *, exclusive: bool, settled: bool) -> FetchSpec:
    """Makes the puller's arguments. A credential's file is named if and only if the source names its Secret."""
    return FetchSpec(
        source=download.source,
        into=names.MODELS_DIR,
        listen=f"[{EVERY_ADDRESS}]:{names.WEIGHTS_PORT}",
        termination_log=TERMINATION_LOG,
        exclusive=exclusive,
        settled=settled,
        **{file: CREDENTIAL_FILES[file] for file in download.secrets},
    )


def _exclusive(cache: Cache | None) -> bool:
    """Returns whether no other pod can see the volume, so that the puller may remove other models from it."""
    return cache is None or cache.access_mode == "ReadWriteOncePod"


def _place(name: str, cache: Cache | None) -> Object:
    if cache is None:
        return {"emptyDir": {}}
    return {"persistentVolumeClaim": {"claimName": metadata.weights_claim(name)}}


def _credentials(download: Download) -> list[Object]:
    """Returns the sources of the projected volume: each named key under the file name that the puller expects."""
    return [
        {
            "secret": {
                "name": ref.name,
                "items": [{"key": ref.key, "path": posixpath.basename(CREDENTIAL_FILES[file])}],
            }
        }
        for file, ref in download.secrets.items()
    ]


def _in_place(found: InPlace) -> Weights:
    check = CheckSpec(path=f"{names.MODELS_DIR}/{found.file}", termination_log=TERMINATION_LOG)
    return Weights(
        model_path=check.model_path,
        hash=hashlib.sha256(json.dumps(found.identity).encode()).hexdigest()[:16],
        puller_args=check.to_args(),
        volumes=found.volumes,
        engine_mounts=found.mounts,
        init_mounts=found.mounts,
    )
