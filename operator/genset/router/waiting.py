"""The line before a full backend: who waits for a place, first come, first served.

Pure. A request waits in the lines of all backends that could answer it and leaves them all with the first place.
Whoever frees a place, or leaves the line, calls `wake`; only the first in line may then take the place, so nobody who
came later is ever ahead, and no place stays empty while somebody waits.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol


class Waiter(Protocol):
    def wake(self) -> None:
        """There may be a place now. Must not take it before the caller has returned: the caller is in the middle."""


class Line:
    """`most` requests may wait, each for at most `seconds`."""

    __slots__ = ("_waiting", "most", "seconds")

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self._waiting: OrderedDict[Waiter, None] = OrderedDict()  # in the order of arrival

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, waiter: Waiter, *, ahead: bool = False) -> bool:
        """At the end of the line, or where the waiter stands already; False when the line is full.

        `ahead`: at its head, full or not, because half of the answer is with the client. Only for one who has just
        looked for a place in vain.
        """
        if waiter in self._waiting:
            return True
        if len(self._waiting) >= self.most and not ahead:
            return False
        self._waiting[waiter] = None
        if ahead:
            self._waiting.move_to_end(waiter, last=False)
        return True

    def leave(self, waiter: Waiter) -> None:
        """With a place or without; the next one is woken. Nothing happens to those who do not stand here."""
        if waiter not in self._waiting:
            return
        first = self.first is waiter
        del self._waiting[waiter]
        if first:
            self.wake()

    @property
    def first(self) -> Waiter | None:
        return next(iter(self._waiting), None)

    def wake(self) -> None:
        """A place may be free: whoever is first looks for it."""
        first = self.first
        if first is not None:
            first.wake()
