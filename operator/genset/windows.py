"""A window is the day, the week or the month of a time zone in which a budget counts: for routers and operator alike. Pure.

A day begins with its first moment, which is not midnight where clocks are put forward over it; a week begins on Monday, a month
on its first day. All moments are whole seconds since 1970.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY = "Day"
WEEK = "Week"
MONTH = "Month"


def window(kind: str, time_zone: str, moment: float) -> tuple[int, int]:
    """Returns when the window that holds `moment` begins, and when the next one does.

    Raises ZoneInfoNotFoundError for a time zone that nobody knows.
    """
    zone = _zone(time_zone)
    first = _first_day(kind, datetime.fromtimestamp(moment, UTC).astimezone(zone).date())
    begin = _begin(first, zone)
    while begin > moment:  # a day that was put back, or skipped
        first = _first_day(kind, first - timedelta(days=1))
        begin = _begin(first, zone)
    end = begin
    while end <= moment:
        begin = end
        first = _next(kind, first)
        end = _begin(first, zone)
    return begin, end


def is_time_zone(name: str) -> bool:
    """Returns whether a time zone of this name is known here."""
    try:
        _zone(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _first_day(kind: str, day: date) -> date:
    if kind == MONTH:
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if kind == WEEK else day


def _next(kind: str, first: date) -> date:
    if kind == MONTH:
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=7 if kind == WEEK else 1)


def _begin(day: date, zone: ZoneInfo) -> int:
    """Returns the first moment of a day. If it has no midnight, the clock before the change tells it; if two, the first."""
    return int(datetime.combine(day, time.min, zone).timestamp())
