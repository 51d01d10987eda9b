"""The gate: how many requests are in work, how many may wait, how long; and how many begin in one turn of the loop.

No IO and no clock of its own. Order of arrival is order of service.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from genset.router.config import LimitsConfig

W = TypeVar("W")

#: Requests that begin before the event loop has its next turn. While more than 1,024 sockets are ready libuv reads on,
#: up to 48 times as many (`uv__io_poll` in its src/unix/linux.c), and timers and new connections wait: for seconds where
#: each answer of a backend lets another request begin, whose answer is there before the others were read.
BEGUN_AT_ONCE: Final = 256


class Gate(Generic[W]):
    """`W` is whatever waits. `begin` is called for a waiter whose turn has come, `soon` for what the loop is to call."""

    def __init__(self, begin: Callable[[W], None], soon: Callable[[Callable[[], None]], object]) -> None:
        self._begin = begin
        self._soon = soon
        self._waiting: OrderedDict[W, float] = OrderedDict()
        self.limits = LimitsConfig()
        self._most = self.limits.max_in_flight
        self._may_begin = BEGUN_AT_ONCE
        self._turn_asked = False
        self.in_flight = 0

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def enter(self, waiter: W, now: float) -> bool:
        """A place at once, or one in the queue; False when the queue is full."""
        free = self._most - self.in_flight
        if free > 0 and self._may_begin:
            self._let_in(waiter)
            return True
        if len(self._waiting) >= self.limits.max_queued + max(0, free):
            return False
        self._waiting[waiter] = now
        self._admit()
        return True

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
            if not self._may_begin:
                if not self._turn_asked:
                    self._turn_asked = True
                    self._soon(self._next_turn)
                return
            self._let_in(self._waiting.popitem(last=False)[0])

    def _let_in(self, waiter: W) -> None:
        self.in_flight += 1
        self._may_begin -= 1
        self._begin(waiter)

    def _next_turn(self) -> None:
        self._turn_asked = False
        self._may_begin = BEGUN_AT_ONCE
        self._admit()
