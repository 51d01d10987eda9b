"""Sends together, at the end of a turn of the event loop, what is written in it.

A send to a process that sleeps has to wake it, which costs as much as the rest of the send (an interrupt to another core;
on a virtual machine twice that). Sent one by one, with the work on other events in between, every answer finds its reader
asleep again; sent in a row, most find it awake. If a turn has one event, as on a router that has little to do, nothing
waits for anything.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from genset.router.http.turn import Turn

#: At most so much waits for the end of the turn: what is ready early is not kept long, and a client that reads slowly is
#: noticed before much is written for it.
MOST_WRITES: Final = 32
MOST_BYTES: Final = 64 * 1024

log = logging.getLogger(__name__)


class Outbox:
    """An outbox belongs to an event loop. Whoever closes a transport gently, or asks what it holds, flushes first.

    `flushes`: how often what waited has been written; data that a transport was given since the last time has not been.
    `turn`: how long this turn is already.
    """

    __slots__ = ("_bytes", "_due", "_end_of_turn", "_loop", "_waiting", "flushes", "turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, turn: Turn | None = None) -> None:
        self._loop = loop
        self._waiting: list[tuple[Any, bytes]] = []
        self._bytes = 0
        self.flushes = 0
        self.turn = turn or Turn(loop)
        self._due = False  # the loop will call `_turn_ended`
        self._end_of_turn = self._turn_ended

    def write(self, transport: Any, data: bytes) -> None:
        """Writes at the end of this turn at the latest; what a transport is given here stays in order."""
        waiting = self._waiting
        waiting.append((transport, data))
        self._bytes += len(data)
        if len(waiting) >= MOST_WRITES or self._bytes >= MOST_BYTES:
            self.flush()
        elif not self._due:
            self._due = True
            self._loop.call_soon(self._end_of_turn)

    def flush(self) -> None:
        """Writes now. What was for transports that have been closed meanwhile is dropped with them."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        self._bytes = 0
        self.flushes += 1
        for transport, data in waiting:
            if not transport.is_closing():
                try:
                    transport.write(data)
                except Exception:  # of one connection; the others must get theirs
                    log.exception("Failed to write to a connection")
                    transport.abort()

    def _turn_ended(self) -> None:
        self._due = False
        self.flush()
