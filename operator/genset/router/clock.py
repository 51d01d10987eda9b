"""The router's clock: it rests while the process stands still.

A virtual machine is snapshotted, a node has no CPU to give, somebody sends SIGSTOP: for seconds nothing runs, and then
every deadline has passed at once, although no backend and no client did anything wrong. So what is measured against a
deadline is the time in which the router could look, and the sweep says how often it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

SWEEP_SECONDS: Final = 0.1  # between two looks
#: As late as this is no load any more; each deadline of the failover's rules is longer.
STILL_SECONDS: Final = 0.5


class Clock:
    """Monotonic seconds but for those in which the process did not run.

    `source`: monotonic seconds. `stood_still` is told how many seconds were missed before anybody gets to see a time
    after them.
    """

    __slots__ = ("_due", "_late", "_missed", "_source", "_stood_still", "busy")

    def __init__(self, source: Callable[[], float], stood_still: Callable[[float], None]) -> None:
        self._source = source
        self._stood_still = stood_still
        self._missed = 0.0
        self._due = math.inf  # when the sweep should come, or when it was last seen to be late; it has not begun yet
        self._late = 0.0  # since the last sweep
        self.busy = 0.0  # of that: seconds in which the process ran, but had too much to do to sweep

    def now(self) -> float:
        real = self._source()
        late = real - self._due
        if late > 0.0:
            self._due = real
            self._late += late
            if late > STILL_SECONDS:  # between two calls: a loop that has much to do asks in between
                self._missed += late
                self._stood_still(late)
            else:
                self.busy += late
        return real - self._missed

    def swept(self) -> float:
        """The sweep has come. How late it was, seconds, those that were missed included."""
        self._due, late = self.now() + self._missed + SWEEP_SECONDS, self._late
        self._late = self.busy = 0.0
        return late
