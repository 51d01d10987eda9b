"""Recommendations make a steady number of copies out of a load that is not: quickly up, slowly down.

As the HorizontalPodAutoscaler does (kubernetes, pkg/controller/podautoscaler/horizontal.go): a load within a tenth of what
the copies are for changes nothing; a rise counts by the lowest recommendation of a short time, a fall by the highest of a
long one. Pure; times are seconds since 1970.
"""

from __future__ import annotations

from collections import deque

TOLERANCE = 0.1  # of the target
RISE_SECONDS = 3.0  # a load that is gone sooner starts no copy: one takes longer to load


def recommended(load: int, target: int, current: int) -> int:
    """Returns how many copies a load takes, of which each is for `target` requests."""
    if current > 0 and abs(load / (target * current) - 1.0) <= TOLERANCE:
        return current
    return -(-load // target)


class Recommendations:
    """Recommendations are what was recommended since a while ago, as (from when on, how many)."""

    def __init__(self, current: int, now: float) -> None:
        self._told: deque[tuple[float, int]] = deque([(now, current)])

    def settled(self, value: int, current: int, now: float, *, fall_seconds: float) -> int:
        """Takes a recommendation, and returns how many copies there should be while there are `current`."""
        told = self._told
        if told[-1][1] != value:
            told.append((now, value))
        longest = max(fall_seconds, RISE_SECONDS)
        while len(told) > 1 and told[1][0] <= now - longest:
            told.popleft()
        lowest = min(self._since(now - RISE_SECONDS))
        highest = max(self._since(now - fall_seconds))
        return lowest if lowest > current else min(current, highest)

    def _since(self, moment: float) -> list[int]:
        """Returns what was recommended at that moment or after it."""
        ends = [begin for begin, _ in self._told][1:]
        return [value for (_, value), end in zip(self._told, [*ends, float("inf")], strict=True) if end > moment]
