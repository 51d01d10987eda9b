"""Keeps the turns of the event loop short where running streams bring more than it can pass on.

libuv hands out events for as long as more than 1,024 are ready, up to 48 times, and only then looks at timers, tasks and
new connections. Streams that send faster than they are passed on are always ready: a turn took seconds, newcomers waited
for it, and deadlines passed for what nobody had looked at. So, once a turn is long, what running streams send is put
off: such a stream is not read again before its turn has come, and the loop looks at everybody else in between. A
stream's next read brings then what it has sent meanwhile in one piece, which costs less.

Where turns are short, as they are below the router's capacity, this is one addition per read.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final, Protocol

READS_BETWEEN_LOOKS: Final = 64  # at the time; a read costs 10 to 20 µs
LONG_SECONDS = 0.005  # of one turn, after which running streams are put off
SLICE_SECONDS = 0.003  # spent on them in one turn

_monotonic: Final = time.monotonic


class Postponed(Protocol):
    """A connection whose data was put off."""

    def go_on(self) -> None:
        """Takes what was put off."""


class Turn:
    """Of one event loop. `reads` is counted up by whoever reads a running stream; `long`: this turn already is."""

    __slots__ = ("_began", "_due", "_ended", "_loop", "_waiting", "long", "reads")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Postponed] = deque()
        self._began = 0.0
        self._due = False  # the loop will call `_turn_ended`
        self._ended = self._turn_ended
        self.reads = 0
        self.long = False

    def is_long(self) -> bool:
        """The exact answer: asked from time to time, and for every read while `long`."""
        if self.long:
            return True
        now = _monotonic()
        if not self._due:
            self._due = True
            self._began = now
            self._loop.call_soon(self._ended)
        elif now - self._began >= LONG_SECONDS:
            self.long = True
        return self.long

    def put_off(self, connection: Postponed) -> None:
        """It goes on behind those that wait already."""
        self._waiting.append(connection)

    def _turn_ended(self) -> None:
        waiting = self._waiting
        until = _monotonic() + SLICE_SECONDS
        while waiting:
            for _ in range(min(READS_BETWEEN_LOOKS, len(waiting))):
                waiting.popleft().go_on()
            if _monotonic() >= until:
                break
        if waiting:
            self._loop.call_soon(self._ended)  # and until then others have theirs
        else:
            self._due = self.long = False
