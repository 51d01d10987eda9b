"""Autoscaling decides how many replicas there should be now: fixed, or by demand.

Pure; the clock and what routers say come in.

A deployment with `autoscaling` is awake (`max` replicas) or at rest (`min`). Any sign of a request wakes it. It is put to
rest only when silence is *known*: every router has spoken, none has a request in work, and nobody has asked for
`idleSeconds`, as far back as memories reach. What cannot be known keeps it awake, with a note that says why. A new
deployment begins awake, so that its weights are fetched and a completion is proven before the first user comes.
"""

from __future__ import annotations

from dataclasses import dataclass

from genset.api.modeldeployment import Autoscaling, ModelDeployment
from genset.times import rfc3339, seconds

TOLD_SECONDS = 60.0  # status.lastActiveTime follows the truth by no more than this while requests come


@dataclass(frozen=True)
class TotalDemand:
    """The total demand is what all routers together say of one deployment.

    Times are seconds since 1970; None: never, as far as known.
    """

    busy: bool = False  # a request is in work, or waits for the deployment to wake
    last_request: float | None = None
    available_since: float | None = None  # when the first of its ready replicas became so; None: none is ready
    known_since: float | None = None  # from when on no request can have escaped us; None: a router has yet to speak
    unknown: str = ""  # why silence cannot be told, in words; "": every router has spoken


@dataclass(frozen=True)
class ScalingDecision:
    """A decision says whether a deployment is awake.

    `note`: why it stays awake although nobody asks; "" if somebody does, or it rests.
    """

    awake: bool
    note: str = ""


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


def was_awake(resource: ModelDeployment) -> bool:
    """Returns what was decided last, as the status tells it. A deployment that has none yet begins awake."""
    scaling, status = resource.spec.autoscaling, resource.status
    if scaling is None or status is None or status.desired_replicas is None:
        return True
    return status.desired_replicas > scaling.min


def replicas(resource: ModelDeployment, *, awake: bool) -> int:
    """Returns how many pods there should be now."""
    scaling = resource.spec.autoscaling
    return resource.spec.most_replicas if scaling is None or awake else scaling.min


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
