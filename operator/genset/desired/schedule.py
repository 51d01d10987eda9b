"""Schedules tell which bounds autoscaling has now: those of the schedule that began last. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from genset.api.autoscaling import Autoscaling, Schedule
from genset.api.fault import FieldFault
from genset.api.modeldeployment import ModelDeployment
from genset.cron import cron_fault, is_zone, last_time


@dataclass(frozen=True)
class ScalingBounds:
    """The bounds are the fewest and the most copies now. `schedule`: in words, which one says so; "": none."""

    least: int
    most: int
    schedule: str = ""


def in_force(scaling: Autoscaling, now: float) -> ScalingBounds:
    """Returns the bounds of this minute. `now`: seconds since 1970. A schedule that cannot be read counts for nothing."""
    latest, found = float("-inf"), None
    for schedule in scaling.schedules:
        began = last_time(schedule.cron, schedule.time_zone, now)
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
        if not is_zone(schedule.time_zone):
            yield FieldFault(
                f"{field}.timeZone",
                f"{field}.timeZone {schedule.time_zone} is not in the time zone database: write a name such as Europe/Berlin, "
                "or leave it out for UTC",
            )
        elif why := cron_fault(schedule.cron):
            yield FieldFault(
                f"{field}.cron",
                f"{field}.cron '{schedule.cron}' {why}: it is minute, hour, day of the month, month and day of the week, e.g. "
                "'0 7 * * 1-5'",
            )


def _words(schedule: Schedule) -> str:
    return f"{schedule.cron} {schedule.time_zone or 'UTC'}"
