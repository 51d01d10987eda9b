"""The router's clock rests while the process stands still.

A virtual machine is snapshotted, a node has no CPU to give, somebody sends SIGSTOP: nothing runs for seconds, and then
every deadline has passed at once, although no backend and no client did anything wrong. So deadlines count only the
time in which the router could look, and the sweep shows how often it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

SWEEP_SECONDS: Final = 0.1  # between two sweeps
#: So late is not load any more, but a process that did not run. Every deadline of the failover's rules is longer.
STILL_SECONDS: Final = 0.5


class Clock:
    """A clock tells monotonic seconds, without those in which the process did not run.

    `source` gives monotonic seconds. `stood_still` is called with the number of seconds missed, before anybody sees a
    time after them.
    """

    __slots__ = ("_due", "_late", "_missed", "_source", "_stood_still", "busy")

    def __init__(self, source: Callable[[], float], stood_still: Callable[[float], None]) -> None:
        self._source = source
        self._stood_still = stood_still
        self._missed = 0.0
        self._due = math.inf  # when the sweep is due, or was last seen to be late; infinite before the first
        self._late = 0.0  # seconds by which the sweep is late, added up since the last one
        self.busy = 0.0  # of these, the seconds in which the process ran, but had too much to do to sweep

    def now(self) -> float:
        real = self._source()
        late = real - self._due
        if late > 0.0:
            self._due = real
            self._late += late
            if late > STILL_SECONDS:  # measured between two calls: a loop that has much to do calls in between
                self._missed += late
                self._stood_still(late)
            else:
                self.busy += late
        return real - self._missed

    def swept(self) -> float:
        """Notes that the sweep runs now. Returns by how many seconds it is late, missed ones included."""
        self._due, late = self.now() + self._missed + SWEEP_SECONDS, self._late
        self._late = self.busy = 0.0
        return late
