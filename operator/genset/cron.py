"""Cron expressions are read as Debian's cron reads them (cronsim), in the clock of their time zone. Pure.

A time that clocks skip counts at the first minute after the gap, one that they show twice counts the first time. The time zones
are those of the machine, or of the package tzdata. All moments are seconds since 1970.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_AMBIGUOUS = timedelta(hours=3)  # more than any clock is set back: what local time shows later may have been earlier
_MINUTE = 60


def last_time(cron: str, zone: str | None, now: float) -> float | None:
    """Returns the last time up to and with this minute; None: there was none, or it cannot be read. `zone` None is UTC."""
    return _time(cron, zone, int(now // _MINUTE), later=False)


def next_time(cron: str, zone: str | None, now: float) -> float | None:
    """Returns the first time after this minute; None: there is none, or it cannot be read."""
    return _time(cron, zone, int(now // _MINUTE), later=True)


@lru_cache(maxsize=4096)
def cron_fault(cron: str) -> str:
    """Says what is wrong with an expression; "" if nothing is."""
    try:
        found = next(CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC)), None)
    except (CronSimError, OverflowError, ValueError) as error:
        return f"cannot be read ({error})"
    return "" if found is not None else "never comes"


def is_zone(name: str | None) -> bool:
    """Returns whether a time zone is known here."""
    return _zone(name) is not None


@lru_cache(maxsize=4096)
def _time(cron: str, zone: str | None, minute: int, *, later: bool) -> float | None:
    clock = _zone(zone)
    if clock is None or cron_fault(cron):  # to look for one that never comes costs a hundred times as much
        return None
    now = minute * _MINUTE
    edge = datetime.fromtimestamp(now, clock) + (-_AMBIGUOUS if later else _AMBIGUOUS)
    try:
        times = CronSim(cron, edge, reverse=not later)
        # Compared as seconds since 1970: two moments of one time zone are compared by what its clock shows.
        return next((at for moment in times if ((at := moment.timestamp()) > now) is later), None)
    except (CronSimError, OverflowError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _zone(name: str | None) -> tzinfo | None:
    """Returns a time zone; None if nobody knows it."""
    if name is None or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder of the database an OSError
        return None
