"""The plain counters of a backend: integers that the hot path adds to, and nothing else. `exposition` renders them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
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
#: What the router itself takes: from where it only copies bytes to where requests wait for a place.
ADDED_SECONDS: Final[tuple[float, ...]] = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip


class Histogram:
    """How many values (seconds, tokens) fell under each bound, and their sum. `bounds` ascend."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add(self, values: Iterable[float]) -> None:
        """Many at once: sorted, so that each bound is looked for in them, not each of them among the bounds."""
        ordered = sorted(values)
        below = 0
        for index, bound in enumerate(self.bounds):
            upto = bisect_right(ordered, bound, below)
            self.counts[index] += upto - below
            below = upto
        self.counts[-1] += len(ordered) - below
        self.sum += sum(ordered)

    def buckets(self) -> list[tuple[str, float]]:
        total = 0
        out: list[tuple[str, float]] = []
        for bound, count in zip([*map(repr, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            out.append((bound, total))
        return out


class BackendNumbers:
    """One backend's numbers; they outlive the backend's configuration."""

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
        self.requests = 0  # answered wholly
        self.failures: defaultdict[str, int] = defaultdict(int)  # attempts, by outcome
        self.first_token = Histogram()
        self.duration = Histogram()
        self.prompt_tokens = 0
        self.tokens = 0
        self.full = 0  # requests that found every endpoint at its bound
        self.queued = 0  # of them, those that stood in line
        self.affinity_hits = 0  # prompts given to the endpoint that holds their beginning
        self.affinity_misses = 0  # given to another one, because it had more than its share

    def found_full(self) -> None:
        self.full += 1

    def stood_in_line(self) -> None:
        self.queued += 1

    def failed(self, outcome: str) -> None:
        self.failures[outcome] += 1
