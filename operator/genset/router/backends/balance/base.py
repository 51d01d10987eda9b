"""What a strategy is: a pure choice among the endpoints of a backend that may take a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar


class Loaded(Protocol):
    """What a strategy sees of an endpoint. `seed`: 64 bits of its name, the same in every router."""

    in_flight: int
    seed: int


class Tally(Protocol):
    """What a strategy counts."""

    affinity_hits: int
    affinity_misses: int


E = TypeVar("E", bound=Loaded)


class Choose(Protocol):
    def __call__(self, endpoints: Sequence[E], turn: int, key: int | None, tally: Tally) -> E:
        """One of `endpoints` (not empty).

        `turn` counts the requests of the backend. `key` stands for the beginning of the prompt; None where there is no
        prompt, or where the strategy does not read it.
        """


class Strategy(NamedTuple):
    """`reads_prompt`: requests have to bring the key of their prompt; it costs time, so only where it is wanted."""

    choose: Choose
    reads_prompt: bool


def least_loaded(endpoints: Sequence[E], turn: int) -> E:
    """The endpoint with the least requests in flight; among equals the next in turn."""
    count = len(endpoints)
    if count == 1:
        return endpoints[0]
    start = turn % count
    best = endpoints[start]
    for offset in range(1, count):
        other = endpoints[(start + offset) % count]
        if other.in_flight < best.in_flight:
            best = other
    return best
