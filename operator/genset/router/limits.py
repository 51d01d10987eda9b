"""The gate: how many requests are in work, how many may wait, how long; and how many begin in one turn of the loop.

No IO and no clock of its own. The waiters of one client are served in the order of their arrival. Clients take turns, so
that a line of one of them keeps nobody else waiting; where only one waits, it gets everything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from genset.router.config import LimitsConfig
from genset.router.errors import FULL_SECONDS, error

W = TypeVar("W")

#: Requests that begin before the event loop has its next turn. While more than 1,024 sockets are ready libuv reads on,
#: up to 48 times as many (`uv__io_poll` in its src/unix/linux.c), and timers and new connections wait: for seconds where
#: each answer of a backend lets another request begin, whose answer is there before the others were read.
BEGUN_AT_ONCE: Final = 256

UNTIL_CONFIGURED_BYTES: Final = 64 * 1024 * 1024  # that bodies may take
#: Of the pod's memory: a quarter for bodies, which are there once more while backends take them, and a quarter for the
#: process itself. What these leave is for the one body that is being read.
_SHARES: Final = 4
ROUTER_FULL: Final = error(
    "router_overloaded", "the router is full: limits.maxInFlight and maxQueued", retry_after=FULL_SECONDS
)


def most_body_bytes(limits: LimitsConfig) -> int:
    """Bytes of all bodies together, in arrival and in work; one always fits."""
    return max(limits.memory_bytes // _SHARES, limits.max_body_bytes)


def room_bytes(limits: LimitsConfig) -> int:
    """Bytes of all bodies together with what is made of one of them to read it."""
    return max(limits.memory_bytes - limits.memory_bytes // _SHARES, 3 * limits.max_body_bytes)


class Gate(Generic[W]):
    """`W` is whatever waits. `begin` is called for a waiter whose turn has come, `soon` for what the loop is to call.

    `evict` is called for a waiter whose place in a full line somebody else gets; it is to `leave` at once. Without it a
    full line is full for everybody.
    """

    def __init__(
        self,
        begin: Callable[[W], None],
        soon: Callable[[Callable[[], None]], object],
        evict: Callable[[W], None] | None = None,
    ) -> None:
        self._begin = begin
        self._soon = soon
        self._evict = evict
        self._waiting: dict[W, str] = {}  # whose each of them is
        self._lines: OrderedDict[str, OrderedDict[W, float]] = OrderedDict()  # by whose they are, the next one first
        self.limits = LimitsConfig()
        self._most = self.limits.max_in_flight
        self._may_begin = BEGUN_AT_ONCE
        self._turn_asked = False
        self.in_flight = 0

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def enter(self, waiter: W, now: float, origin: str = "") -> bool:
        """A place at once, or one in the line; False when the line is full. `origin`: whose it is."""
        free = self._most - self.in_flight
        if free > 0 and self._may_begin:
            self._let_in(waiter)
            return True
        if len(self._waiting) >= self.limits.max_queued + max(0, free) and not self._make_room(origin):
            return False
        self._waiting[waiter] = origin
        line = self._lines.get(origin)
        if line is None:
            line = self._lines[origin] = OrderedDict()
        line[waiter] = now
        self._admit()
        return True

    def leave(self, waiter: W) -> None:
        """A request ended: the next one's turn; or a waiter went away."""
        if not self._waiting:
            self.in_flight -= 1
        elif waiter in self._waiting:
            origin = self._waiting.pop(waiter)
            line = self._lines[origin]
            del line[waiter]
            if not line:
                del self._lines[origin]
        else:
            self.in_flight -= 1
            self._admit()

    def overdue(self, now: float) -> list[W]:
        """Waiters whose patience (`queue_seconds`) is over. They are still to `leave`."""
        late: list[W] = []
        for line in self._lines.values():
            for waiter, since in line.items():
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
            self._let_in(self._next())

    def _next(self) -> W:
        """The first waiter of whoever's turn it is, taken out of the line."""
        origin, line = next(iter(self._lines.items()))
        waiter = line.popitem(last=False)[0]
        del self._waiting[waiter]
        if line:
            self._lines.move_to_end(origin)
        else:
            del self._lines[origin]
        return waiter

    def _make_room(self, origin: str) -> bool:
        """In a full line: the last one of whoever has most in it makes way for somebody who has fewer."""
        if self._evict is None or not self._lines:
            return False
        most = max(self._lines, key=lambda other: len(self._lines[other]))
        own = self._lines.get(origin)
        if len(self._lines[most]) <= (len(own) if own is not None else 0) + 1:
            return False
        last = next(reversed(self._lines[most]))
        self._evict(last)
        return last not in self._waiting

    def _let_in(self, waiter: W) -> None:
        self.in_flight += 1
        self._may_begin -= 1
        self._begin(waiter)

    def _next_turn(self) -> None:
        self._turn_asked = False
        self._may_begin = BEGUN_AT_ONCE
        self._admit()
