"""The window counts the outcomes of the last 30 s in slots of 5 s. Pure."""

from __future__ import annotations

import math
from typing import Final, final

CONSECUTIVE_FAILURES: Final = 3  # that open a breaker
WINDOW_SECONDS: Final = 30.0
WINDOW_MINIMUM: Final = 10  # outcomes in the window before its share of failures counts
WINDOW_SHARE: Final = 0.5  # of failures in the window, which opens a breaker

_BUCKETS: Final = 6
_BUCKET_SECONDS: Final = WINDOW_SECONDS / _BUCKETS


@final
class Window:
    """A window holds what a closed breaker counts, and says when to open it. Times are monotonic seconds."""

    __slots__ = ("_consecutive", "_current", "_current_until", "_slots")

    def __init__(self) -> None:
        self._consecutive = 0  # failures since the last success
        self._slots: list[list[int]] = [[-1, 0, 0] for _ in range(_BUCKETS)]  # epoch, successes, failures
        self._current = self._slots[0]
        self._current_until = -math.inf

    def success(self, now: float) -> None:
        self._consecutive = 0
        slot = self._current if now < self._current_until else self._slot(now)
        slot[1] = slot[1] + 1  # `+=` on a list takes three times as long, compiled

    def failure(self, now: float) -> bool:
        """Counts one failure. Returns whether the breaker should open."""
        self._consecutive += 1
        self._slot(now)[2] += 1
        return self._consecutive >= CONSECUTIVE_FAILURES or self._is_bad(now)

    def withdraw(self) -> None:
        """Takes back one failure that was not the backend's fault."""
        if self._consecutive:
            self._consecutive -= 1
        if self._current[2]:
            self._current[2] -= 1

    def end_row(self) -> None:
        """Ends the row of consecutive failures: the next one begins a new row."""
        self._consecutive = 0

    def forget(self) -> None:
        self._consecutive = 0
        self._current_until = -math.inf
        for slot in self._slots:
            slot[0] = -1

    def _slot(self, now: float) -> list[int]:
        epoch = int(now / _BUCKET_SECONDS)
        slot = self._slots[epoch % _BUCKETS]
        if slot[0] != epoch:
            slot[0] = epoch
            slot[1] = slot[2] = 0
        self._current = slot
        self._current_until = (epoch + 1) * _BUCKET_SECONDS
        return slot

    def _is_bad(self, now: float) -> bool:
        oldest = int(now / _BUCKET_SECONDS) - _BUCKETS
        good = sum(slot[1] for slot in self._slots if slot[0] > oldest)
        bad = sum(slot[2] for slot in self._slots if slot[0] > oldest)
        return good + bad >= WINDOW_MINIMUM and bad >= WINDOW_SHARE * (good + bad)
