"""Keeps the turns of the event loop short if running streams bring more than it can pass on.

libuv hands out events for as long as more than 1,024 are ready, up to 48 times, and only then looks at timers, tasks and
new connections. Streams that send faster than they are passed on are always ready: a turn took seconds, newcomers waited
for it, and deadlines passed for what nobody had looked at. So, once a turn is long, a running stream that was read rests:
it is read again in a later turn, when those that rest longer have been, a few in each, and in between the loop looks at
everybody else. What it has sent meanwhile comes in one read then, which costs less.

If turns are short, as they are below the router's capacity, this is one addition per read.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final, Protocol

READS_BETWEEN_LOOKS: Final = 64  # at the time; a read costs 10 to 20 µs
LONG_SECONDS: Final = 0.01  # of one turn, after which running streams rest
READ_AGAIN: Final = 256  # streams in one turn, while there are more

_monotonic: Final = time.monotonic


class Resting(Protocol):
    """A resting connection is not read for now."""

    def read_again(self) -> None:
        """Reads on: its turn has come."""


class Turn:
    """A turn of an event loop, the present one. Whoever reads a running stream counts up `reads`; `long`: streams rest."""

    __slots__ = ("_began", "_due", "_ended", "_long_seconds", "_loop", "_resting", "long", "reads")

    def __init__(self, loop: asyncio.AbstractEventLoop, long_seconds: float = LONG_SECONDS) -> None:
        self._loop = loop
        self._long_seconds = long_seconds
        self._resting: deque[Resting] = deque()
        self._began = 0.0
        self._due = False  # the loop will call `_turn_ended`
        self._ended = self._turn_ended
        self.reads = 0
        self.long = False

    def is_long(self) -> bool:
        """Returns exactly whether the turn is long: asked from time to time, and for every read while it is."""
        if self.long:
            return True
        now = _monotonic()
        if not self._due:
            self._due = True
            self._began = now
            self._loop.call_soon(self._ended)
        elif now - self._began >= self._long_seconds:
            self.long = True
        return self.long

    def rest(self, connection: Resting) -> None:
        """Has a connection read again after those that rest already."""
        self._resting.append(connection)

    def _turn_ended(self) -> None:
        resting = self._resting
        for _ in range(min(READ_AGAIN, len(resting))):
            resting.popleft().read_again()
        if resting:
            self._loop.call_soon(self._ended)
        else:
            self._due = self.long = False
