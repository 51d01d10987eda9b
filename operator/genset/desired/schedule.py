"""Schedules tell which bounds autoscaling has now: those of the schedule that began last.

Cron expressions are read as Debian's cron reads them (cronsim), in the clock of their time zone: a time that clocks skip
counts at the first minute after the gap, one that they show twice counts the first time. Pure; the time zones are those of
the machine, or of the package tzdata.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from genset.api.autoscaling import Autoscaling, Schedule
from genset.api.fault import FieldFault
from genset.api.modeldeployment import ModelDeployment

_AMBIGUOUS = timedelta(hours=3)  # more than any clock is set back: what local time shows later may have been earlier
_MINUTE = 60


@dataclass(frozen=True)
class ScalingBounds:
    """The bounds are the fewest and the most copies now. `schedule`: in words, which one says so; "": none."""

    least: int
    most: int
    schedule: str = ""


def in_force(scaling: Autoscaling, now: float) -> ScalingBounds:
    """Returns the bounds of this minute. `now`: seconds since 1970. A schedule that cannot be read counts for nothing."""
    minute, latest, found = int(now // _MINUTE), float("-inf"), None
    for schedule in scaling.schedules:
        began = _began(schedule.cron, schedule.time_zone, minute)
        if began is not None and began >= latest:
            latest, found = began, schedule
    return ScalingBounds(*scaling.bounds(found), _words(found) if found is not None else "")


def faults(resource: ModelDeployment) -> Iterator[FieldFault]:
    """Yields what no schema can tell of schedules: unknown time zones, numbers out of their range, days that never come."""
    schedules = resource.spec.autoscaling.schedules if resource.spec.autoscaling is not None else []
    last = {_words(schedule): place for place, schedule in enumerate(schedules)}
    for place, schedule in enumerate(schedules):
        field = f"spec.autoscaling.schedules[{place}]"
        if (winner := last[_words(schedule)]) != place:
            yield FieldFault(
                field,
                f"{field} never counts, because spec.autoscaling.schedules[{winner}] begins at the same times, and of two the "
                "later one in the list counts: remove one of them, or change its cron",
            )
        if _zone(schedule.time_zone) is None:
            yield FieldFault(
                f"{field}.timeZone",
                f"{field}.timeZone {schedule.time_zone} is not in the time zone database: write a name such as Europe/Berlin, "
                "or leave it out for UTC",
            )
        elif why := _cron_fault(schedule.cron):
            yield FieldFault(
                f"{field}.cron",
                f"{field}.cron '{schedule.cron}' {why}: it is minute, hour, day of the month, month and day of the week, e.g. "
                "'0 7 * * 1-5'",
            )


def _words(schedule: Schedule) -> str:
    return f"{schedule.cron} {schedule.time_zone or 'UTC'}"


@lru_cache(maxsize=4096)
def _began(cron: str, zone: str | None, minute: int) -> float | None:
    """Returns when a schedule began last, up to and with this minute (of 1970), in seconds since 1970; None: never."""
    clock = _zone(zone)
    if clock is None or _cron_fault(cron):  # to look for one that never comes costs a hundred times as much
        return None
    now = minute * _MINUTE
    try:
        times = CronSim(cron, datetime.fromtimestamp(now, clock) + _AMBIGUOUS, reverse=True)
        # Compared as seconds since 1970: two moments of one time zone are compared by what its clock shows.
        return next((began for moment in times if (began := moment.timestamp()) <= now), None)
    except (CronSimError, OverflowError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _cron_fault(cron: str) -> str:
    try:
        found = next(CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC)), None)
    except (CronSimError, OverflowError, ValueError) as error:
        return f"cannot be read ({error})"
    return "" if found is not None else "never comes"


@lru_cache(maxsize=1024)
def _zone(name: str | None) -> tzinfo | None:
    """Returns a time zone; None if nobody knows it."""
    if name is None or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder of the database an OSError
        return None
