"""From the runs of all rounds to the numbers that are compared. Pure.

Medians over rounds that count. A window in which the load generator's core was busy for more than 90 % says nothing
about how many requests a peer can pass: the generator, or another program on its core, was the limit. Nor does one in
which other programs took part of the peer's core; worse, a peer that has to wait finds several chunks at once and looks
cheap per chunk. Such windows count only where there is no other, and the table marks what comes from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.measure import Run

LIMIT = 0.9  # of the load generator's core


@dataclass(frozen=True)
class Round:
    """One peer's runs in one round. `core`s as pinned; idle: resident bytes before any load."""

    peer: str
    number: int
    saturate: Run
    rate: Run
    streams: Run
    idle_rss_bytes: int
    load_core: int
    peer_core: int

    def flaw(self, run: Run) -> str | None:
        """Why one of this round's windows is no measurement of the peer; None when it is one."""
        if run.busy.get(self.load_core, 1.0) > LIMIT:
            return "load generator's core full"
        if run.busy.get(self.peer_core, 1.0) - run.share("peer") > 1 - LIMIT:
            return "others on the peer's core"
        return None


@dataclass(frozen=True)
class Value:
    """A median and how many windows it comes from; `counted` 0: only flawed ones. None: nothing to tell."""

    median: float | None
    counted: int

    @property
    def flawed(self) -> bool:
        """It comes from windows that do not count."""
        return self.median is not None and self.counted == 0


@dataclass(frozen=True)
class Row:
    """One line of the table: µs of CPU, milliseconds, MiB. Latency is what the peer adds to a direct call."""

    peer: str
    rounds: int
    requests_per_second: Value
    cpu_per_request: Value
    cpu_per_chunk: Value
    added_p50: Value
    added_p99: Value
    lag_p99: Value
    idle_mib: Value
    streams_mib: Value
    failures: int


DIRECT = "direct"
NOTHING = Value(None, 0)


def rows(rounds: Iterable[Round]) -> list[Row]:
    """One row per peer, in order of first appearance."""
    by_peer: dict[str, list[Round]] = {}
    for one in rounds:
        by_peer.setdefault(one.peer, []).append(one)
    direct = {one.number: one for one in by_peer.get(DIRECT, [])}
    return [_row(peer, found, direct) for peer, found in by_peer.items()]


def _row(peer: str, rounds: Sequence[Round], direct: Mapping[int, Round]) -> Row:
    def over(which: Callable[[Round], Run], value: Callable[[Run], float]) -> Value:
        good = [which(r) for r in rounds if r.flaw(which(r)) is None]
        return Value(median(map(value, good or map(which, rounds))), len(good))

    def added(percentile: str) -> Value:
        pairs = [(r, direct[r.number]) for r in rounds if r.number in direct]
        good = [pair for pair in pairs if all(one.flaw(one.rate) is None for one in pair)]
        if not pairs or peer == DIRECT:
            return NOTHING
        return Value(
            median(r.rate.latency[percentile] - d.rate.latency[percentile] for r, d in good or pairs), len(good)
        )

    has_peer = all("peer" in r.saturate.used for r in rounds)
    return Row(
        peer=peer,
        rounds=len(rounds),
        requests_per_second=over(lambda r: r.saturate, lambda run: run.per_second),
        cpu_per_request=over(lambda r: r.saturate, lambda run: _cpu(run, run.requests)) if has_peer else NOTHING,
        cpu_per_chunk=over(lambda r: r.streams, lambda run: _cpu(run, run.chunks)) if has_peer else NOTHING,
        added_p50=added("p50"),
        added_p99=added("p99"),
        lag_p99=over(lambda r: r.streams, lambda run: run.lag["p99"]),
        idle_mib=Value(median(r.idle_rss_bytes for r in rounds) / 2**20, len(rounds)) if has_peer else NOTHING,
        streams_mib=_memory(rounds) if has_peer else NOTHING,
        failures=sum(run.failures for r in rounds for run in (r.saturate, r.rate, r.streams)),
    )


def _cpu(run: Run, count: int) -> float:
    return run.used["peer"].cpu_seconds / max(count, 1) * 1e6


def _memory(rounds: Sequence[Round]) -> Value:
    return Value(median(r.streams.used["peer"].rss_bytes for r in rounds) / 2**20, len(rounds))


@dataclass(frozen=True)
class Goal:
    """One number that the router must hold: a ratio, at least `wanted`. flawed: from windows that do not count."""

    text: str
    measured: float
    wanted: float
    held: bool
    flawed: bool


REFERENCES = ("vllm-router", "vllm-router-lean")  # as its documentation starts it, and at its best: both are told


def goals(found: Sequence[Row], own: str = "genset") -> list[Goal]:
    """The goals that can be judged from these rows, against every variant of the reference that was measured."""
    table = {row.peer: row for row in found}
    if own not in table:
        return []
    return [goal for name in REFERENCES if name in table for goal in _against(table[own], table[name])]


def _against(ours: Row, theirs: Row) -> list[Goal]:
    judged = []
    for text, mine, other, wanted in (
        ("requests/s", ours.requests_per_second, theirs.requests_per_second, 2.0),
        ("requests per CPU second", theirs.cpu_per_request, ours.cpu_per_request, 2.0),
        ("chunks per CPU second", theirs.cpu_per_chunk, ours.cpu_per_chunk, 1.0),
    ):
        if mine.median and other.median:
            ratio = mine.median / other.median
            flawed = mine.flawed or other.flawed
            judged.append(Goal(f"{text}, times {theirs.peer}'s", ratio, wanted, ratio >= wanted, flawed))
    return judged
