"""The first-token deadline adapts to how long a backend's recent answers took to begin.

A ring holds the last values. The percentile is computed once per sixteen values, and only if one of them could change
it, so that adding a value costs nearly nothing.
"""

from __future__ import annotations

import math
from typing import Final

VALUES: Final = 128
EVERY: Final = 16  # values between two computations; nothing is known before the first one


class Recent:
    """Recent holds the last `VALUES` durations, in seconds. `p99` is 0 until there are `EVERY` of them."""

    __slots__ = ("_changed", "_next", "_values", "p99")

    def __init__(self) -> None:
        self._values: list[float] = []
        self._next = 0
        self._changed = False  # since the last computation, a value that may affect the percentile was added or dropped
        self.p99 = 0.0

    def add(self, seconds: float) -> None:
        at = self._next
        if at < len(self._values):
            if seconds > self.p99 or self._values[at] >= self.p99:
                self._changed = True
            self._values[at] = seconds
        else:
            self._changed = True
            self._values.append(seconds)
        self._next = at + 1 if at + 1 < VALUES else 0
        if self._changed and not self._next % EVERY:
            self._changed = False
            ordered = sorted(self._values)
            self.p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]  # nearest rank
