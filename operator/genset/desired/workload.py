"""The Deployment of a ModelDeployment has the pods of one engine.

Decides everything about the pod that is the same for all engines: security (the *restricted* Pod Security Standard),
resources, accelerators, the order of weights before engine, roll-out and spreading. What differs comes from the
engine (genset.engines) and from the weights (desired.weights); the user's podTemplate comes last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from genset import kinds, names
from genset.api.accelerator import Accelerator
from genset.api.fault import FieldFault
from genset.api.modeldeployment import DEFAULT_MEMORY, ModelDeployment
from genset.api.modeldeployment import RolloutStrategy as Strategy
from genset.contracts.puller import SITE_CA_FILE
from genset.desired import accelerators, images, joined, metadata, needs, pod_rules, scratch, site_objects
from genset.desired.autoscale import replicas
from genset.desired.canonical import quantity
from genset.desired.context import ModelDeploymentContext, Settings
from genset.desired.kept import (
    UNCHANGING,
    Pending,
    Running,
    Settlement,
    WantedPods,
    digest,
    fingerprint,
    rolled,
    settle,
)
from genset.desired.pod_security import CLOSED, TMP, pod_security
from genset.desired.pod_template import merge
from genset.desired.weights import Weights, weights
from genset.engines import managed_engine_of
from genset.engines.base import EmptyFolder, ManagedEngine, Object

DOWNLOAD_SECONDS = 3600  # added to the start-up time before the Deployment itself calls a roll-out stuck

#: Fields of the spec that shape no pod, as far as that is certain: they change while an operator is being upgraded, too.
_BESIDE_PODS = ("replicas", "autoscaling", "metadataTemplate", "disruptionBudget")


def deployment(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the Deployment; None if the engine runs elsewhere, or a replica is a group of pods (desired.multi_node).

    `replicas` is always said: scaling is the resource's business alone.
    """
    engine = managed_engine_of(resource)
    if engine is None or resource.spec.nodes > 1:
        return None
    name = resource.metadata.name
    template, annotations = kept_template(resource, context)
    made = metadata.engine_child(
        resource,
        kinds.DEPLOYMENT,
        name,
        spec={
            "replicas": replicas(resource, context.scaling),
            "selector": {"matchLabels": metadata.engine_selector(name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling_update(resource)},
            "progressDeadlineSeconds": resource.spec.rollout.startup_seconds + DOWNLOAD_SECONDS,
            "revisionHistoryLimit": 2,
            "template": template,
        },
    )
    return metadata.annotated(made, annotations)


def kept_template(resource: ModelDeployment, context: ModelDeploymentContext) -> tuple[Object, Mapping[str, str]]:
    """Returns the template that the pods have or get, with the annotations of what makes them."""
    engine = managed_engine_of(resource)
    assert engine is not None
    kept = _kept(resource, engine, context)
    return kept.template, kept.annotations


def pending(resource: ModelDeployment, context: ModelDeploymentContext) -> Pending | None:
    """Returns what of an upgrade would make the pods new, if there is anything and nobody has asked for it."""
    engine = managed_engine_of(resource)
    return _kept(resource, engine, context).pending if engine is not None else None


def record(resource: ModelDeployment, context: ModelDeploymentContext) -> dict[str, str]:
    """Returns the annotation in which the record of the pods stands."""
    engine = managed_engine_of(resource)
    if engine is None:
        return {}
    return {names.ANNOTATION_PODS: _kept(resource, engine, context).record.to_annotation()}


def _kept(resource: ModelDeployment, engine: ManagedEngine[Any], context: ModelDeploymentContext) -> Settlement:
    return settle(_wanted(resource, engine, context), Running(context.running, context.bearer), upgrade=context.upgrade)


def _wanted(resource: ModelDeployment, engine: ManagedEngine[Any], context: ModelDeploymentContext) -> WantedPods:
    """Returns what is wanted of the pods, made once for one pass: nobody changes it."""
    made_of = (resource, context.settings, context.model, context.operator)
    held = context.wanted
    if not held or any(one is not other for one, other in zip(held[0], made_of, strict=True)):
        held[:] = [made_of, _made(resource, engine, context)]
    found: WantedPods = held[1]
    return found


def _made(resource: ModelDeployment, engine: ManagedEngine[Any], context: ModelDeploymentContext) -> WantedPods:
    spec = resource.spec
    patch = spec.pod_template.model_dump(mode="json", by_alias=True) if spec.pod_template is not None else None
    derived = needs.is_derived(resource)
    said = [patch, *(part.source.max_size for part in spec.parts)]
    return WantedPods(
        pod_template(resource, engine, context.settings, needs.memory_text(resource, context.model)),
        said,
        digest(asked(resource)),
        fingerprint(pod_template(resource, engine, UNCHANGING), said, derived),
        before=digest(asked(resource, explicit=False)),
        derived=derived,
        may_grow=derived and not scratch.downloads_to_scratch(resource),
        seen=resource.status is not None and resource.status.observed_generation == resource.metadata.generation,
        operator=context.operator,
    )


def asked(resource: ModelDeployment, *, explicit: bool = True) -> list[Any]:
    """Returns what the user has said that may shape pods; fields that never do are left out.

    Defaults are not said: a release that has a new field reads the same. A golden test holds the hash. Not `explicit`: as
    releases up to 0.1.0 have read it, whose API server filled in the default of the memory.
    """
    said = resource.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    resources = said.get("resources", {})
    if not explicit and resources.get("memory") == DEFAULT_MEMORY:
        said["resources"] = {name: value for name, value in resources.items() if name != "memory"}
        said = {name: value for name, value in said.items() if value != {} or name != "resources"}
    for field in _BESIDE_PODS:
        said.pop(field, None)
    rollout = {key: value for key, value in said.pop("rollout", {}).items() if key != "onUpgrade"}
    # Of autoscaling only this shapes pods. "Sleep" instead of a third value: hashes of what others have said stay as they are.
    scales = "Sleep" if resource.spec.sleeps else resource.spec.autoscaling is not None
    return [resource.metadata.name, said, rollout, scales, resource.metadata.annotations.get(names.ANNOTATION_ROLL)]


def pod_template(
    resource: ModelDeployment, engine: ManagedEngine[Any], settings: Settings, memory: str = "", *, ahead: bool = False
) -> Object:
    """Makes metadata and spec of the engine's pods.

    `memory`: of each container; "": what the resource says or needs. `ahead` is that of `weights`.
    """
    template = merge(own_template(resource, engine, settings, memory, ahead=ahead), resource.spec.pod_template)
    return rolled(template, resource.metadata.annotations)


def own_template(
    resource: ModelDeployment, engine: ManagedEngine[Any], settings: Settings, memory: str = "", *, ahead: bool = False
) -> Object:
    """Makes metadata and spec of the engine's pods before the user's podTemplate."""
    source = weights(resource, settings, ahead=ahead)
    labels = metadata.engine_labels(resource)
    if source.addresses:  # the operator takes it off each pod whose weights are there
        labels[names.LABEL_DOWNLOADING] = names.DOWNLOADING
    return {
        "metadata": {
            "labels": labels,
            "annotations": {names.ANNOTATION_WEIGHTS_HASH: source.hash},
        },
        "spec": _pod_spec(resource, engine, source, settings, memory or needs.memory_text(resource)),
    }


def faults(resource: ModelDeployment, settings: Settings) -> Iterator[FieldFault]:
    """Yields what the resource says of its pods and may not."""
    engine = managed_engine_of(resource)
    if engine is None:
        return
    field = engine.field("image")
    if message := images.fault(engine.own(resource).image, field, settings):
        yield FieldFault(field, message)
    if resource.spec.pod_template is not None:
        own, full = own_template(resource, engine, settings), images.is_full(settings)
        yield from pod_rules.faults(
            own, resource.spec.pod_template, "spec.podTemplate", full=full, variables=engine.refused_variables
        )


def rolling_update(resource: ModelDeployment) -> Object:
    """Replaces replicas as the user says; else new before old, unless the new one could hardly start beside it: a GPU
    is seldom spare, and some volumes are for one pod only."""
    cache = resource.spec.cache
    alone = cache is not None and cache.access_mode == "ReadWriteOncePod"
    usual = Strategy.REPLACE if resource.spec.resources.accelerator is not None or alone else Strategy.SURGE
    if (resource.spec.rollout.strategy or usual) is Strategy.REPLACE:
        return {"maxSurge": 0, "maxUnavailable": 1}
    return {"maxSurge": 1, "maxUnavailable": 0}


def _pod_spec(
    resource: ModelDeployment, engine: ManagedEngine[Any], source: Weights, settings: Settings, memory: str
) -> Object:
    drain = engine.drain(resource)
    spec: Object = {
        # The pause container is process 1: as process 1 an engine that is still loading would ignore SIGTERM.
        "shareProcessNamespace": True,
        "enableServiceLinks": False,  # a Service's variables can be mistaken for an engine's settings
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": drain.grace_seconds,
        "securityContext": {
            **pod_security(settings, engine.run_as(resource)),
            "fsGroupChangePolicy": "OnRootMismatch",  # walking a volume of weights at each start takes minutes
        },
        "initContainers": [
            _weights_container(resource, engine, source, settings, memory),
            *([joined.container(source, settings)] if source.joining else []),
        ],
        "containers": [_engine_container(resource, engine, source, settings, memory)],
        "volumes": [
            {"name": "tmp", **scratch.empty_dir(engine.scratch)},
            *map(_volume, engine.empty_folders(resource)),
            *source.volumes,
            *([joined.volume(resource)] if source.joining else []),
            *site_objects.volumes(resource, settings),
        ],
        **_placement(resource),
        **accelerators.of_pod(resource.spec.resources),
    }
    if pull_secrets := dict.fromkeys((*settings.image_pull_secrets, *source.pull_secrets)):
        spec["imagePullSecrets"] = [{"name": name} for name in pull_secrets]
    return spec


def _engine_container(
    resource: ModelDeployment, engine: ManagedEngine[Any], source: Weights, settings: Settings, memory: str
) -> Object:
    probes = engine.probes(resource)
    drain = engine.drain(resource)
    command = engine.command(resource, source.paths)
    args = [*engine.args(resource, source.paths.model), *engine.companion_args(resource, source.paths)]
    return {
        "name": names.ENGINE_CONTAINER,
        "image": engine.image(resource, settings.engine_images.get(engine.name, {})),
        "imagePullPolicy": settings.image_pull_policy,
        **({"command": command} if command else {}),
        **({"args": args} if args else {}),
        "env": [*engine.env(resource), *_surroundings(settings)],
        "ports": [{"name": names.ENGINE_PORT_NAME, "containerPort": names.ENGINE_PORT, "protocol": "TCP"}],
        "startupProbe": probes.startup,
        "readinessProbe": probes.readiness,
        "livenessProbe": probes.liveness,
        "resources": _resources(resource, engine, settings, memory, resource.spec.resources.accelerator),
        "securityContext": CLOSED,
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the last log lines tell why it crashed
        "volumeMounts": [
            TMP,
            *map(_mount, engine.empty_folders(resource)),
            *source.engine_mounts,
            *site_objects.mounts(settings),
        ],
        "lifecycle": {"preStop": drain.pre_stop},
    }


def _weights_container(
    resource: ModelDeployment, engine: ManagedEngine[Any], source: Weights, settings: Settings, memory: str
) -> Object:
    container: Object = {
        "name": names.WEIGHTS_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["genset"],
        "args": source.puller_args,
        "env": [{"name": "HOME", "value": "/tmp"}],
        # As much as the engine: a pod's request is the larger of the two, and so it stays in the Guaranteed class.
        "resources": _resources(resource, engine, settings, memory, None),
        "securityContext": CLOSED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [TMP, *source.init_mounts, *site_objects.mounts(settings)],
    }
    if variables := site_objects.environment(resource, settings):
        container["envFrom"] = variables
    if source.listens:
        container["ports"] = [{"name": "weights", "containerPort": names.WEIGHTS_PORT, "protocol": "TCP"}]
    return container


def _surroundings(settings: Settings) -> list[Object]:
    """Returns what engines are told of the place where they run."""
    told = {names.LISTEN_VARIABLE: settings.engine_listen}
    if settings.place.site.ca:
        told["SSL_CERT_FILE"] = SITE_CA_FILE
    return [{"name": name, "value": value} for name, value in told.items()]


def _volume(folder: EmptyFolder) -> Object:
    return {"name": folder.name, "emptyDir": {"medium": "Memory", "sizeLimit": quantity(folder.memory)}}


def _mount(folder: EmptyFolder) -> Object:
    return {"name": folder.name, "mountPath": folder.path}


def _resources(
    resource: ModelDeployment,
    engine: ManagedEngine[Any],
    settings: Settings,
    memory: str,
    accelerator: Accelerator | None,
) -> Object:
    """Returns requests that equal limits, but for ephemeral storage: there the limit is what ends a pod."""
    amounts = {"cpu": quantity(resource.spec.resources.cpu), "memory": quantity(memory)}
    amounts |= accelerators.amounts(accelerator)
    asked, most = scratch.amounts(resource, settings, engine.scratch)
    return {
        "requests": {**amounts, scratch.EPHEMERAL: quantity(asked)},
        "limits": {**amounts, scratch.EPHEMERAL: quantity(most)},
        **accelerators.claims(accelerator),
    }


def spread(selector: dict[str, str]) -> Object:
    """Spreads pods over nodes if possible, so that one node takes one replica along."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector},
    }


def _placement(resource: ModelDeployment) -> Object:
    """Keeps replicas apart; but together, if they fit, if they share a ReadWriteOnce volume: one node has it at a time."""
    selector = metadata.engine_selector(resource.metadata.name)
    cache, affinity = resource.spec.cache, accelerators.node_affinity(resource.spec.resources.accelerator)
    if cache is None or cache.access_mode != "ReadWriteOnce":
        return {"topologySpreadConstraints": [spread(selector)], **({"affinity": affinity} if affinity else {})}
    term: Object = {"labelSelector": {"matchLabels": selector}, "topologyKey": "kubernetes.io/hostname"}
    together = [{"weight": 100, "podAffinityTerm": term}]
    return {"affinity": {**affinity, "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": together}}}
