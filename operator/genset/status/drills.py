"""What routers tell of a drill becomes its status, Events, and the condition ProofStale. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from genset.api.drills import Drill, DrillCounts, DrillImpact, DrillResult, DrillRunning, DrillStatus
from genset.api.event_reasons import EventReason
from genset.api.routepolicy import Reason, RoutePolicy
from genset.continuity.drills.evidence import run_hash
from genset.continuity.drills.judge import verdict as judged
from genset.continuity.drills.measure import combined
from genset.contracts.drill import DrillPhase, DrillReport, ObjectiveConfig
from genset.contracts.router_admin import ConfigReport
from genset.desired.drills import aborted
from genset.status.conditions import Event, Verdict
from genset.times import seconds

SILENT_SECONDS = 60.0  # after which routers that say nothing of a drill do not run it
SLACK_SECONDS = 180.0  # for peace before the fault, and the recovery after it
DAY_SECONDS = 86_400
_SHOWN = 4  # drills in the words of a condition

Reports = Mapping[str, DrillReport | None]


def evaluate(
    resource: RoutePolicy, planned: Iterable[DrillStatus], heard: Mapping[str, ConfigReport | None], now: str
) -> list[DrillStatus]:
    """Returns how each drill is, after what routers say of the one that runs. `heard`: by pod, what each said last."""
    spec = {drill.name: drill for drill in resource.spec.drills}
    reports = {pod: said.drill if said is not None else None for pod, said in heard.items()}
    return [
        one
        if one.running is None or one.name not in spec
        else _followed(one, one.running, spec[one.name], reports, now)
        for one in planned
    ]


def evidence(resource: RoutePolicy, new: Iterable[DrillStatus], heard: Mapping[str, ConfigReport | None]) -> str:
    """Returns the hash of the last run, which holds those of its routers' records, and that of the run before."""
    before = resource.status.drill_evidence if resource.status is not None else ""
    ended = {one.last.id for one in new if one.last is not None}
    told = sorted(
        said.drill.evidence
        for said in heard.values()
        if said is not None and said.drill is not None and said.drill.id in ended and said.drill.evidence
    )
    known = {one.last.id for one in (resource.status.drills if resource.status is not None else ()) if one.last}
    if not told or ended <= known:
        return before
    return run_hash(before, told)


def _followed(one: DrillStatus, run: DrillRunning, drill: Drill, reports: Reports, now: str) -> DrillStatus:
    age = seconds(now) - seconds(run.began)
    mine = {pod: told for pod, told in reports.items() if told is not None and told.id == run.id}
    gone = [pod for pod in run.routers if pod not in reports]
    if gone:
        return aborted(one, run, f"router {gone[0]} went away", now)
    for pod, told in sorted(mine.items()):
        if told.phase == DrillPhase.ABORTED:
            return aborted(one, run, f"router {pod}: {told.why}", now)
    silent = sorted(reports.keys() - mine.keys())
    if (silent or not reports) and age > SILENT_SECONDS:
        who = f"router {silent[0]} does not run it: it may be of an earlier release" if silent else "no router runs"
        return aborted(one, run, who, now)
    if mine and not silent and all(told.ended for told in mine.values()):
        return _ended(one, run, drill, list(mine.values()), now)
    if age > drill.for_seconds + SLACK_SECONDS:
        return aborted(one, run, "routers did not come to its end", now)
    phases = [DrillPhase(told.phase) for told in mine.values() if told.phase in _GOING_ON]
    order = list(_GOING_ON)
    least = min(phases, key=order.index) if phases and not silent else DrillPhase.BASELINE
    known = sorted({*run.routers, *mine})
    return one.model_copy(update={"running": run.model_copy(update={"phase": least, "routers": known})})


_GOING_ON = (DrillPhase.BASELINE, DrillPhase.FAULT, DrillPhase.RECOVERY)


