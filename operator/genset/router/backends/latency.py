"""How long a backend's recent answers took to begin: the adaptive part of the first-token deadline.

A ring of the last values; the percentile is computed anew for every sixteenth, and only where one of these could change
it, so that a value costs nothing on average.
"""

from __future__ import annotations

import math
from typing import Final

VALUES: Final = 128
EVERY: Final = 16  # values between two computations; before the first one nothing is known


class Recent:
    """The last `VALUES` durations in seconds. `p99` is 0 until `EVERY` of them are there."""

    __slots__ = ("_changed", "_next", "_values", "p99")

    def __init__(self) -> None:
        self._values: list[float] = []
        self._next = 0
        self._changed = False  # since the last computation a value came or went that the percentile may depend on
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
