"""The plain counters of a backend: integers that the hot path adds to, and nothing else. `metrics` renders them."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_BOUNDS = [*map(str, SECONDS), "+Inf"]


class Histogram:
    """Durations in seconds."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        total = 0
        out: list[tuple[str, float]] = []
        for bound, count in zip(_BOUNDS, self.counts, strict=True):
            total += count
            out.append((bound, total))
        return out


class BackendNumbers:
    """One backend's numbers; they outlive the backend's configuration."""

    __slots__ = ("duration", "failures", "first_token", "prompt_tokens", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = 0  # answered wholly
        self.failures: defaultdict[str, int] = defaultdict(int)  # attempts, by outcome
        self.first_token = Histogram()
        self.duration = Histogram()
        self.prompt_tokens = 0
        self.tokens = 0

    def failed(self, outcome: str) -> None:
        self.failures[outcome] += 1
