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


@dataclass(frozen=True)
class Goal:
    """One number. bound None: told, but nothing is promised. flawed: from windows that do not count."""

    text: str
    measured: float
    bound: float | None
    at_least: bool
    flawed: bool = False

    @property
    def held(self) -> bool | None:
        if self.bound is None:
            return None
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


#: As its documentation starts it, which is judged by, and at its best, which is told.
VLLM_ROUTERS = {"vllm-router": 2.0, "vllm-router-lean": None}


def goals(found: Sequence[Row], failover: FailoverResult | None = None, own: str = "genset") -> list[Goal]:
    """Those that can be judged from these rows."""
    table = {row.peer: row for row in found}
    judged: list[Goal] = []
    ours = table.get(own)
    if ours is not None:
        if envoy := table.get("envoy"):
            judged += _requests(ours, envoy, same_work=1.3, more_work=None)
            judged += _ratio("chunks per CPU second, times envoy's", envoy.cpu_per_chunk, ours.cpu_per_chunk, 1.2)
            judged += _added(ours, envoy)
        for name, wanted in VLLM_ROUTERS.items():
            if theirs := table.get(name):
                judged += _requests(ours, theirs, same_work=wanted, more_work=wanted)
                text = f"700 streams: lag p99, {name}'s times ours"
                judged += _ratio(text, theirs.steady_lag, ours.steady_lag, wanted)
                if (
                    _arrived(ours) >= ARRIVED
                ):  # the lag is of streams that began in time: theirs may look better than it is
                    text = f"1,200 streams: lag p99, {name}'s times ours"
                    judged += _ratio(text, theirs.many_lag, ours.many_lag, wanted)
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


def _requests(ours: Row, theirs: Row, *, same_work: float | None, more_work: float | None) -> list[Goal]:
    """At saturation. Passed on: both only pass on. Else genset does more: it reads each event of a stream, to know when it
    breaks, and puts whole answers together from streams."""
    kinds = (
        ("passed on", ours.untouched, theirs.untouched, same_work),
        ("short streams", ours.short, theirs.short, more_work),
        ("whole answers, rebuilt", ours.whole, theirs.whole, more_work),
    )
    return [
        goal
        for what, more, less, wanted in kinds
        for goal in _ratio(f"requests/s, {what}, times {theirs.peer}'s", more, less, wanted)
    ]


def _ratio(text: str, more: Value, less: Value, wanted: float | None) -> list[Goal]:
    if not more.median or not less.median:
        return []
    return [Goal(text, more.median / less.median, wanted, at_least=True, flawed=more.flawed or less.flawed)]


def _added(ours: Row, envoy: Row) -> list[Goal]:
    mine, theirs = ours.added_p99, envoy.added_p99
    if mine.median is None or theirs.median is None:
        return []
    text = "added latency p99, ms above envoy's"
    return [Goal(text, mine.median - theirs.median, ADDED_MS, at_least=False, flawed=mine.flawed or theirs.flawed)]
