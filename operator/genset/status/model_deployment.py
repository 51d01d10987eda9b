"""The status of a ModelDeployment is four conditions, each a chain of small checks, and the counts beside them.

Accepted     the spec makes sense, references resolve, children could be applied
WeightsReady the weights are complete and verified where the engine reads them
Available    at least one replica passes the engine's readiness probe
Ready        all wanted replicas run the current template and are available, and a real completion succeeded
Stalled      present, and True, only when nothing will change unless a person does something
Warnings     present, and True, only when something in the spec does nothing
UpgradePending  present, and True, only while pods of an earlier release, or of other settings, serve on

A ModelDeployment that is at zero on purpose is Ready=True with reason ScaledToZero, or AtRest if a request wakes it,
and Available=False: what was asked for is so, and tools that wait for Ready (kstatus, Argo CD, Flux) must neither wait
for ever nor call it broken.
A completion that has not been tried since the operator started leaves a Ready=True of the same generation as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic.alias_generators import to_camel

from genset.api.base import Condition
from genset.api.modeldeployment import (
    ConditionType,
    Context,
    ModelDeployment,
    ModelDeploymentSpec,
    Reason,
)
from genset.api.modeldeployment_status import ModelDeploymentStatus
from genset.api.quantity import parse_quantity
from genset.desired import autoscale, metadata
from genset.engines import engine_of, managed_engine_of
from genset.names import WEIGHTS_CONTAINER
from genset.sizing.model import ModelFacts
from genset.status import capacity, pods, price, room, scaling, size, suits, upgrades, weights
from genset.status.conditions import ConditionStatus, Event, Verdict, events_of, first, merged, refused
from genset.status.observed import CompletionProbe, ModelDeploymentObserved, template_key
from genset.status.rollout import RolloutState, incomplete, rollout

_ALARMING = frozenset(
    {
        Reason.INVALID_SPEC, Reason.SECRET_NOT_FOUND, Reason.SECRET_KEY_NOT_FOUND, Reason.SECRET_KEY_INVALID,
        Reason.SECRET_NOT_ALLOWED, Reason.HOST_PATH_NOT_ALLOWED,
        Reason.NAME_CONFLICT, Reason.APPLY_REJECTED, Reason.CONTESTED, Reason.SANDBOX_FAILED, Reason.STARTUP_TIMEOUT,
        Reason.NAMESPACE_NOT_MANAGED, Reason.CHECKSUM_MISMATCH, Reason.NOT_GGUF, Reason.SOURCE_TOO_LARGE,
        Reason.NOT_A_MODEL, Reason.UNSAFE_ARCHIVE,
        Reason.SOURCE_NOT_FOUND, Reason.SOURCE_UNAUTHORIZED, Reason.SOURCE_UNREACHABLE, Reason.SOURCE_AMBIGUOUS,
        Reason.DISK_FULL, Reason.LICENCE_NOT_ALLOWED, Reason.DOWNLOAD_FAILED,
        Reason.UNSCHEDULABLE, Reason.IMAGE_PULL_FAILED, Reason.CRASH_LOOP, Reason.MODEL_MISMATCH,
        Reason.REPLICAS_MISSING, Reason.COMPLETION_FAILED, Reason.UNREACHABLE, Reason.WITHOUT_EFFECT, Reason.MEMORY_SHORT,
        Reason.ADAPTER_REFUSED, Reason.CONTEXT_TOO_LONG, Reason.NO_NODE_FITS,
        Reason.SITE_TOKEN_NOT_USED,
    }
)  # fmt: skip


@dataclass(frozen=True)
class _View:
    """The view is what the checks look at."""

    resource: ModelDeployment
    observed: ModelDeploymentObserved
    state: RolloutState
    trouble: Verdict | None  # what keeps pods from coming up
    completion: CompletionProbe | None  # of the current pods
    accepted: Verdict
    weights: Verdict

    @property
    def managed(self) -> bool:
        return managed_engine_of(self.resource) is not None

    @property
    def at_rest(self) -> bool:
        asleep = self.resource.spec.sleeps and not self.observed.scaling.awake
        return self.managed and (self.state.wanted == 0 or asleep)

    @property
    def wakes(self) -> bool:
        return self.resource.spec.autoscaling is not None


def evaluate(
    resource: ModelDeployment,
    observed: ModelDeploymentObserved,
    now: str,
    nodes: room.Nodes = None,
    paces: Mapping[str, float] | None = None,
) -> ModelDeploymentStatus:
    """Returns the whole new status. `nodes`: of the cluster; None while nobody has asked for them (`room.asks`).

    `paces`: tokens a second of one answer, by name of the pod, and under "" as routers have seen it of all of them.

    Equal inputs give an equal status; `now` (RFC 3339) is used only if a status flips.
    """
    old = resource.status or ModelDeploymentStatus()
    parts = weights.status(resource, observed, old.weights)
    # What has just been downloaded beside the model counts at once.
    resource = resource.model_copy(update={"status": old.model_copy(update={"weights": parts})})
    model = size.facts(observed)
    view = _view(resource, observed, model, nodes)
    starting = Verdict("False", Reason.STARTING, "No replica is ready yet")
    verdicts: list[tuple[str, Verdict]] = [
        (ConditionType.ACCEPTED, view.accepted),
        (ConditionType.WEIGHTS_READY, view.weights),
        (ConditionType.AVAILABLE, first(_AVAILABLE, view, starting)),
        (ConditionType.READY, first(_READY, view, Verdict("True", Reason.READY, _ready_message(view)))),
    ]
    stalled = next((verdict for _, verdict in verdicts if verdict.needs_person), None)
    if stalled is not None:
        verdicts.append((ConditionType.STALLED, Verdict("True", stalled.reason, stalled.message)))
    if warnings := _warnings(resource, observed, model, nodes):
        words = "; ".join(warning.message for warning in warnings)
        verdicts.append((ConditionType.WARNINGS, Verdict("True", warnings[0].reason, words)))
    name = resource.metadata.name
    if (waits := upgrades.verdict(observed.upgrade, resource.kind, name, "spec.rollout.onUpgrade")) is not None:
        verdicts.append((ConditionType.UPGRADE_PENDING, waits))
    selector = metadata.engine_selector(name) if view.managed else {}
    return ModelDeploymentStatus(
        observed_generation=resource.metadata.generation,
        conditions=merged(old.conditions, verdicts, resource.metadata.generation, now),
        model=resource.served_model,
        url=engine_of(resource).base_url(resource),
        desired_replicas=view.state.wanted if view.managed else None,
        scaling=scaling.status(resource, observed.scaling, observed.replicas_owner) if view.managed else None,
        last_active_time=autoscale.told_active(resource, observed.last_request, awake=observed.scaling.awake),
        replicas=view.state.replicas,
        ready_replicas=view.state.ready,
        selector=",".join(f"{key}={value}" for key, value in selector.items()),
        weights=parts,
        size=size.status(resource, model, old.size),
        # A server elsewhere is one replica: what it costs does not go by pods.
        price=price.status(resource, view.state.replicas if view.managed else 1),
        capacity=capacity.status(resource, observed.pods, paces or {}),
        lost_nodes=capacity.lost_nodes(observed.pods, view.state.wanted) if view.managed else None,
    )


def events(old: ModelDeploymentStatus | None, new: ModelDeploymentStatus) -> list[Event]:
    """Returns (type, reason, message) of what has changed between two statuses."""
    told = events_of(old.conditions if old else (), new.conditions, _ALARMING)
    return [event for event in told if event[1] != Reason.AT_REST]  # `scaled` tells it


def _view(
    resource: ModelDeployment, observed: ModelDeploymentObserved, model: ModelFacts | None, nodes: room.Nodes
) -> _View:
    managed = managed_engine_of(resource) is not None
    probe = observed.completion
    current = probe is not None and probe.for_template == template_key(resource, observed.deployment)
    return _View(
        resource=resource,
        observed=observed,
        state=rollout(observed.deployment, autoscale.replicas(resource, observed.scaling) if managed else 0),
        trouble=suits.unserved(resource, model)
        or room.told(
            resource, model, pods.trouble(observed.pods, quiet=frozenset({WEIGHTS_CONTAINER})), observed, nodes
        ),
        completion=probe if current else None,
        accepted=_accepted(resource, observed),
        weights=_weights(resource, observed),
    )


# Accepted


def _accepted(resource: ModelDeployment, observed: ModelDeploymentObserved) -> Verdict:
    if observed.namespace_terminating:
        return Verdict(
            "False",
            Reason.NAMESPACE_TERMINATING,
            f"Namespace {resource.metadata.namespace} is being deleted: nothing new can be made in it",
        )
    problems = (*observed.apply_errors, *observed.problems)
    if problems:
        return refused(problems)
    return Verdict("True", Reason.ACCEPTED, _accepted_message(resource))


def _accepted_message(resource: ModelDeployment) -> str:
    valid = "The spec is valid and every reference resolves"
    forgets = resource.spec.autoscaling is not None and not _keeps_weights(resource)
    return f"{valid}; without spec.cache each waking downloads the weights anew" if forgets else valid


def _beyond_the_cache(resource: ModelDeployment) -> Iterator[Verdict]:
    """Yields downloads that may bring more than their volume holds."""
    size = resource.spec.cache.size if resource.spec.cache is not None else None
    for part in resource.spec.parts:
        most = part.source.max_size
        if size is not None and most is not None and parse_quantity(most) > parse_quantity(size):
            words = (
                f"{part.field}.maxSize {most} is more than spec.cache.size {size} holds: lower it, or raise that one"
            )
            yield Verdict("True", Reason.WITHOUT_EFFECT, words)


def _warnings(
    resource: ModelDeployment, observed: ModelDeploymentObserved, model: ModelFacts | None, nodes: room.Nodes
) -> list[Verdict]:
    """Returns what a person should know and nothing waits for, the gravest first: its reason is the condition's."""
    warnings = []
    if ignored := _without_effect(resource):
        words = (
            f"The server of engine {resource.spec.engine} is not ours, so these have no effect: {', '.join(ignored)}"
        )
        warnings.append(Verdict("True", Reason.WITHOUT_EFFECT, words))
    warnings += [*_beyond_the_cache(resource), *observed.warned]
    at_rest = managed_engine_of(resource) is not None and autoscale.replicas(resource, observed.scaling) == 0
    for found in (
        weights.joining_trouble(resource, observed),
        size.short(resource, model, observed),
        suits.cut_off(resource, model),
        room.hopeless(observed, nodes) if at_rest else None,
    ):
        if found is not None:
            warnings.append(found)
    return warnings


