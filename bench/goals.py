"""What the router must hold, as ratios to its peers and as bounds of its own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.failover import FailoverResult
from bench.scenarios import MANY, SCENARIOS
from bench.summary import Row, Value

MEMORY_MIB = 100e6 / 2**20  # 100 MB
REFUSED_MS, CUT_MS = 5.0, 20.0
ADDED_MS = 0.3
ARRIVED = 0.95
BEFORE = "genset-before"  # the router as it was
KEPT = 0.95  # of what it passed on
POLICED = ("genset-policed", "genset-recorded")  # with all rules on; they may cost as much as a change may


@dataclass(frozen=True)
class Goal:
    """One number. flawed: from windows that do not count."""

    text: str
    measured: float
    bound: float
    at_least: bool
    flawed: bool = False

    @property
    def held(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


#: As its documentation starts it, and at its best: both are told, the first is the one that is judged by.
VLLM_ROUTERS = ("vllm-router", "vllm-router-lean")


def goals(found: Sequence[Row], failover: FailoverResult | None = None, own: str = "genset") -> list[Goal]:
    """Those that can be judged from these rows."""
    table = {row.peer: row for row in found}
    judged: list[Goal] = []
    ours = table.get(own)
    if ours is not None:
        if envoy := table.get("envoy"):
            judged += _requests(ours, envoy, 1.3)
            judged += _ratio("chunks per CPU second, times envoy's", envoy.cpu_per_chunk, ours.cpu_per_chunk, 1.2)
            judged += _added(ours, envoy)
        if before := table.get(BEFORE):
            judged += _requests(ours, before, KEPT)
            judged += _ratio(f"chunks per CPU second, times {BEFORE}'s", before.cpu_per_chunk, ours.cpu_per_chunk, KEPT)
        for name in POLICED:
            if policed := table.get(name):
                judged += _requests(policed, ours, KEPT)
        for name in VLLM_ROUTERS:
            if theirs := table.get(name):
                judged += _requests(ours, theirs, 2.0)
                judged += _ratio(f"700 streams: lag p99, {name}'s times ours", theirs.steady_lag, ours.steady_lag, 2.0)
                # The lag is of streams that began in time: ours must all have; theirs only looks better than it is.
                if _arrived(ours) >= ARRIVED:
                    text = f"1,200 streams: lag p99, {name}'s times ours"
                    judged += _ratio(text, theirs.many_lag, ours.many_lag, 2.0)
        if ours.many_lag.median is not None:
            failed = sum(ours.errors.get(MANY, {}).values())
            judged.append(Goal("1,200 streams: errors", failed, 0, at_least=False))
            text = "1,200 streams: share of the offered chunks that arrived in time"
            judged.append(Goal(text, _arrived(ours), ARRIVED, at_least=True, flawed=ours.many_rate.flawed))
        if ours.crowd_mib.median is not None:
            judged.append(Goal("2,000 streams: MiB resident", ours.crowd_mib.median, MEMORY_MIB, at_least=False))
    for case in failover.cases if failover else ():
        bound = REFUSED_MS if case.kind == "refused" else CUT_MS
        judged.append(Goal(f"{case.about}: ms to the next candidate's first byte, p99", case.p99, bound, False))
    if failover and (lost := sum(case.lost for case in failover.cases)):
        judged.append(Goal("answers lost when a candidate failed", lost, 0, at_least=False))
    return judged


def _arrived(row: Row) -> float:
    """Of the chunks that 1,200 streams have in the window; streams that begin late are missing from it."""
    scenario = SCENARIOS[MANY]
    return (row.many_rate.median or 0.0) / (scenario.streams * scenario.chunk_rate)


def _requests(ours: Row, theirs: Row, wanted: float) -> list[Goal]:
    """At saturation. Whole answers cost us a stream that is put together again; the other two are like against like."""
    kinds = (
        ("whole answers", ours.whole, theirs.whole),
        ("short streams", ours.short, theirs.short),
        ("whole answers passed on", ours.untouched, theirs.untouched),
    )
    return [
        goal
        for what, more, less in kinds
        for goal in _ratio(f"requests/s, {what}, times {theirs.peer}'s", more, less, wanted)
    ]


def _ratio(text: str, more: Value, less: Value, wanted: float) -> list[Goal]:
    if not more.median or not less.median:
        return []
    return [Goal(text, more.median / less.median, wanted, at_least=True, flawed=more.flawed or less.flawed)]


def _added(ours: Row, envoy: Row) -> list[Goal]:
    mine, theirs = ours.added_p99, envoy.added_p99
    if mine.median is None or theirs.median is None:
        return []
    text = "added latency p99, ms above envoy's"
    return [Goal(text, mine.median - theirs.median, ADDED_MS, at_least=False, flawed=mine.flawed or theirs.flawed)]
