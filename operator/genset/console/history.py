"""History is what routers have done lately, as their counters told: kept in memory, bounded, and lost with the console. Pure.

Each policy has a track. A sample is the answers by route and tier of ten seconds; a mark is a failover, put down the moment
that a counter has moved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from genset.console.numbers import FailoverKey, RouterNumbers
from genset.histograms import quantile

SAMPLE_SECONDS: Final = 10.0
SAMPLES: Final = 180  # half an hour
MARKS: Final = 200  # of one policy
RATE_SECONDS: Final = 15.0  # over which tokens a second are reckoned
WINDOW_SECONDS: Final = 300.0  # over which waits for the first token are
MOST_ROUTES: Final = 64  # of one sample
Tiers = Mapping[tuple[str, str], int]  # by route and backend, from 1


@dataclass(frozen=True)
class TierSample:
    """A sample is what was answered from `at` on: whole answers by route and tier, the first tier first."""

    at: float
    answers: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class FailoverMark:
    """A mark is one or more answers that a later tier gave, because of `reason`."""

    at: float
    route: str
    backend: str
    reason: str
    count: int


@dataclass
class _Counters:
    """What one router has counted: when it was last heard, and some of what it said before."""

    numbers: RouterNumbers
    tokens: deque[tuple[float, dict[str, float]]] = field(default_factory=lambda: deque(maxlen=32))
    waits: deque[tuple[float, dict[str, dict[float, float]]]] = field(default_factory=lambda: deque(maxlen=8))


@dataclass
class PolicyTrack:
    """A track is the history of one policy. Routers are named by their pods; one that is gone is forgotten."""

    samples: deque[TierSample] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    marks: deque[FailoverMark] = field(default_factory=lambda: deque(maxlen=MARKS))
    begun: float = 0.0  # the sample that is being counted
    counted: dict[str, list[int]] = field(default_factory=dict)
    routers: dict[str, _Counters] = field(default_factory=dict)

    def heard(self, router: str, numbers: RouterNumbers, tiers: Tiers, now: float) -> bool:
        """Takes what a router has counted. Returns whether a failover is new."""
        known = self.routers.get(router)
        if known is None:
            self.routers[router] = known = _Counters(numbers)
            self._remember(known, numbers, now)
            return False
        before, known.numbers = known.numbers, numbers
        self._remember(known, numbers, now)
        failed_over = self._failovers(before, numbers, tiers, now)
        self._answers(before, numbers, failed_over, tiers, now)
        return bool(failed_over)

    def forget(self, routers: Iterable[str]) -> None:
        """Forgets the counters of routers that are no more."""
        for name in list(routers):
            self.routers.pop(name, None)

    def tokens_per_second(self, backend: str, now: float) -> float | None:
        """Returns how many tokens a second a backend makes for all routers; None if no router told it twice lately."""
        found: float | None = None
        for one in self.routers.values():
            recent = [(at, told) for at, told in one.tokens if now - at <= 2 * RATE_SECONDS]
            if len(recent) < 2:
                continue
            (first, before), (last, after) = recent[0], recent[-1]
            if backend in after and last > first:
                made = max(0.0, after[backend] - before.get(backend, 0.0))
                found = (found or 0.0) + made / (last - first)
        return found

    def first_token(self, backend: str, share: float) -> float | None:
        """Returns how long this share of answers waited for their first token in the last minutes; None without any."""
        counts: dict[float, float] = {}
        for one in self.routers.values():
            after = one.numbers.first_token.get(backend, {})
            before = one.waits[0][1].get(backend, {}) if one.waits else {}
            for bound, count in after.items():
                counts[bound] = counts.get(bound, 0.0) + max(0.0, count - before.get(bound, 0.0))
        return quantile(counts, share)

    def _remember(self, known: _Counters, numbers: RouterNumbers, now: float) -> None:
        if known.tokens and any(numbers.tokens.get(name, 0.0) < was for name, was in known.tokens[-1][1].items()):
            known.tokens.clear()  # it has begun anew
            known.waits.clear()
        known.tokens.append((now, numbers.tokens))
        while len(known.tokens) > 2 and now - known.tokens[1][0] >= RATE_SECONDS:
            known.tokens.popleft()
        if not known.waits or now - known.waits[-1][0] >= WINDOW_SECONDS / 5:
            known.waits.append((now, numbers.first_token))
        while len(known.waits) > 1 and now - known.waits[0][0] > WINDOW_SECONDS:
            known.waits.popleft()

    def _failovers(
        self, before: RouterNumbers, after: RouterNumbers, tiers: Tiers, now: float
    ) -> dict[FailoverKey, int]:
        found = {}
        for key, count in after.failovers.items():
            more = _more(before.failovers.get(key, 0.0), count)
            if more:
                found[key] = more
                self.marks.append(FailoverMark(now, *key, more))
        return found

    def _answers(
        self,
        before: RouterNumbers,
        after: RouterNumbers,
        failed_over: Mapping[FailoverKey, int],
        tiers: Tiers,
        now: float,
    ) -> None:
        if now - self.begun >= SAMPLE_SECONDS:
            self._close(now)
        for route, count in after.answers.items():
            more = _more(before.answers.get(route, 0.0), count)
            if more and route and (route in self.counted or len(self.counted) < MOST_ROUTES):
                self._count(route, 1, more)
        for (route, backend, _), more in failed_over.items():
            if route in self.counted:
                self._count(route, tiers.get((route, backend), 2), more)
                self._count(route, 1, -more)

    def _count(self, route: str, tier: int, more: int) -> None:
        held = self.counted.setdefault(route, [])
        held.extend(0 for _ in range(tier - len(held)))
        held[tier - 1] = max(0, held[tier - 1] + more)

    def _close(self, now: float) -> None:
        if self.counted:
            self.samples.append(TierSample(self.begun, {route: tuple(held) for route, held in self.counted.items()}))
        self.counted = {}
        self.begun = now


def _more(before: float, after: float) -> int:
    """Returns how much a counter has grown; one that has become smaller has begun anew."""
    return int(after - before if after >= before else after)
