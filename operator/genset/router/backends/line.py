"""The line before a full backend: who waits for a place. Clients take turns in it.

Pure. A request waits in the lines of all backends that could answer it and leaves them all with the first place.
Whoever frees a place, or leaves the line, calls `wake`; only the first in line may then take the place, so nobody is
ahead of those whose turn it is, and no place stays empty while somebody waits.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from genset.router.backends.lines import Lines


class Waiter(Protocol):
    def wake(self) -> None:
        """There may be a place now, or the one in line is lost. Must not act before the caller has returned: the caller
        is in the middle."""


class Line:
    """`most` requests may wait, each for at most `seconds`."""

    __slots__ = ("_ahead", "_waiting", "most", "seconds")

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self._ahead: OrderedDict[Waiter, None] = OrderedDict()  # of everybody, the last one first
        self._waiting: Lines[Waiter] = Lines()

    def __len__(self) -> int:
        return len(self._ahead) + len(self._waiting)

    def join(self, waiter: Waiter, origin: str = "", *, ahead: bool = False) -> bool:
        """At the end of its client's line, or where the waiter stands already; False when the line is full.

        A full line makes way for a client who has fewer in it. `ahead`: at its head, full or not, because half of the
        answer is with the client. Only for one who has just looked for a place in vain.
        """
        if waiter in self._waiting or waiter in self._ahead:
            return True
        if ahead:
            self._ahead[waiter] = None
            self._ahead.move_to_end(waiter, last=False)
            return True
        if len(self) >= self.most:
            last = self._waiting.making_way(origin)
            if last is None:
                return False
            self._waiting.remove(last)
            last.wake()
        self._waiting.add(waiter, origin)
        return True

    def leave(self, waiter: Waiter) -> None:
        """With a place or without; the next one is woken. Nothing happens to those who do not stand here."""
        first = self.first is waiter
        if waiter in self._ahead:
            del self._ahead[waiter]
        elif waiter not in self._waiting:
            return
        elif first:
            self._waiting.pop(next(iter(self._waiting.origins)))
        else:
            self._waiting.remove(waiter)
        if first:
            self.wake()

    @property
    def first(self) -> Waiter | None:
        return next(iter(self._ahead), None) or self._waiting.first

    def wake(self) -> None:
        """A place may be free: whoever is first looks for it."""
        first = self.first
        if first is not None:
            first.wake()
