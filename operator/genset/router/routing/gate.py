"""The gate bounds how many requests run, how many wait and for how long, and how many begin in one turn of the loop.

Clients take turns in its line, and no client gets all places: see `lines` and `shares`. No IO, and no clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from genset.contracts.router_config import LimitsConfig
from genset.router.backends.lines import Lines, Queue, Rank
from genset.router.errors import FULL_SECONDS, error
from genset.router.routing.shares import ALPHA, LOW_ALPHA, Shares

W = TypeVar("W")

#: Requests that may begin before the event loop has its next turn. While more than 1,024 sockets are ready libuv keeps
#: reading, up to 48 times as many (`uv__io_poll` in its src/unix/linux.c), and timers and new connections wait: for
#: seconds if each answer lets another request begin that is answered before the other sockets were read.
BEGUN_AT_ONCE: Final = 256

UNTIL_CONFIGURED_BYTES: Final = 64 * 1024 * 1024  # for bodies, before a configuration says more
#: Divisor of the pod's memory: a quarter is for bodies, as much again for their copies while backends take them, and a
#: quarter for the process itself. The rest is for the one body that is being read.
_SHARES: Final = 4
ROUTER_FULL: Final = error(
    "router_overloaded",
    "the router is full: its RoutePolicy lets limits.maxInFlight requests run and limits.maxQueued wait; try again later",
    retry_after=FULL_SECONDS,
)


def most_body_bytes(limits: LimitsConfig) -> int:
    """Returns how many bytes may be held for clients, mostly bodies; one client's share always holds the largest body."""
    return max(limits.memory_bytes // _SHARES, limits.max_body_bytes + limits.max_body_bytes // ALPHA + 1024 * 1024)


def room_bytes(limits: LimitsConfig) -> int:
    """Returns how many bytes all bodies may take, together with what is made of one of them to read it."""
    return max(limits.memory_bytes - limits.memory_bytes // _SHARES, 3 * limits.max_body_bytes)


class Gate(Generic[W]):
    """A gate lets waiters of type `W` begin as soon as there is a place.

    `soon` has the loop call a function in its next turn. `begin` is called for a waiter whose turn has come. `evict` is
    called for one whose place in a full line somebody else gets, and who has to `leave` at once. Without `evict`, a
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
        self.queue_seconds = 0.0
        self._max_queued = 0
        self._places = Shares(0)  # closed until there are limits
        self._waiting: Lines[W] = Lines()
        self._may_begin = BEGUN_AT_ONCE
        self._turn_asked = False

    @property
    def in_flight(self) -> int:
        return self._places.taken

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def enter(self, waiter: W, now: float, origin: str = "", rank: int = Rank.NORMAL) -> bool:
        """Gives a waiter of the client `origin` a place, or one in the line. Returns False if the line is full.

        `rank` is how urgent it is (see `lines`).
        """
        if self._may_begin and self._places.takes(origin, 1, _alpha(rank)):
            self._start(waiter)
            return True
        begin_soon = 0 if self._may_begin else max(0, self._places.most - self._places.taken)
        if len(self._waiting) >= self._max_queued + begin_soon and not self._make_room(origin, rank):
            return False
        self._waiting.add(waiter, origin, now, rank)
        self._admit()
        return True

    def leave(self, waiter: W, origin: str = "") -> None:
        """Takes back the place of a request that has ended, or of a waiter that went away, and lets the next one begin.

        It is called once for each that entered, with the same `origin`.
        """
        waiting = self._waiting
        if waiting and waiter in waiting:
            waiting.remove(waiter)
            return
        self._places.give(origin)
        if waiting:
            self._admit()

    def overdue(self, now: float) -> list[W]:
        """Returns the waiters that have waited for `queue_seconds`. They still have to `leave`."""
        late: list[W] = []
        for line in self._waiting.since():
            for waiter, since in line:
                if now - since < self.queue_seconds:
                    break
                late.append(waiter)
        return late

    def set_limits(self, limits: LimitsConfig) -> None:
        """Takes new limits. Higher ones let waiters begin."""
        self.queue_seconds = limits.queue_seconds
        self._max_queued = limits.max_queued
        self._places.resize(limits.max_in_flight)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._places.taken < self._places.most:
            if not self._may_begin:
                if not self._turn_asked:
                    self._turn_asked = True
                    self._soon(self._next_turn)
                return
            queue = self._next()
            if queue is None:
                return
            self._start(self._waiting.pop(queue))

    def _next(self) -> Queue[W] | None:
        """Takes a place for the next client in turn that may have one more. Returns its queue; None if there is none."""
        for queue in self._waiting.turns():
            if self._places.takes(queue.origin, 1, _alpha(queue.rank)):
                return queue
        return None

    def _make_room(self, origin: str, rank: int) -> bool:
        """Returns whether somebody in a full line has made way for a client that is more urgent, or has fewer in it."""
        last = self._waiting.making_way(origin, rank) if self._evict is not None else None
        if last is None or self._evict is None:
            return False
        self._evict(last)
        return last not in self._waiting

    def _start(self, waiter: W) -> None:
        self._may_begin -= 1
        self._begin(waiter)

    def _next_turn(self) -> None:
        self._turn_asked = False
        self._may_begin = BEGUN_AT_ONCE
        self._admit()


def _alpha(rank: int) -> int:
    return LOW_ALPHA if rank == Rank.LOW else ALPHA