def _without_effect(resource: ModelDeployment) -> list[str]:
    """Lists the fields that say something about pods if there are none of ours. Defaults do not count as said."""
    if managed_engine_of(resource) is not None:
        return []
    spec = resource.spec
    said = [
        field
        for field in ("resources", "replicas", "rollout", "pod_template", "metadata_template", "disruption_budget")
        if getattr(spec, field) != ModelDeploymentSpec.model_fields[field].get_default(call_default_factory=True)
    ]
    if spec.context.parallel != Context().parallel:
        said.append("context.parallel")
    return [f"spec.{field if '.' in field else to_camel(field)}" for field in said]


# WeightsReady


def _weights(resource: ModelDeployment, observed: ModelDeploymentObserved) -> Verdict:
    if managed_engine_of(resource) is None:
        return Verdict("True", Reason.NOT_MANAGED, f"The server of engine {resource.spec.engine} has its own weights")
    if autoscale.replicas(resource, observed.scaling) > 0:
        return weights.verdict(resource, observed)
    if resource.spec.prefetch and (ahead := weights.prefetched(observed)) is not None:
        return ahead
    reason = Reason.SCALED_TO_ZERO
    if resource.spec.autoscaling is not None:
        reason = Reason.AT_REST
        kept = _known(resource, ConditionType.WEIGHTS_READY)
        if kept is not None and kept.status == "True" and _keeps_weights(resource):
            return Verdict("True", kept.reason, kept.message)
    return Verdict("Unknown", reason, "No replica is wanted: weights are looked at when one starts")


