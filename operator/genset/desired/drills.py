"""Drills begin when their schedule or somebody says so, one at a time, and their orders are written for the routers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from genset.api.backend import Backend
from genset.api.drills import (
    LIVE_SHARE,
    Drill,
    DrillImpact,
    DrillResult,
    DrillRunning,
    DrillSide,
    DrillStatus,
    DrillStop,
)
from genset.api.fault import FieldFault
from genset.api.routepolicy import ConditionType, RoutePolicy
from genset.api.routepolicy_status import OutageScope, RoutePolicyStatus
from genset.contracts.drill import DrillOrder, DrillPhase, LiveOrder, ObjectiveConfig
from genset.cron import cron_fault, is_zone, last_time, next_time
from genset.times import rfc3339, seconds

LATE_SECONDS = 600.0  # after its time, at which a drill is told as missed instead of being run
ANNOTATION_CHARACTERS = 128


@dataclass(frozen=True)
class DrillPlan:
    """A plan is the order that routers should have now, and how each drill is before they have said anything of it.

    `again`: seconds until the next one is due; None: none is.
    """

    order: DrillOrder | None
    drills: tuple[DrillStatus, ...]
    again: float | None


def plan(resource: RoutePolicy, now: float, leader: str, asked: str = "") -> DrillPlan:
    """Returns what is to be done about the drills of a policy now. `now`: seconds since 1970.

    `leader` names the life of the operator that asks. `asked` is what somebody asks for, NAME or NAME.WORD: each word once.
    """
    spec = {drill.name: drill for drill in resource.spec.drills}
    known = {one.name: one for one in resource.status.drills} if resource.status is not None else {}
    moment = rfc3339(now)
    found = [known.get(name) or DrillStatus(name=name, since=moment, requested=asked) for name in spec]
    found = [_without_end(one, resource, leader, moment) for one in found]
    found = [_with_missed(one, spec[one.name], now) for one in found]
    if all(one.running is None for one in found):
        begins = _chosen(found, spec, now, asked)
        why_not = _why_not(resource)
        found = [_begun(one, resource, now, leader, asked, why_not if one.name == begins else None) for one in found]
    found = [_with_next(one, spec[one.name], now) for one in found]
    running = next((one for one in found if one.running is not None), None)
    order = _order(resource, spec[running.name], running) if running is not None else None
    due = [seconds(one.next) - now for one in found if one.next is not None]
    return DrillPlan(order, tuple(found), max(1.0, min(due)) if due else None)


def faults(resource: RoutePolicy) -> Iterator[FieldFault]:
    """Yields what no schema can tell of drills: unknown time zones, numbers out of their range, what takes nothing away."""
    for place, drill in enumerate(resource.spec.drills):
        field = f"spec.drills[{place}]"
        if not is_zone(drill.time_zone):
            yield FieldFault(
                f"{field}.timeZone",
                f"{field}.timeZone {drill.time_zone} is not in the time zone database: write a name such as Europe/Berlin, or "
                "leave it out for UTC",
            )
        elif drill.schedule is not None and (why := cron_fault(drill.schedule)):
            yield FieldFault(
                f"{field}.schedule",
                f"{field}.schedule '{drill.schedule}' {why}: it is minute, hour, day of the month, month and day of the week, "
                "e.g. '0 10 * * 1'",
            )
        if not taken(resource, drill):
            yield FieldFault(
                f"{field}.take",
                f"{field}.take takes nothing away, because no backend of the policy is there: name another, or remove the drill",
            )


def taken(resource: RoutePolicy, drill: Drill) -> list[str]:
    """Returns the names of the backends that a drill takes away."""
    return [backend.name for backend in resource.spec.backends if _is_taken(backend, drill)]


def _is_taken(backend: Backend, drill: Drill) -> bool:
    take = drill.take
    if take.side is not None:
        return (backend.cloud is not None) is (take.side is DrillSide.CLOUD)
    if take.provider is not None:
        return backend.cloud is not None and backend.cloud.provider == take.provider
    return backend.name == take.backend


def _without_end(one: DrillStatus, resource: RoutePolicy, leader: str, moment: str) -> DrillStatus:
    """Ends a run that the policy, or the operator that began it, does not go on with."""
    run = one.running
    if run is None:
        return one
    if run.generation != resource.metadata.generation:
        return aborted(one, run, "the policy was changed", moment)
    if run.leader != leader:
        return aborted(one, run, "another operator leads now", moment)
    return one


def aborted(one: DrillStatus, run: DrillRunning, why: str, moment: str) -> DrillStatus:
    """Returns a drill whose run has ended without saying anything."""
    last = DrillResult(id=run.id, began=run.began, ended=moment, outcome=DrillPhase.ABORTED, message=why[:1024])
    return one.model_copy(update={"running": None, "last": last})


def _with_missed(one: DrillStatus, drill: Drill, now: float) -> DrillStatus:
    """Notes that a time of the schedule has gone by while nobody could run the drill."""
    due = _due(one, drill, now)
    if due is None or now - due <= LATE_SECONDS:
        return one
    return one.model_copy(update={"missed": rfc3339(due)})


def _due(one: DrillStatus, drill: Drill, now: float) -> float | None:
    """Returns the time of the schedule that is neither run nor told as missed; None if there is none."""
    if drill.schedule is None:
        return None
    due = last_time(drill.schedule, drill.time_zone, now)
    told = [one.since, one.missed, one.running.began if one.running else None, one.last.began if one.last else None]
    return due if due is not None and all(due > seconds(moment) for moment in told if moment is not None) else None


def _chosen(found: Iterable[DrillStatus], spec: dict[str, Drill], now: float, asked: str) -> str | None:
    """Returns the drill that begins now: one that somebody asks for before one that is due. The others wait for its end."""
    for one in found:
        if asked and asked != one.requested and asked.partition(".")[0] == one.name:
            return one.name
    return next((one.name for one in found if _due(one, spec[one.name], now) is not None), None)


def _why_not(resource: RoutePolicy) -> str:
    """Says why no drill may begin: what is broken already would be tried, and not what the drill breaks."""
    status = resource.status or RoutePolicyStatus()
    ready = next((one for one in status.conditions if one.type == ConditionType.READY), None)
    if ready is None or ready.status != "True" or status.observed_generation != resource.metadata.generation:
        return f"the policy is not Ready ({ready.reason if ready is not None else 'it is new'})"
    if (real := next((one for one in status.outages if one.scope is not OutageScope.LEDGER), None)) is not None:
        return f"a real outage: {real.reason}"
    if not status.ready_replicas:
        return "no router runs"
    return ""


def _begun(
    one: DrillStatus, resource: RoutePolicy, now: float, leader: str, asked: str, why_not: str | None
) -> DrillStatus:
    """Begins a drill, or says why not. `why_not` None: it is not this one's turn. Whatever is asked for is heard once."""
    mine = asked.partition(".")[0] == one.name and bool(asked)
    heard = one.model_copy(update={"requested": asked}) if mine and why_not is not None else one
    if why_not is None:
        return heard
    moment = rfc3339(now)
    run = DrillRunning(
        id=f"{one.name}-{int(now)}",
        began=moment,
        phase=DrillPhase.BASELINE,
        generation=resource.metadata.generation,
        leader=leader,
    )
    return aborted(heard, run, why_not, moment) if why_not else heard.model_copy(update={"running": run})


def _with_next(one: DrillStatus, drill: Drill, now: float) -> DrillStatus:
    due = next_time(drill.schedule, drill.time_zone, now) if drill.schedule is not None else None
    return one.model_copy(update={"next": rfc3339(due) if due is not None else None})


def _order(resource: RoutePolicy, drill: Drill, one: DrillStatus) -> DrillOrder:
    assert one.running is not None
    before = resource.status.drill_evidence if resource.status is not None else ""
    return DrillOrder(
        version=1,
        id=one.running.id,
        name=drill.name,
        takes=tuple(taken(resource, drill)),
        fault=drill.fault,
        seconds=drill.for_seconds,
        probes_per_second=drill.probes.per_second,
        prompt=drill.probes.prompt,
        objective=ObjectiveConfig(rto_seconds=drill.objective.rto_seconds, lost=drill.objective.lost),
        previous=before,
        live=_live(drill) if drill.impact is DrillImpact.LIVE else None,
    )


def _live(drill: Drill) -> LiveOrder:
    stop = drill.stop_when or DrillStop()
    return LiveOrder(share=drill.share or LIVE_SHARE, lost=stop.lost, error_rate=stop.error_rate)
