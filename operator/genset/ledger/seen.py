"""What has been booked of one spool is a set of numbers, kept as runs: lines are numbered one after the other.

So a line books once, however often and in whatever order it comes, and for as long as the ledger lives.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

MOST_NUMBER: Final = 2**63 - 1


class Seen:
    """These numbers have been seen. `runs` are first and last numbers, in order, apart from each other."""

    def __init__(self, runs: list[list[int]] | None = None) -> None:
        self._firsts = [first for first, _ in runs or ()]
        self._lasts = [last for _, last in runs or ()]

    def add(self, number: int) -> bool:
        """Notes a number. Returns whether it is new."""
        firsts, lasts = self._firsts, self._lasts
        if lasts and number == lasts[-1] + 1:  # almost always
            lasts[-1] = number
            return True
        at = bisect_right(firsts, number)
        if at and number <= lasts[at - 1]:
            return False
        joins_before = at > 0 and lasts[at - 1] == number - 1
        joins_after = at < len(firsts) and firsts[at] == number + 1
        if joins_before and joins_after:
            lasts[at - 1] = lasts.pop(at)
            firsts.pop(at)
        elif joins_before:
            lasts[at - 1] = number
        elif joins_after:
            firsts[at] = number
        else:
            firsts.insert(at, number)
            lasts.insert(at, number)
        return True

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number)
        return at > 0 and number <= self._lasts[at - 1]

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def runs(self) -> list[list[int]]:
        """Returns the runs, as they are kept."""
        return [[first, last] for first, last in self]

    def missing(self) -> Iterator[tuple[int, int]]:
        """Yields first and last number of what lies between the runs, from 1 on: not written yet, on its way, or lost."""
        after = 1
        for first, last in self:
            if first > after:
                yield after, first - 1
            after = last + 1