def _ended(one: DrillStatus, run: DrillRunning, drill: Drill, told: Sequence[DrillReport], now: str) -> DrillStatus:
    measured = combined([report.measured for report in told])
    objective = ObjectiveConfig(rto_seconds=drill.objective.rto_seconds, lost=drill.objective.lost)
    outcome, why = judged(measured, objective, 1)
    last = DrillResult(
        id=run.id,
        began=run.began,
        ended=now,
        outcome=outcome,
        message=why,
        requests=DrillCounts(
            asked=measured.requests,
            lost=measured.lost,
            cut=measured.cut,
            continued=measured.continued,
            degraded=measured.degraded,
            live=measured.live if drill.impact is DrillImpact.LIVE else None,
            spared=measured.spared if drill.impact is DrillImpact.LIVE else None,
        ),
        detection_seconds=measured.detection,
        first_byte_p50_seconds=measured.first_byte_p50,
        first_byte_p99_seconds=measured.first_byte_p99,
        rto_seconds=measured.rto,
        give_back_seconds=measured.give_back,
    )
    good = {"last_good": now} if outcome is DrillPhase.PASSED else {}
    return one.model_copy(update={"running": None, "last": last, **good})


def verdict(resource: RoutePolicy, found: Sequence[DrillStatus], now: str) -> Verdict | None:
    """Returns what the condition ProofStale says; None if the policy has no drills."""
    spec = {drill.name: drill for drill in resource.spec.drills}
    if not spec:
        return None
    stale = [
        f"drill {one.name} "
        + (f"was passed last on {one.last_good[:10]}" if one.last_good else "was never passed")
        + (f", and its last run was {one.last.outcome} ({one.last.message})" if _is_bad(one) and one.last else "")
        for one in found
        if one.name in spec and seconds(now) - _proved(one) > spec[one.name].max_age_days * DAY_SECONDS
    ]
    if not stale:
        return Verdict("False", Reason.PROOF_FRESH, "Every drill was passed within its maxAgeDays, or is new")
    more = f"; and {len(stale) - _SHOWN} more" if len(stale) > _SHOWN else ""
    return Verdict("True", Reason.PROOF_TOO_OLD, "; ".join(stale[:_SHOWN]) + more)


def _is_bad(one: DrillStatus) -> bool:
    return one.last is not None and one.last.outcome is not DrillPhase.PASSED


def _proved(one: DrillStatus) -> float:
    return seconds(one.last_good or one.since)


def events(before: Iterable[DrillStatus], after: Iterable[DrillStatus]) -> list[Event]:
    """Returns Events of drills that began, ended, or were missed."""
    known = {one.name: one for one in before}
    told: list[Event] = []
    for one in after:
        old = known.get(one.name)
        if one.missed is not None and (old is None or one.missed != old.missed):
            told.append(
                ("Warning", EventReason.DRILL_MISSED, f"Drill {one.name} was due at {one.missed} and could not run")
            )
        if one.running is not None and (old is None or old.running is None or old.running.id != one.running.id):
            told.append(("Normal", EventReason.DRILL_BEGAN, f"Drill {one.name} began ({one.running.id})"))
        if one.last is not None and (old is None or old.last is None or old.last.id != one.last.id):
            told.append(_told_end(one, one.last))
    return told


def _told_end(one: DrillStatus, run: DrillResult) -> Event:
    if run.outcome is DrillPhase.ABORTED:
        return "Warning", EventReason.DRILL_ABORTED, f"Drill {one.name} was aborted: {run.message}"
    of = run.requests or DrillCounts()
    numbers = (
        f"answered again after {_words(run.rto_seconds)}, detected after {_words(run.detection_seconds)}, given back after "
        f"{_words(run.give_back_seconds)}; of {of.asked} requests {of.lost} lost, {of.cut} cut"
    )
    if run.outcome is DrillPhase.PASSED:
        return "Normal", EventReason.DRILL_PASSED, f"Drill {one.name} was passed: {numbers}"
    return (
        "Warning",
        EventReason.DRILL_MISSED_OBJECTIVE,
        f"Drill {one.name} missed its objective: {run.message} ({numbers})",
    )


def _words(value: float | None) -> str:
    return "never" if value is None else f"{value:g} s"
