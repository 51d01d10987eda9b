"""Adapters join a running server by a list in a ConfigMap, and a small container beside the server that follows it.

The list stands in no pod template, so another list makes no pod new. The container asks the server over the loopback: nobody
else needs a way to it, and a pod that starts while the operator is away has its adapters all the same (docs/adr/0016).
"""

from __future__ import annotations

from genset import kinds, names
from genset.api.modeldeployment import ModelDeployment
from genset.contracts import adapter_list
from genset.desired import metadata
from genset.desired.context import ModelDeploymentContext, Settings
from genset.desired.pod_security import CLOSED, TMP
from genset.desired.weights import Weights, weights
from genset.engines import managed_engine_of
from genset.engines.base import PROBE_PERIOD_SECONDS, Object

VOLUME = "adapters"
_READY = "/tmp/adapters-ready"
_AMOUNTS: Object = {"cpu": "50m", "memory": "96Mi"}  # 45 MiB are taken


def config_map(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the ConfigMap with the list; None if no adapter joins."""
    joining = _joining(resource, context.settings)
    if not joining:
        return None
    data = {adapter_list.FILE: adapter_list.written(joining)}
    return metadata.engine_child(resource, kinds.CONFIG_MAP, metadata.adapters(resource.metadata.name), data=data)


def mark(resource: ModelDeployment, settings: Settings) -> str:
    """Returns a hash of the list. A pod that gets another one as an annotation mounts its ConfigMaps anew; "": there is none."""
    joining = _joining(resource, settings)
    return adapter_list.mark(joining) if joining else ""


def volume(resource: ModelDeployment) -> Object:
    """Returns the volume of the list, which may come later than the pod."""
    return {"name": VOLUME, "configMap": {"name": metadata.adapters(resource.metadata.name), "optional": True}}


def container(source: Weights, settings: Settings) -> Object:
    """Returns the container that follows the list. The pod is ready when it has nothing more to wait for."""
    kept = ",".join(source.paths.adapters)
    return {
        "name": names.ADAPTERS_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "restartPolicy": "Always",
        "command": ["genset"],
        "args": ["adapters", "--ready-file", _READY, *(["--keep", kept] if kept else [])],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "readinessProbe": {
            "exec": {"command": ["test", "-e", _READY]},
            "periodSeconds": PROBE_PERIOD_SECONDS,
            "failureThreshold": 1,
        },
        "resources": {"requests": _AMOUNTS, "limits": _AMOUNTS},
        "securityContext": CLOSED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            TMP,
            *source.engine_mounts,
            {"name": VOLUME, "mountPath": adapter_list.FOLDER, "readOnly": True},
        ],
    }


def _joining(resource: ModelDeployment, settings: Settings) -> dict[str, str]:
    if managed_engine_of(resource) is None or not resource.spec.adapters:
        return {}
    return dict(weights(resource, settings).joining)