def _keeps_weights(resource: ModelDeployment) -> bool:
    """Returns whether the weights are still there when no pod is."""
    return resource.spec.cache is not None or not any(part.source.block.downloaded for part in resource.spec.parts)


# Available


def _elsewhere_available(view: _View) -> Verdict | None:
    if view.managed:
        return None
    if (unasked := _not_probed(view)) is not None:
        return unasked
    if view.completion is None:
        return _as_before(view, ConditionType.AVAILABLE) or _not_asked()
    if not view.completion.ok and not view.completion.partly:
        return _completion_failed(view.completion)
    return Verdict("True", Reason.AVAILABLE, f"{engine_of(view.resource).base_url(view.resource)} answers")


def _rests(view: _View) -> Verdict | None:
    if not view.at_rest:
        return None
    if view.wakes:
        return _resting(view, "False")
    if view.state.exists and not view.state.asked and view.state.available:
        return None  # the Deployment could not be scaled
    return Verdict("False", Reason.SCALED_TO_ZERO, "spec.replicas is 0: nothing is served until it is raised")


def _some_available(view: _View) -> Verdict | None:
    if view.state.available == 0:
        return None
    counts = f"{view.state.available} of {view.state.wanted} replicas are available"
    if not view.state.wanted:
        counts = f"{view.state.available} replicas are still available; none is wanted"
    return Verdict("True", Reason.AVAILABLE, counts)


