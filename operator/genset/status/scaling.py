"""Who decides how many pods there are, and by what: status.scaling, and the Events of a change."""

from __future__ import annotations

from genset.api.autoscaling import ScalingReason, ScalingStatus
from genset.api.event_reasons import EventReason
from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import ModelDeploymentStatus
from genset.desired import autoscale
from genset.desired.autoscale import ScalingDecision
from genset.status.conditions import Event

OWNER = "genset"  # of the number, with autoscaling


def status(resource: ModelDeployment, decision: ScalingDecision, replicas_owner: str) -> ScalingStatus:
    """Returns status.scaling. `replicas_owner`: who has written spec.replicas."""
    reason = autoscale.reason(resource, decision)
    if resource.spec.autoscaling is None:
        return ScalingStatus(owner=replicas_owner or None, reason=reason)
    bounds = decision.bounds
    if bounds is None:
        return ScalingStatus(owner=OWNER, reason=reason)
    return ScalingStatus(
        owner=OWNER,
        reason=reason,
        min=bounds.least,
        max=bounds.most,
        schedule=bounds.schedule or None,
        holder=decision.holder or None,
    )


def rest_message(resource: ModelDeployment, decision: ScalingDecision) -> str:
    """Says why none of an autoscaled deployment's pods is wanted."""
    bounds, own = decision.bounds, resource.spec.autoscaling
    if bounds is not None and bounds.most == 0:
        return f"At rest by schedule {bounds.schedule}: nothing is served until another one begins, whoever asks"
    if own is not None and own.pool is not None and decision.waits:
        held = f", which {decision.holder} has" if decision.holder else ": pods of another one are still going"
        return f"Waits for its turn at pool {own.pool.name}{held}"
    if resource.spec.sleeps and own is not None:
        return f"Asleep: no request came for {own.idle_seconds} s; the next one at a router wakes it"
    silence = f" for {own.idle_seconds} s" if own is not None else ""
    return f"At rest: no request came{silence}; the next one at a router wakes it"


def events(resource: ModelDeployment, new: ModelDeploymentStatus) -> list[Event]:
    """Returns the Event of a deployment whose number of pods autoscaling has just changed."""
    own, old = resource.spec.autoscaling, resource.status
    before, after = old.desired_replicas if old else None, new.desired_replicas
    if own is None or new.scaling is None or before is None or after is None:
        return []
    was_awake, awake = autoscale.was_awake(resource), new.scaling.reason not in autoscale.RESTING
    if before == after and (was_awake == awake or not resource.spec.sleeps):
        return []
    counts = f"{before} -> {after} replicas"
    if was_awake and not awake:
        why = "By schedule" if new.scaling.reason == ScalingReason.SCHEDULE else f"No request for {own.idle_seconds} s"
        if new.scaling.reason != ScalingReason.SCHEDULE and own.pool is not None:
            why = f"{why}, or another one of pool {own.pool.name} waits"
        return [("Normal", EventReason.PUT_TO_REST, f"{why}: {counts}")]
    if awake and not was_awake:
        return [("Normal", EventReason.WOKEN, f"A request came: {counts}")]
    if old is None or old.observed_generation != resource.metadata.generation:
        return []  # the user has changed what is wanted, and knows
    by_clock = old.scaling is not None and old.scaling.schedule != new.scaling.schedule
    why = f"By schedule {new.scaling.schedule}" if by_clock and new.scaling.schedule else "By the load"
    return [("Normal", EventReason.SCALED, f"{why}: {counts}")]
