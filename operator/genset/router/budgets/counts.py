"""WindowCounts say what was spent in one window of one budget, by each life of each router that has spent.

Each router adds to its own count alone, and takes the most that it has heard of every other one's. So what is told twice, late or
by somebody else counts once, and a sum is never too high; it is the same everywhere once everything was heard. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, final

MOST_KNOWN: Final = 5_000  # lives of routers that are remembered in one window
MOST_TOLD: Final = 250  # of others, to another router: an answer of the admin port is not longer than 1 MiB


@final
class WindowCounts:
    """Amounts are counted as `pricing.money` does. `own` is this router's, `total` everybody's that is known."""

    __slots__ = ("_others", "begin", "own", "total")

    def __init__(self, begin: int) -> None:
        self.begin = begin  # of the window, seconds since 1970
        self.own = 0
        self.total = 0
        self._others: dict[str, int] = {}

    def add(self, amount: int) -> None:
        """WindowCounts what this router has spent."""
        self.own += amount
        self.total += amount

    def hear(self, identity: str, amount: int) -> None:
        """Takes what another life of a router has spent, as somebody has told it."""
        known = self._others.get(identity, 0)
        if amount > known and (known or len(self._others) < MOST_KNOWN):
            self._others[identity] = amount
            self.total += amount - known

    def told(self, identity: str) -> Iterator[tuple[str, int]]:
        """Yields what is known, for others: the most of it, if it is too much. `identity`: of this life of this router."""
        if self.own:
            yield identity, self.own
        others = list(self._others.items())
        if len(others) > MOST_TOLD:
            others = sorted(others, key=lambda one: one[1], reverse=True)[:MOST_TOLD]
        yield from others

    @property
    def others(self) -> Mapping[str, int]:
        return self._others
