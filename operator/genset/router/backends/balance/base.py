"""A strategy is a pure choice among the endpoints of a backend that may take a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar


class Loaded(Protocol):
    """Loaded is what strategies see of an endpoint. `seed` is a 64-bit hash of its name, the same in every router."""

    in_flight: int
    seed: int


class Tally(Protocol):
    """Tally has the counters that strategies add to."""

    affinity_hits: int
    affinity_misses: int


E = TypeVar("E", bound=Loaded)


class Choose(Protocol):
    def __call__(self, endpoints: Sequence[E], turn: int, key: int | None, tally: Tally) -> E:
        """Returns one of `endpoints`, which is not empty.

        `turn` counts the requests of the backend. `key` stands for the beginning of the prompt; None if there is no
        prompt, or the strategy does not read it.
        """


class Strategy(NamedTuple):
    """A strategy chooses endpoints. `reads_prompt`: it needs the prompt's key, whose computation costs time."""

    choose: Choose
    reads_prompt: bool


def least_loaded(endpoints: Sequence[E], turn: int) -> E:
    """Returns the endpoint with the fewest requests in flight, in turn among equals."""
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