def _trouble(view: _View) -> Verdict | None:
    return view.trouble or (incomplete(view.state, "replicas") if view.state.refusal else None)


def _weights_missing(view: _View) -> Verdict | None:
    return view.weights if view.weights.status == "False" else None


_AVAILABLE = (_elsewhere_available, _rests, _some_available, _trouble, _weights_missing)


# Ready


def _not_accepted(view: _View) -> Verdict | None:
    return view.accepted if view.accepted.status == "False" else None


def _elsewhere_ready(view: _View) -> Verdict | None:
    if view.managed:
        return None
    if (unasked := _not_probed(view)) is not None:
        return unasked
    if view.completion is not None and view.completion.ok:
        return None
    if view.completion is None:
        return _as_before(view, ConditionType.READY) or _not_asked()
    return _completion_failed(view.completion)


def _at_rest(view: _View) -> Verdict | None:
    if not view.at_rest:
        return None
    if view.wakes:  # ready for the next request, even while replicas that are going finish their last answers
        return _resting(view, "True")
    if not view.state.current or view.state.replicas > 0:
        return Verdict("False", Reason.ROLLING_OUT, f"Replicas that are still to go: {view.state.replicas}")
    return Verdict("True", Reason.SCALED_TO_ZERO, "At rest, as asked: spec.replicas is 0")


def _not_complete(view: _View) -> Verdict | None:
    coming = sum(pod.coming for pod in view.observed.pods)
    missing = incomplete(view.state, "replicas", coming) if view.managed else None
    if missing is None:
        return None
    return view.trouble or (missing if missing.needs_person else _weights_missing(view)) or missing


def _no_completion(view: _View) -> Verdict | None:
    if view.completion is None:
        return _as_before(view, ConditionType.READY) or _not_asked()
    return None if view.completion.ok else _completion_failed(view.completion)


_READY = (_not_accepted, _elsewhere_ready, _at_rest, _not_complete, _no_completion)


def _completion_failed(probe: CompletionProbe) -> Verdict:
    reason = Reason.COMPLETION_FAILED if probe.reached else Reason.UNREACHABLE
    return Verdict("False", reason, f"A completion failed: {probe.message}")


def _not_probed(view: _View) -> Verdict | None:
    if view.observed.asked_by != ():
        return None
    return Verdict("Unknown", Reason.NOT_PROBED, "No RoutePolicy routes to it; it is asked once one does")


def _not_asked() -> Verdict:
    return Verdict("False", Reason.STARTING, "Waiting for the first completion to succeed")


def _resting(view: _View, status: ConditionStatus) -> Verdict:
    """Returns what an autoscaled deployment without pods is; one that waits for its turn is not ready, whatever is asked."""
    words = scaling.rest_message(view.resource, view.observed.scaling)
    if view.observed.scaling.waits:
        return Verdict("False", Reason.WAITS_FOR_POOL, words)
    return Verdict(status, Reason.AT_REST, words)


def _as_before(view: _View, kind: ConditionType) -> Verdict | None:
    """Returns what was said before, if it was True of this generation: an operator that restarts has nothing new to
    say."""
    known = _known(view.resource, kind)
    if known is None or known.status != "True" or known.reason in (Reason.SCALED_TO_ZERO, Reason.AT_REST):
        return None
    return Verdict("True", known.reason, known.message)


def _known(resource: ModelDeployment, kind: ConditionType) -> Condition | None:
    """Returns the condition as it was told last, of this generation."""
    for known in resource.status.conditions if resource.status else ():
        if known.type == kind and known.observed_generation == resource.metadata.generation:
            return known
    return None


def _ready_message(view: _View) -> str:
    if not view.managed:
        return "A completion succeeded"
    note = f"; it stays awake: {view.observed.scaling.note}" if view.observed.scaling.note else ""
    return f"{view.state.available} of {view.state.wanted} replicas are available, and a completion succeeded{note}"
