"""A minute counts what was used in the last 60 seconds, second by second. Pure.

It slides: there is no moment at which everything is free again, so that nobody gets two minutes' worth around it.
"""

from __future__ import annotations

from typing import Final, final

WINDOW_SECONDS: Final = 60
#: One second more than the window, because the oldest one has only partly passed: never more than the limit in any 60 s.
_SLOTS: Final = WINDOW_SECONDS + 1


@final
class Minute:
    """A minute holds counts by the second in which they were used. Times are seconds of the router's clock."""

    __slots__ = ("_at", "_last", "_slots", "used")

    def __init__(self) -> None:
        self._slots = [0] * _SLOTS
        self._at = 0  # the second of the newest slot
        self._last = 0  # in which something was used
        self.used = 0

    def move(self, now: float) -> None:
        """Forgets what was used more than a minute before `now`. Time never runs backwards here."""
        second = int(now)
        steps = second - self._at
        if steps <= 0:
            return
        slots = self._slots
        if steps >= _SLOTS:
            if self.used:
                self._slots = [0] * _SLOTS
                self.used = 0
        else:
            for at in range(self._at + 1, second + 1):
                index = at % _SLOTS
                self.used -= slots[index]
                slots[index] = 0
        self._at = second

    def add(self, count: int, now: float) -> None:
        """Counts so many more as used now."""
        self.move(now)
        slots, index = self._slots, self._at % _SLOTS
        slots[index] = slots[index] + count  # `+=` on a list takes three times as long, compiled
        self._last = self._at
        self.used += count

    def take_back(self, count: int, then: float, now: float) -> None:
        """Takes back what was counted at `then` and was not used after all."""
        self.move(now)
        second = int(then)
        if self._at - second < _SLOTS:
            index = second % _SLOTS
            held = self._slots[index]
            count = min(count, held)
            self._slots[index] = held - count
            self.used -= count

    def seconds_until_empty(self, now: float) -> float:
        """Returns in how many seconds all of it will be forgotten, at the latest."""
        self.move(now)
        return max(0.0, self._last + _SLOTS - now) if self.used else 0.0

    def seconds_until(self, count: int, now: float) -> float:
        """Returns in how many seconds `count` of what is used now will be forgotten."""
        self.move(now)
        freed = 0
        for age in range(_SLOTS - 1, -1, -1):
            freed += self._slots[(self._at - age) % _SLOTS]
            if freed >= count:
                return max(0.0, self._at - age + _SLOTS - now)
        return float(_SLOTS)
