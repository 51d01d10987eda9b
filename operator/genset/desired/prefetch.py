"""A Job fetches weights into the cache ahead, without an accelerator and without a pod of the engine: for `spec.prefetch`, and
for adapters that join servers which run already.

It is what engine pods are before their engine starts: the same container on the same volume, in the same places, because
a volume may be bound to a node by the first pod that mounts it. So these pods find everything complete.
"""

from __future__ import annotations

import hashlib
import json

from genset import kinds, names
from genset.api.modeldeployment import DEFAULT_MEMORY, ModelDeployment
from genset.api.quantity import parse_quantity
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
_MOST_CPU, _MOST_MEMORY = (
    "500m",
    "512Mi",
)  # of a download; files that it has written are given back when memory is short
_PATIENT = 1_000_000  # restarts of the container: the kubelet backs off, and a person may mend the source meanwhile


def _modest(resources: Object) -> Object:
    """Returns what a download needs of what an engine has: on the node of a running engine there may be no second such place."""

    def least(amounts: Object) -> Object:
        most = {"cpu": _MOST_CPU, "memory": _MOST_MEMORY}
        return {
            name: min(value, most[name], key=parse_quantity) if name in most else value
            for name, value in amounts.items()
        }

    return {**resources, **{kind: least(resources[kind]) for kind in ("requests", "limits") if kind in resources}}


def is_wanted(resource: ModelDeployment) -> bool:
    """Returns whether weights are fetched by a Job: for prefetch, and for adapters that join servers which run already."""
    engine = managed_engine_of(resource)
    joining = engine.joining(resource) if engine is not None else ()
    late = (one.source.block.downloaded for one in resource.spec.adapters if one.name in joining)
    return bool(resource.spec.prefetch) or any(late)


def job(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the Job; None if nothing is to be fetched ahead.

    Another template is another Job: the pods of one cannot change.
    """
    engine, settings, name = managed_engine_of(resource), context.settings, resource.metadata.name
    if engine is None or not is_wanted(resource) or not weights(resource, settings, ahead=True).addresses:
        return None
    # A size that became known is no reason for another Job.
    memory = resource.spec.resources.memory or DEFAULT_MEMORY
    engine_pod = pod_template(resource, engine, settings, memory, ahead=True)["spec"]
    labels = {**metadata.engine_labels(resource), **metadata.prefetch_selector(name)}
    template: Object = {
        "metadata": {"labels": labels},
        "spec": {
            **{field: engine_pod[field] for field in _SHARED if field in engine_pod},
            "restartPolicy": "OnFailure",
            "containers": [
                {**one, "resources": _modest(one["resources"])}
                for one in engine_pod["initContainers"]
                if one["name"] == names.WEIGHTS_CONTAINER
            ],
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
