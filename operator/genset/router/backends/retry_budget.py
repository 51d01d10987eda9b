"""The retry budget bounds how many of a backend's requests may be sent once more."""

from __future__ import annotations

import math
from typing import Final, final

RETRY_SHARE: Final = 0.2  # of a backend's requests
RETRY_FLOOR: Final = 5  # retries that are always allowed: a quiet system may retry, too
RETRY_WINDOW: Final = 10  # seconds


@final
class RetryBudget:
    """One backend may retry at most a fifth of its requests over 10 s, and always a handful."""

    __slots__ = ("_last", "_requests", "_retries", "_seconds", "_until")

    def __init__(self) -> None:
        self._seconds = [-1] * RETRY_WINDOW
        self._requests = [0] * RETRY_WINDOW
        self._retries = [0] * RETRY_WINDOW
        self._last = 0
        self._until = -math.inf

    def request(self, now: float) -> None:
        """Counts a request that asks this backend for the first time."""
        requests, index = self._requests, self._last if now < self._until else self._index(now)
        requests[index] = requests[index] + 1  # `+=` on a list takes three times as long, compiled

    def take(self, now: float) -> bool:
        """Books one retry. Returns whether the budget allows it; if not, nothing is booked."""
        index = self._index(now)
        oldest = int(now) - RETRY_WINDOW
        fresh = [i for i in range(RETRY_WINDOW) if self._seconds[i] > oldest]
        requests = sum(self._requests[i] for i in fresh)
        retries = sum(self._retries[i] for i in fresh)
        if retries + 1 > max(RETRY_FLOOR, RETRY_SHARE * requests):
            return False
        self._retries[index] += 1
        return True

    def _index(self, now: float) -> int:
        second = int(now)
        index = second % RETRY_WINDOW
        if self._seconds[index] != second:
            self._seconds[index] = second
            self._requests[index] = self._retries[index] = 0
        self._last = index
        self._until = float(second + 1)
        return index
