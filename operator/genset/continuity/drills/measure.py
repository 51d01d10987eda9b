"""What a drill's own requests met becomes the numbers of the drill. Pure.

All times are seconds of one monotonic clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from genset.contracts.drill import Measured


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe is one request of a drill that has ended. `first` is when its first token came; None: there was none.

    `whole`: the answer was complete. `backend` and `tier` say who gave it, or the last part of it. `live`: a client has asked;
    `spared`: nobody else has answered it, so that the drill let it go, and in an outage it would have been lost.
    """

    route: str
    began: float
    first: float | None
    ended: float
    whole: bool
    backend: str = ""
    tier: int = 0
    continued: bool = False
    live: bool = False
    spared: bool = False

    @property
    def answered(self) -> bool:
        """An answer without a token is none, however complete it looks; nor is one that an outage would not have let come."""
        return self.whole and self.first is not None and not self.spared


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """A window is when the fault began and was lifted. `detected`: when all that was taken was passed over; None: never."""

    began: float
    lifted: float
    detected: float | None = None


def measure(probes: Iterable[Probe], window: FaultWindow, taken: Collection[str]) -> Measured:
    """Returns what the probes of one router say. Those that had ended before the fault are the measure of what is usual."""
    found = sorted(probes, key=lambda probe: probe.began)
    usual = usual_tiers(found, window.began)
    struck = [probe for probe in found if probe.ended >= window.began and probe.began < window.lifted]
    waits = sorted(p.first - p.began for p in struck if p.first is not None and p.first >= window.began and p.answered)
    return Measured(
        requests=len(struck),
        lost=sum(not p.answered and p.first is None and not p.spared for p in struck),
        cut=sum(not p.answered and p.first is not None and not p.spared for p in struck),
        continued=sum(p.answered and p.continued for p in struck),
        degraded=sum(p.answered and p.tier > usual.get(p.route, p.tier) for p in struck),
        live=sum(p.live for p in struck),
        spared=sum(p.spared for p in struck),
        detection=_since(window.began, window.detected),
        first_byte_p50=_rank(waits, 50),
        first_byte_p99=_rank(waits, 99),
        rto=_since(window.began, _restored([p for p in struck if p.began >= window.began])),
        give_back=_since(window.lifted, _given_back(found, window, usual, taken)),
    )


def usual_tiers(probes: Iterable[Probe], until: float) -> dict[str, int]:
    """Returns the tier that answers a route's requests in peace: that of most of them."""
    seen: dict[str, Counter[int]] = {}
    for probe in probes:
        if probe.ended < until and probe.answered:
            seen.setdefault(probe.route, Counter())[probe.tier] += 1
    return {route: min(tiers, key=lambda tier: (-tiers[tier], tier)) for route, tiers in seen.items()}


def _restored(struck: Sequence[Probe]) -> float | None:
    """Returns when the first token came after which no request was lost any more. The probes began under the fault."""
    failed = [number for number, probe in enumerate(struck) if not probe.answered]
    after = struck[failed[-1] + 1 :] if failed else struck
    return min((probe.first for probe in after if probe.first is not None), default=None)


def _given_back(
    probes: Iterable[Probe], window: FaultWindow, usual: dict[str, int], taken: Collection[str]
) -> float | None:
    """Returns when the last route had a first token of a backend that was taken away; None if one of them has none yet."""
    waiting = set(usual)
    latest = None
    for probe in sorted((p for p in probes if p.began >= window.lifted and p.answered), key=lambda p: p.first or 0.0):
        if probe.route in waiting and probe.backend in taken:
            waiting.remove(probe.route)
            latest = probe.first
    return latest if not waiting else None


def _since(began: float, at: float | None) -> float | None:
    return None if at is None else round(max(0.0, at - began), 3)


def _rank(values: Sequence[float], percent: int) -> float | None:
    """Returns a percentile of sorted values, by the nearest rank."""
    return round(values[max(0, -(-len(values) * percent // 100) - 1)], 3) if values else None


def combined(measured: Sequence[Measured]) -> Measured:
    """Returns what all routers together have shown: counts are added up, and of times the worst one counts.

    A time that one router does not have is not had: what never came back there has no end.
    """
    return Measured(
        requests=sum(one.requests for one in measured),
        lost=sum(one.lost for one in measured),
        cut=sum(one.cut for one in measured),
        continued=sum(one.continued for one in measured),
        degraded=sum(one.degraded for one in measured),
        live=sum(one.live for one in measured),
        spared=sum(one.spared for one in measured),
        detection=_worst(one.detection for one in measured),
        first_byte_p50=_worst(one.first_byte_p50 for one in measured),
        first_byte_p99=_worst(one.first_byte_p99 for one in measured),
        rto=_worst(one.rto for one in measured),
        give_back=_worst(one.give_back for one in measured),
    )


def _worst(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return max(known) if known and len(known) == len(found) else None
