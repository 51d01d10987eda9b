"""What the shell has seen is kept as values: the input of every check in this package.

The shell fills these from the API server, from the puller's progress, from the routers' admin ports and from its own
completion requests; nothing here knows how. Absent means not seen, which is never the same as false.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from genset.api.drills import DrillStatus
from genset.api.modeldeployment import ModelDeployment
from genset.api.quantity import parse_quantity
from genset.contracts.puller import DownloadProgress
from genset.contracts.router_admin import ConfigReport
from genset.desired.autoscale import AWAKE, ScalingDecision
from genset.desired.context import Object
from genset.engines import managed_engine_of
from genset.status.conditions import Verdict
from genset.status.pod import PodView
from genset.status.problem import Problem


@dataclass(frozen=True)
class CompletionProbe:
    """A probe is the outcome of a real completion, and of which pods: `for_template` is `template_key` at the time."""

    ok: bool
    message: str  # why it failed; "" if it did not
    for_template: str
    reached: bool = True  # False: no answer of an OpenAI API, whatever came instead
    partly: bool = False  # some of those that were asked did answer


@dataclass(frozen=True)
class Upgrade:
    """An upgrade is what a release changes of pods that serve on as they are."""

    release: str  # that has made them; "": an earlier one
    fields: tuple[str, ...]  # that differ, the first few
    turn: str  # the resource of the namespace that takes it first; "": nobody does, the pods are in use
    idle_seconds: int  # without a request, after which it is taken


@dataclass(frozen=True)
class Prefetch:
    """A prefetch is the Job that fetches weights ahead, with its pods. `refused`: why it has none, in its controller's words."""

    job: Object
    pods: tuple[PodView, ...] = ()
    refused: str = ""

    @property
    def succeeded(self) -> bool:
        """Returns whether the Job itself says so; its pods may have gone."""
        return bool((self.job.get("status") or {}).get("succeeded"))


@dataclass(frozen=True)
class ModelDeploymentObserved:
    """This is the world as far as one ModelDeployment goes."""

    deployment: Object | None = None
    pods: tuple[PodView, ...] = ()
    weights: Mapping[str, DownloadProgress] = field(default_factory=dict)  # by pod name; of pods that answered
    completion: CompletionProbe | None = None  # the last one tried; None: not yet
    problems: tuple[Problem, ...] = ()  # of refs.check_model_deployment
    apply_errors: tuple[Problem, ...] = ()  # NameConflict, ApplyRejected
    namespace_terminating: bool = False
    pvc: Object | None = None  # the cache's claim
    prefetch: Prefetch | None = None
    scaling: ScalingDecision = AWAKE  # what desired.autoscale has decided
    replicas_owner: str = ""  # who has written spec.replicas, by managedFields
    last_request: float | None = None  # at any router, seconds since 1970; None: not known
    upgrade: Upgrade | None = None  # that waits
    warned: tuple[Verdict, ...] = ()  # what others say that a person should know, the gravest first
    asked_by: tuple[str, ...] | None = None  # policies whose routers ask a server elsewhere; None: it is one of ours


@dataclass(frozen=True)
class RoutePolicyObserved:
    """This is the world as far as one RoutePolicy goes."""

    deployment: Object | None = None
    pods: tuple[PodView, ...] = ()
    acknowledgements: Mapping[str, ConfigReport | None] = field(default_factory=dict)  # by pod name; None: no answer
    heard: Mapping[str, ConfigReport | None] = field(default_factory=dict)  # by pod: what each said when it last spoke
    deployments: Mapping[str, ModelDeployment] = field(default_factory=dict)  # that the policy names and that exist
    problems: tuple[Problem, ...] = ()  # of refs.check_route_policy
    unused_problems: tuple[Problem, ...] = ()  # of refs.check_unused_backends
    warnings: tuple[Problem, ...] = ()  # of refs.check_surroundings
    apply_errors: tuple[Problem, ...] = ()
    config_hash: str = ""  # what routers should serve
    credentials_hash: str = ""
    namespace_terminating: bool = False
    upgrade: Upgrade | None = None  # that waits
    data_zones: str = ""  # of desired.data_zones.shown
    drills: tuple[DrillStatus, ...] = ()  # of desired.drills.plan


def template_key(resource: ModelDeployment, deployment: Object | None) -> str:
    """Returns the identity of what a completion proves: the pod template as it is in the cluster, or the server
    elsewhere.

    A completion counts for as long as this stays the same. "" while there is nothing to ask.
    """
    if managed_engine_of(resource) is None:
        own = resource.spec.engine_settings
        identity: Any = [resource.served_model, own.model_dump(mode="json") if own else None]
    else:
        identity = _get(deployment, "spec", "template")
        if identity is None:
            return ""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def requested(deployment: Object | None) -> dict[str, int]:
    """Returns what a pod of a Deployment asks its node for, by resource: cores in thousandths, everything else whole."""
    pod = _get(deployment, "spec", "template", "spec") or {}
    sums = _summed(pod.get("containers") or ())
    for one in pod.get("initContainers") or ():  # one after the other, before the others
        for name, amount in _summed((one,)).items():
            sums[name] = max(sums.get(name, 0), amount)
    return sums


def _summed(containers: Iterable[Any]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for container in containers:
        for name, amount in (_get(container, "resources", "requests") or {}).items():
            value = parse_quantity(str(amount)) * (1000 if name == "cpu" else 1)
            sums[name] = sums.get(name, 0) + int(value)
    return sums


def _get(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
