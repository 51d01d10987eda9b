"""The line before a full backend holds the requests that wait for a place there; clients take turns in it.

A request waits in the lines of all backends that could answer it, and leaves all of them once it has a place. Whoever
frees a place or leaves the line calls `wake`. Only the first in line may take the place, so that nobody overtakes, and
no place stays empty while somebody waits. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from genset.router.backends.lines import Lines, Rank


class Wakeable(Protocol):
    def wake(self) -> None:
        """Tells that a place may be free, or that this waiter has lost its place in line.

        It must not act before the caller has returned, because the caller is still changing the line.
        """


class Line:
    """A line lets at most `most` requests wait, each for at most `seconds`."""

    __slots__ = ("_ahead", "_waiting", "most", "seconds")

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self._ahead: OrderedDict[Wakeable, None] = OrderedDict()  # ahead of everybody else, latest first
        self._waiting: Lines[Wakeable] = Lines()

    def __len__(self) -> int:
        return len(self._ahead) + len(self._waiting)

    def join(self, waiter: Wakeable, origin: str = "", rank: int = Rank.NORMAL, *, ahead: bool = False) -> bool:
        """Puts a waiter at the end of its client's queue, unless it waits already. Returns False if the line is full.

        A full line makes room for a higher rank, and for a client that has fewer requests in it. `ahead` puts the waiter at the
        head, full line or not, because its client already has a part of the answer; it is only for a waiter that has just found
        no place.
        """
        if waiter in self._waiting or waiter in self._ahead:
            return True
        if ahead:
            self._ahead[waiter] = None
            self._ahead.move_to_end(waiter, last=False)
            return True
        if len(self) >= self.most:
            last = self._waiting.making_way(origin, rank)
            if last is None:
                return False
            self._waiting.remove(last)
            last.wake()
        self._waiting.add(waiter, origin, 0.0, rank)
        return True

    def leave(self, waiter: Wakeable) -> None:
        """Takes a waiter out of the line, with a place or without, and wakes the next one.

        Nothing happens if it does not stand in this line.
        """
        first = self.first is waiter
        if waiter in self._ahead:
            del self._ahead[waiter]
        elif waiter not in self._waiting:
            return
        elif first:
            self._waiting.pop_first()
        else:
            self._waiting.remove(waiter)
        if first:
            self.wake()

    @property
    def first(self) -> Wakeable | None:
        return next(iter(self._ahead), None) or self._waiting.first

    def wake(self) -> None:
        """Wakes the first in line, because a place may be free."""
        first = self.first
        if first is not None:
            first.wake()
