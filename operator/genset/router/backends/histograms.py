"""A backend's counters are plain numbers that the hot path adds to; `process.exposition` renders them."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

SECONDS: Final[tuple[float, ...]] = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)
#: Time that the router itself adds: from copying bytes (50 µs) to requests that wait for a place (30 s).
ADDED_SECONDS: Final[tuple[float, ...]] = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip


class Histogram:
    """A histogram counts values (seconds, tokens) by upper bound, and sums them. `bounds` ascend."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts a value. Most are among the first bounds, which a loop finds sooner than `bisect`, compiled."""
        at = 0
        for bound in self.bounds:
            if value <= bound:
                break
            at += 1
        counts = self.counts
        counts[at] = counts[at] + 1  # `+=` on a list takes three times as long, compiled
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        total = 0
        out: list[tuple[str, float]] = []
        for bound, count in zip([*map(repr, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            out.append((bound, total))
        return out


class BackendNumbers:
    """BackendNumbers are the counters of one backend; they outlive its configuration."""

    __slots__ = (
        "affinity_hits",
        "affinity_misses",
        "duration",
        "failures",
        "first_token",
        "full",
        "prompt_tokens",
        "queued",
        "requests",
        "tokens",
    )

    def __init__(self) -> None:
        self.requests = 0  # answered completely
        self.failures: defaultdict[str, int] = defaultdict(int)  # failed attempts, by outcome
        self.first_token = Histogram()
        self.duration = Histogram()
        self.prompt_tokens = 0
        self.tokens = 0
        self.full = 0  # requests that found every endpoint at its bound
        self.queued = 0  # those among `full` that joined the line
        self.affinity_hits = 0  # prompts sent to the endpoint whose cache holds their beginning
        self.affinity_misses = 0  # prompts sent to another endpoint, because that one was above its bound

    def answered(self) -> None:
        self.requests += 1

    def used(self, prompt: int, completion: int) -> None:
        """Counts tokens that the backend has read and written."""
        self.prompt_tokens += prompt
        self.tokens += completion

    def found_full(self) -> None:
        self.full += 1

    def stood_in_line(self) -> None:
        self.queued += 1

    def failed(self, outcome: str) -> None:
        self.failures[outcome] += 1
