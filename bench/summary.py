"""From the runs of all rounds to the numbers that are compared. Pure.

Medians over rounds that count. A window in which the load generator and the upstream took more than 90 % of their core
says nothing about how much a peer can pass: they were the limit. Where they have a schedule to keep (paced streams) they
tell it themselves: by how much the upstream sent late, and how long the generator did not look. Nor does a window count
in which other programs took part of a core; worse, a peer that has to wait finds several chunks at once and looks cheap
per chunk. Windows that do not count serve only where there is no other, and the table marks what comes from them.

Other programs took what a core worked beyond our own processes, but no more than the programs that may run there were
charged with: waking from idle and interrupts, a tenth of a core at 10,000 messages a second, are nobody's CPU time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.measure import Run
from bench.scenarios import CHUNKS, CROWD, MANY, RATE, SCENARIOS, SHORT, STEADY, UNTOUCHED, WHOLE

LIMIT = 0.9  # of the load generator's core
OWN_LAG_MS, OWN_LAG = 5.0, 0.2  # of generator and upstream themselves: negligible; share of the lag that is measured
DISTURBED = 0.1  # of a core, by other programs
DIRECT = "direct"


@dataclass(frozen=True)
class Round:
    """One peer's runs in one round, by scenario. `core`s as pinned; idle: resident bytes before any load."""

    peer: str
    number: int
    runs: Mapping[str, Run]
    idle_rss_bytes: int
    load_core: int
    peer_core: int

    def flaw(self, scenario: str) -> str | None:
        """Why one of this round's windows is no measurement of the peer; None when it is one."""
        run = self.runs[scenario]
        own = run.share("load", "upstream")
        if run.own_lag is not None:
            if run.own_lag > max(OWN_LAG_MS, OWN_LAG * run.lag.get("p99", 0.0)):
                return "load generator and upstream were late themselves"
        elif own > LIMIT:
            return "load generator and upstream filled their core"
        if self.peer != DIRECT and self._others(run, self.peer_core, run.share("peer")) > DISTURBED:
            return "others on the peer's core"
        if self.load_core != self.peer_core and self._others(run, self.load_core, own) > DISTURBED:
            return "others on the load generator's core"
        return None

    @staticmethod
    def _others(run: Run, core: int, own: float) -> float:
        """What other programs took of a core, at most."""
        return min(run.busy.get(core, 1.0) - own, run.others.get(core, 1.0))


@dataclass(frozen=True)
class Value:
    """A median, how many windows it comes from (`counted` 0: only flawed ones), and what failed in all of them.
    None: nothing to tell."""

    median: float | None
    counted: int
    failures: int = 0

    @property
    def flawed(self) -> bool:
        """It comes from windows that do not count."""
        return self.median is not None and self.counted == 0


NOTHING = Value(None, 0)


@dataclass(frozen=True)
class Row:
    """One line of the table: µs of CPU, milliseconds, MiB. Latency is what the peer adds to a direct call."""

    peer: str
    rounds: int
    whole: Value  # requests per second, saturated
    short: Value
    untouched: Value
    cpu_per_request: Value  # whole answers
    cpu_per_chunk: Value
    added_p50: Value
    added_p99: Value
    steady_lag: Value  # p99
    many_rate: Value  # chunks per second that arrived
    many_lag: Value  # p99
    crowd_lag: Value  # p99
    idle_mib: Value
    crowd_mib: Value
    errors: Mapping[str, Mapping[str, int]]  # by scenario


def rows(rounds: Iterable[Round]) -> list[Row]:
    """One row per peer, in order of first appearance."""
    by_peer: dict[str, list[Round]] = {}
    for one in rounds:
        by_peer.setdefault(one.peer, []).append(one)
    direct = {one.number: one for one in by_peer.get(DIRECT, [])}
    return [_row(peer, found, direct) for peer, found in by_peer.items()]


def _row(peer: str, rounds: Sequence[Round], direct: Mapping[int, Round]) -> Row:
    def over(scenario: str, value: Callable[[Run], float | None], of_peer: bool = False) -> Value:
        known = [one for one in rounds if scenario in one.runs]
        if of_peer:
            known = [one for one in known if "peer" in one.runs[scenario].used]
        return _value(
            [(value(one.runs[scenario]), one.flaw(scenario) is None, one.runs[scenario].failures) for one in known]
        )

    def added(percentile: str) -> Value:
        found = []
        for one in rounds:
            base = direct.get(one.number)
            if peer == DIRECT or base is None or RATE not in one.runs or RATE not in base.runs:
                continue
            ours, theirs = one.runs[RATE], base.runs[RATE]
            value = None
            if percentile in ours.latency and percentile in theirs.latency:
                value = ours.latency[percentile] - theirs.latency[percentile]
            found.append((value, one.flaw(RATE) is None and base.flaw(RATE) is None, ours.failures))
        return _value(found)

    return Row(
        peer=peer,
        rounds=len(rounds),
        whole=over(WHOLE, lambda run: run.per_second or None),
        short=over(SHORT, lambda run: run.per_second or None),
        untouched=over(UNTOUCHED, lambda run: run.per_second or None),
        cpu_per_request=over(WHOLE, lambda run: _cpu(run, run.requests), of_peer=True),
        cpu_per_chunk=over(CHUNKS, lambda run: _cpu(run, run.chunks), of_peer=True),
        added_p50=added("p50"),
        added_p99=added("p99"),
        steady_lag=over(STEADY, _lag),
        many_rate=over(MANY, lambda run: run.chunks_per_second or None),
        many_lag=over(MANY, _lag),
        crowd_lag=over(CROWD, _lag),
        idle_mib=Value(median(r.idle_rss_bytes for r in rounds) / 2**20, len(rounds)) if peer != DIRECT else NOTHING,
        crowd_mib=over(CROWD, lambda run: run.used["peer"].rss_bytes / 2**20, of_peer=True),
        errors={scenario: found for scenario in SCENARIOS if (found := _errors(rounds, scenario))},
    )


def _value(found: Sequence[tuple[float | None, bool, int]]) -> Value:
    """From (value, whether the window counts, failures) of each window."""
    failures = sum(failed for _, _, failed in found)
    good = [value for value, counts, _ in found if counts and value is not None]
    known = good or [value for value, _, _ in found if value is not None]
    return Value(median(known) if known else None, len(good), failures)


def _cpu(run: Run, count: int) -> float | None:
    return run.used["peer"].cpu_seconds / count * 1e6 if count else None


def _lag(run: Run) -> float | None:
    return run.lag["p99"] if run.chunks else None


def _errors(rounds: Sequence[Round], scenario: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for run in (one.runs[scenario] for one in rounds if scenario in one.runs):
        for name, count in {**run.errors, "incomplete": run.short}.items():
            if count:
                found[name] = found.get(name, 0) + count
    return found
