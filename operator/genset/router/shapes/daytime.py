"""A daytime is when requests come, by the clock of a time zone: some minutes of some days. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import final
from zoneinfo import ZoneInfo

from genset.contracts.route_config import ShapeTimeConfig
from genset.windows import is_time_zone

_MINUTES = 1440  # of a day


@final
class Daytime:
    """A daytime holds moments. Those of the small hours belong to the day on which it began; one of a time zone that nobody knows
    holds none."""

    __slots__ = ("_days", "_first", "_until", "_zone")

    def __init__(self, config: ShapeTimeConfig) -> None:
        self._first = config.from_minute
        self._until = config.until_minute
        self._days = frozenset(config.days)
        self._zone = ZoneInfo(config.time_zone) if is_time_zone(config.time_zone) else None

    def holds(self, moment: float) -> bool:
        """Returns whether it is that time at `moment`, in seconds since 1970."""
        if self._zone is None:
            return False
        now = datetime.fromtimestamp(moment, UTC).astimezone(self._zone)
        minute, day = now.hour * 60 + now.minute, now.weekday()
        if self._first < self._until:
            return self._first <= minute < self._until and day in self._days
        if minute >= self._first:
            return day in self._days
        return minute < self._until and (day - 1) % 7 in self._days

    def told(self) -> str:
        """Says when it is."""
        days = ", ".join(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[day] for day in sorted(self._days))
        return f"{_clock(self._first)} to {_clock(self._until)} on {days} ({self._zone or 'a time zone that nobody knows'})"


def _clock(minute: int) -> str:
    return f"{minute % _MINUTES // 60:02}:{minute % 60:02}"
