"""Continuity is shown as a table of routes and losses, as drills with their proof, and as outages that were. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genset.console import words
from genset.console.heard import Heard, Sees
from genset.console.outage_log import SeenOutage
from genset.console.paging import AskedPage, PageOf, page_of
from genset.continuity import shown
from genset.continuity.drills import shown as drills_shown

_TONES = {
    "Survives": "well",
    "Degraded": "warned",
    "Lost": "bad",
    "Passed": "well",
    "Missed": "bad",
    "Aborted": "warned",
}
_ORDER = {"Lost": 0, "Degraded": 1, "Survives": 2}


@dataclass(frozen=True)
class CoverageRow:
    """A row tells what one loss does to one route."""

    namespace: str
    policy: str
    route: str
    loss: str
    outcome: str
    tone: str
    tier: str
    lacks: str
    capacity: str
    why: str


@dataclass(frozen=True)
class DrillRow:
    """A row is one drill: what it takes away, how it last ended, and when it was last passed. `stale`: too long ago."""

    namespace: str
    policy: str
    name: str
    takes: str
    outcome: str
    tone: str
    told: str
    ended: str
    proof: str
    next: str


@dataclass(frozen=True)
class OutageRow:
    """A row is an outage that was, or is, while the console looked."""

    namespace: str
    policy: str
    what: str
    begin: str
    lasted: str
    over: bool


@dataclass(frozen=True)
class ContinuityPage:
    """The page counts losses by outcome, over everything that somebody sees."""

    coverage: PageOf[CoverageRow]
    counts: Mapping[str, int]
    drills: Sequence[DrillRow]
    outages: Sequence[OutageRow]


def page(heard: Heard, sees: Sees, asked: AskedPage) -> ContinuityPage:
    """Returns coverage and drills as far as somebody sees them, the worst first."""
    policies = [one for one in heard.policies if sees(one.line.namespace)]
    rows = sorted(
        (row for one in policies for row in _coverage(one.line.namespace, one.resource)),
        key=lambda row: (_ORDER.get(row.outcome, 3), row.namespace, row.policy, row.route),
    )
    counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in _ORDER}
    drills = [row for one in policies for row in _drills(one.line.namespace, one.resource, heard.now)]
    outages = [_outage(one, heard.now) for one in heard.outages if sees(one.namespace)]
    return ContinuityPage(page_of(rows, asked, _text), counts, drills, outages)


def _coverage(namespace: str, policy: Mapping[str, Any]) -> Iterator[CoverageRow]:
    for row in shown.rows([policy]):
        yield CoverageRow(
            namespace,
            row.policy,
            row.route,
            f"{row.kind} {row.name}".strip(),
            row.outcome,
            _TONES.get(row.outcome, "passing"),
            words.UNKNOWN if row.tier is None else str(row.tier),
            ", ".join(row.lacks) or words.UNKNOWN,
            words.UNKNOWN if row.capacityPercent is None else f"{row.capacityPercent} %",
            row.why,
        )


def _text(row: CoverageRow) -> str:
    return f"{row.namespace} {row.policy} {row.route} {row.loss} {row.outcome} {row.why}"


def _drills(namespace: str, policy: Mapping[str, Any], now: float) -> Iterator[DrillRow]:
    for drill in (policy.get("spec") or {}).get("drills") or ():
        name = str(drill.get("name", ""))
        status = drills_shown.status_of(policy, name)
        last, running = status.get("last") or {}, status.get("running") or {}
        outcome = str(running.get("phase") or last.get("outcome") or "never run")
        good, oldest = words.moment(status.get("lastGood")), int(drill.get("maxAgeDays", 35)) * 86_400
        fresh = good is not None and now - good <= oldest
        yield DrillRow(
            namespace,
            str(policy["metadata"]["name"]),
            name,
            _takes(drill),
            outcome,
            _TONES.get(outcome, "passing"),
            drills_shown.sentence(last) if last else "",
            words.ago(words.moment(last.get("ended")), now) if last else "",
            f"passed {words.ago(good, now)}{'' if fresh else ', too long ago'}" if good is not None else "no proof yet",
            str(status.get("next") or "by hand"),
        )


def _takes(drill: Mapping[str, Any]) -> str:
    taken = drill.get("take") or {}
    what = next((f"{kind} {name}" for kind, name in taken.items()), "?")
    return f"{what}, {drill.get('fault', 'Refused')}"


def _outage(one: SeenOutage, now: float) -> OutageRow:
    lasted = words.age(max(0.0, (one.end or now) - one.begin))
    return OutageRow(one.namespace, one.policy, one.what, words.stamp(one.begin), lasted, one.end is not None)
