"""The Job of `spec.prefetch` fetches weights into the cache ahead: without an accelerator, and without a pod of the engine.

It is what engine pods are before their engine starts: the same container on the same volume, in the same places, because
a volume may be bound to a node by the first pod that mounts it. So these pods find everything complete.
"""

from __future__ import annotations

import hashlib
import json

from genset import kinds, names
from genset.api.modeldeployment import ModelDeployment
from genset.desired import metadata
from genset.desired.context import ModelDeploymentContext
from genset.desired.weights import weights
from genset.desired.workload import pod_template
from genset.engines import managed_engine_of
from genset.engines.base import Object

#: Fields of engine pods that their download needs, too: who it runs as, where, and what it mounts.
_SHARED = (
    "enableServiceLinks", "automountServiceAccountToken", "securityContext", "volumes", "nodeSelector", "affinity",
    "tolerations", "priorityClassName", "imagePullSecrets",
)  # fmt: skip
_PATIENT = 1_000_000  # restarts of the container: the kubelet backs off, and a person may mend the source meanwhile


def job(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the Job; None if nothing is to be fetched ahead.

    Another template is another Job: the pods of one cannot change.
    """
    engine, settings, name = managed_engine_of(resource), context.settings, resource.metadata.name
    if engine is None or not resource.spec.prefetch or not weights(resource, settings).addresses:
        return None
    engine_pod = pod_template(resource, engine, settings)["spec"]
    labels = {**metadata.engine_labels(resource), **metadata.prefetch_selector(name)}
    template: Object = {
        "metadata": {"labels": labels},
        "spec": {
            **{field: engine_pod[field] for field in _SHARED if field in engine_pod},
            "restartPolicy": "OnFailure",
            "containers": [one for one in engine_pod["initContainers"] if one["name"] == names.WEIGHTS_CONTAINER],
        },
    }
    digest = hashlib.sha256(json.dumps(template, sort_keys=True, default=str).encode()).hexdigest()
    made = metadata.engine_child(
        resource,
        kinds.JOB,
        metadata.prefetch_job(name, digest),
        spec={"backoffLimit": _PATIENT, "template": template},
    )
    made["metadata"]["labels"] |= metadata.prefetch_selector(name)
    return made
