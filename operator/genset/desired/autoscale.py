"""Autoscaling decides how many replicas there should be now: fixed, or by demand.

Pure; the clock and what routers say come in.

A deployment with `autoscaling` is awake (`max` replicas, or as many as the load takes with `targetInFlight`) or at rest
(`min`); schedules change both bounds (`desired.schedule`). Any sign of a request wakes it. It is put to
rest only when silence is *known*: every router has spoken, none has a request in work, and nobody has asked for
`idleSeconds`, as far back as memories reach. What cannot be known keeps it awake, with a note that says why. A new
deployment begins awake, so that its weights are fetched and a completion is proven before the first user comes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from genset.api.autoscaling import STABILIZATION_SECONDS, Autoscaling, Rest, ScalingReason
from genset.api.modeldeployment import ModelDeployment
from genset.desired.recommend import Recommendations, recommended
from genset.desired.schedule import ScalingBounds
from genset.times import rfc3339, seconds

TOLD_SECONDS = 60.0  # status.lastActiveTime follows the truth by no more than this while requests come
RESTING = frozenset((ScalingReason.REST, ScalingReason.SCHEDULE, ScalingReason.POOL))


@dataclass(frozen=True)
class TotalDemand:
    """The total demand is what all routers together say of one deployment.

    Times are seconds since 1970; None: never, as far as known.
    """

    busy: bool = False  # a request is in work, or waits for the deployment to wake
    load: int = 0  # requests in work or waiting, at the routers that have spoken just now
    waiting: int = 0  # those of them that wait for it to wake
    last_request: float | None = None
    available_since: float | None = None  # when the first of its ready replicas became so; None: none is ready
    known_since: float | None = None  # from when on no request can have escaped us; None: a router has yet to speak
    unknown: str = ""  # why silence cannot be told, in words; "": every router has spoken


@dataclass(frozen=True)
class ScalingDecision:
    """A decision says whether a deployment is awake.

    `note`: why it stays awake although nobody asks; "" if somebody does, or it rests. `replicas`, None: all that there may
    be if it is awake, the fewest if it rests. `bounds`, None: those of the resource.
    """

    awake: bool
    note: str = ""
    replicas: int | None = None
    bounds: ScalingBounds | None = None
    holder: str = ""  # of its pool: who has the turn
    waits: bool = False  # for its turn


AWAKE = ScalingDecision(True)  # of a fixed number, too


def decide(scaling: Autoscaling, demand: TotalDemand, *, awake: bool, now: float) -> ScalingDecision:
    """Decides whether the deployment should be awake, given whether it is."""
    idle = scaling.idle_seconds
    if demand.busy or (demand.last_request is not None and now - demand.last_request < idle):
        return ScalingDecision(True)
    if not awake:
        return ScalingDecision(False)
    if demand.available_since is None or now - demand.available_since < idle:
        return ScalingDecision(True)  # it is coming up, or has just come: somebody wanted it
    if demand.unknown or demand.known_since is None:
        return ScalingDecision(True, demand.unknown)
    return ScalingDecision(now - demand.known_since < idle)


def counted(
    scaling: Autoscaling,
    decision: ScalingDecision,
    bounds: ScalingBounds,
    demand: TotalDemand,
    history: Recommendations,
    *,
    current: int,
    now: float,
) -> ScalingDecision:
    """Returns the decision with the number of replicas that follows from it, within the bounds in force.

    `current`: replicas by the last decision. While it is not known what all routers have in work, none goes.
    """
    if bounds.most == 0:
        return ScalingDecision(False, replicas=0, bounds=bounds)
    if not decision.awake:
        sleeping = 1 if scaling.rest is Rest.SLEEP else 0
        return replace(decision, replicas=max(bounds.least, sleeping), bounds=bounds)
    wanted = bounds.most
    if scaling.target_in_flight is not None:
        wanted = recommended(demand.load, scaling.target_in_flight, current)
        if demand.known_since is None:
            wanted = max(wanted, current)
        fall = STABILIZATION_SECONDS if scaling.stabilization_seconds is None else scaling.stabilization_seconds
        wanted = history.settled(wanted, current, now, fall_seconds=fall)
    least = max(bounds.least, 1)
    return replace(decision, replicas=min(max(wanted, least), bounds.most), bounds=bounds)


def was_awake(resource: ModelDeployment) -> bool:
    """Returns what was decided last, as the status tells it. A deployment that has none yet begins awake."""
    scaling, status = resource.spec.autoscaling, resource.status
    if scaling is None or status is None or status.desired_replicas is None:
        return True
    if status.scaling is not None and status.scaling.reason:
        return status.scaling.reason not in RESTING
    return status.desired_replicas > scaling.min  # as a release told it that had no status.scaling


def waited(resource: ModelDeployment) -> bool:
    """Returns whether it was waiting for the turn of its pool, as the status tells it: it keeps its place until it gets it."""
    told = resource.status.scaling if resource.status is not None else None
    return told is not None and told.reason == ScalingReason.POOL


def replicas(resource: ModelDeployment, decision: ScalingDecision) -> int:
    """Returns how many pods there should be now."""
    scaling = resource.spec.autoscaling
    if scaling is None:
        return resource.spec.most_replicas
    if decision.replicas is not None:
        return decision.replicas
    return scaling.max if decision.awake else scaling.min


def reason(resource: ModelDeployment, decision: ScalingDecision) -> ScalingReason:
    """Returns why there should be as many."""
    if resource.spec.autoscaling is None:
        return ScalingReason.DEFAULT if resource.spec.replicas is None else ScalingReason.REPLICAS
    if decision.bounds is not None and decision.bounds.most == 0:
        return ScalingReason.SCHEDULE
    if decision.waits:
        return ScalingReason.POOL
    return ScalingReason.DEMAND if decision.awake else ScalingReason.REST


def told_active(resource: ModelDeployment, last_request: float | None, *, awake: bool) -> str | None:
    """Returns status.lastActiveTime: at most once a minute while awake, exactly when put to rest, and not at all at
    rest."""
    if resource.spec.autoscaling is None:
        return None
    old = resource.status.last_active_time if resource.status else None
    if last_request is None:
        return old
    if old is None:
        return rfc3339(last_request)
    later = last_request - seconds(old)
    due = TOLD_SECONDS if awake else 1.0
    return rfc3339(last_request) if later >= due and (awake or was_awake(resource)) else old
