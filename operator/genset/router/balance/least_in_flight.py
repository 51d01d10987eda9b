"""Least requests in flight; among equals the next in turn, so that an idle backend's endpoints share evenly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Loaded(Protocol):
    in_flight: int


E = TypeVar("E", bound=Loaded)


def choose(endpoints: Sequence[E], turn: int) -> E:
    """One of `endpoints` (not empty). `turn` counts the requests of the backend."""
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
