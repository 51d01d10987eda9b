"""A model that is split over several nodes runs in groups of pods, each a leader and its workers: a LeaderWorkerSet.

The leader is the pod that a Deployment would have, with the server's API; it alone is in the Services. A worker is the same pod
without an API: no probes, no port, and at the end it stays for as long as its leader may still finish answers. Facts of the API:
sigs.k8s.io/lws v0.9, api/leaderworkerset/v1 and pkg/webhooks/pod_webhook.go (variables LWS_*), vLLM PR 23691 (--nnodes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genset import kinds, names
from genset.api.modeldeployment import ModelDeployment
from genset.desired import metadata, workload
from genset.desired.autoscale import replicas
from genset.desired.context import ModelDeploymentContext
from genset.engines import managed_engine_of
from genset.engines.base import ENDPOINT_REMOVAL_SECONDS, Object, worker_args

_OF_LEADERS = ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle")
_LEADER_FIELDS = "f:leaderTemplate"


def leader_worker_set(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the groups of pods; None if one pod holds the model.

    Deployments and groups are replaced by the same rule. A group whose pod fails is made anew as a whole: its processes cannot
    go on without one another.
    """
    if not is_multi_node(resource):
        return None
    leader, annotations = workload.kept_template(resource, context)
    made = metadata.engine_child(
        resource,
        kinds.LEADER_WORKER_SET,
        metadata.groups(resource.metadata.name),
        spec={
            "replicas": replicas(resource, context.scaling),
            "startupPolicy": "LeaderCreated",
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {"partition": 0, **workload.rolling_update(resource)},
            },
            "leaderWorkerTemplate": {
                "size": resource.spec.nodes,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": leader,
                "workerTemplate": _worker(leader, resource.spec.rollout.drain_seconds),
            },
        },
    )
    return metadata.annotated(made, annotations)


def is_multi_node(resource: ModelDeployment) -> bool:
    """Returns whether a replica is a group of pods."""
    return managed_engine_of(resource) is not None and resource.spec.nodes > 1


def as_deployment(live: Mapping[str, Any]) -> Object:
    """Returns a live LeaderWorkerSet as a Deployment of its leaders: where the template stands, who owns it, and what counts."""
    spec, status = live["spec"], live.get("status") or {}
    template = (spec.get("leaderWorkerTemplate") or {}).get("leaderTemplate") or {}
    ready = status.get("readyReplicas")
    generation = live["metadata"].get("generation")
    return {
        "apiVersion": kinds.DEPLOYMENT.api_version,
        "kind": kinds.DEPLOYMENT.kind,
        "metadata": {**live["metadata"], "managedFields": list(map(_as_owned, live["metadata"].get("managedFields") or ()))},
        "spec": {"replicas": spec.get("replicas"), "template": template},
        # A group is available once it is ready. Releases before 0.8 do not tell of which generation they speak.
        "status": {"observedGeneration": generation, "availableReplicas": ready, **status} if status else {},
    }  # fmt: skip


def _as_owned(entry: Mapping[str, Any]) -> Object:
    """Returns who owns what of the leader's template, as FieldsV1 of a Deployment would say it."""
    fields = entry.get("fieldsV1") or {}
    spec = fields.get("f:spec") or {}
    leader = (spec.get("f:leaderWorkerTemplate") or {}).get(_LEADER_FIELDS)
    moved = {**spec, "f:template": leader} if leader is not None else spec
    return {**entry, "fieldsV1": {**fields, "f:spec": moved}}


def _worker(leader: Mapping[str, Any], drain_seconds: int) -> Object:
    """Returns the pod of a worker, made from the leader's."""
    labels = {**leader["metadata"]["labels"], names.LABEL_COMPONENT: names.COMPONENT_WORKER}
    spec = {key: value for key, value in leader["spec"].items() if key != "topologySpreadConstraints"}
    containers = [
        _without_api(one, drain_seconds) if one["name"] == names.ENGINE_CONTAINER else one for one in spec["containers"]
    ]
    return {
        "metadata": {**leader["metadata"], "labels": labels},
        "spec": {**spec, "containers": containers},
    }


def _without_api(container: Mapping[str, Any], drain_seconds: int) -> Object:
    own = {key: value for key, value in container.items() if key not in _OF_LEADERS}
    # A pause, not a question: a worker has no API that could be asked whether anything runs.
    pause = ENDPOINT_REMOVAL_SECONDS + drain_seconds
    return {
        **own,
        "args": worker_args(list(container["args"])),
        "lifecycle": {"preStop": {"sleep": {"seconds": pause}}},
    }
