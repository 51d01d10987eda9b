"""Least requests in flight; among equals the next in turn, so that an idle backend's endpoints share evenly."""

from __future__ import annotations

from collections.abc import Sequence

from genset.router.balance.base import E, Strategy, Tally


def choose(endpoints: Sequence[E], turn: int, key: int | None, tally: Tally) -> E:
    """Reads neither the key nor the tally."""
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


STRATEGY = Strategy(choose, reads_prompt=False)
