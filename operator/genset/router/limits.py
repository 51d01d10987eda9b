"""The gate: how many requests are in work, how many may wait, how long.

No IO and no clock of its own. Order of arrival is order of service.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from genset.router.config import LimitsConfig

W = TypeVar("W")


class Gate(Generic[W]):
    """`W` is whatever waits. `begin` is called for a waiter whose turn has come."""

    def __init__(self, begin: Callable[[W], None]) -> None:
        self._begin = begin
        self._waiting: OrderedDict[W, float] = OrderedDict()
        self.limits = LimitsConfig()
        self._most = self.limits.max_in_flight
        self.in_flight = 0

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def enter(self, waiter: W, now: float) -> bool:
        """A place at once, or one in the queue; False when the queue is full."""
        if self.in_flight < self._most:
            self.in_flight += 1
            self._begin(waiter)
            return True
        if len(self._waiting) < self.limits.max_queued:
            self._waiting[waiter] = now
            return True
        return False

    def leave(self, waiter: W) -> None:
        """A request ended: the next one's turn; or a waiter went away."""
        if not self._waiting:
            self.in_flight -= 1
        elif waiter in self._waiting:
            del self._waiting[waiter]
        else:
            self.in_flight -= 1
            self._admit()

    def overdue(self, now: float) -> list[W]:
        """Waiters whose patience (`queue_seconds`) is over. They are still to `leave`."""
        late: list[W] = []
        for waiter, since in self._waiting.items():
            if now - since < self.limits.queue_seconds:
                break
            late.append(waiter)
        return late

    def set_limits(self, limits: LimitsConfig) -> None:
        """New limits; a higher one lets waiters in."""
        self.limits = limits
        self._most = limits.max_in_flight
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.in_flight < self._most:
            waiter, _ = self._waiting.popitem(last=False)
            self.in_flight += 1
            self._begin(waiter)
