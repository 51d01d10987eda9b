"""What a route says of the shape of its requests becomes what its routers are told. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from genset.api.fault import FieldFault
from genset.api.routepolicy import RoutePolicy
from genset.api.shape import Between, MatchShape, ShapeTime, Weekday
from genset.contracts.route_config import ShapeConfig, ShapeRangeConfig, ShapeTimeConfig
from genset.windows import is_time_zone

_UTC = "UTC"
_DAYS = list(Weekday)
_DAY_MINUTES = 1440


def shape_config(shape: MatchShape | None) -> ShapeConfig | None:
    """Returns what routers are told of a shape."""
    if shape is None:
        return None
    return ShapeConfig(
        numbers=tuple(_numbers(shape)) or None,
        tasks=tuple(task.value for task in shape.task) if shape.task is not None else None,
        languages=tuple(shape.languages) if shape.languages is not None else None,
        time=_time(shape.time) if shape.time is not None else None,
    )


def _numbers(shape: MatchShape) -> Iterator[ShapeRangeConfig]:
    for name, field in type(shape).model_fields.items():
        value = getattr(shape, name)
        if isinstance(value, Between):
            yield ShapeRangeConfig.model_validate(
                {"number": field.alias, "at_least": value.at_least, "at_most": value.at_most}
            )
        elif isinstance(value, bool):
            yield ShapeRangeConfig.model_validate(
                {"number": field.alias, "at_least": int(value), "at_most": int(value)}
            )


def _time(time: ShapeTime) -> ShapeTimeConfig:
    days = sorted(_DAYS.index(day) for day in time.days or _DAYS)
    return ShapeTimeConfig(
        from_minute=_minute(time.from_) if time.from_ is not None else 0,
        until_minute=_minute(time.until) if time.until is not None else _DAY_MINUTES,
        days=tuple(days),
        time_zone=time.time_zone or _UTC,
    )


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    return 60 * int(hour) + int(minute)


def faults(resource: RoutePolicy) -> Iterator[FieldFault]:
    """Yields what no schema can tell: time zones that nobody knows."""
    for route in resource.spec.routes:
        time = route.match.shape.time if route.match.shape is not None else None
        if time is not None and not is_time_zone(time.time_zone or _UTC):
            field = f"spec.routes[{route.name}].match.shape.time.timeZone"
            yield FieldFault(
                field,
                f"{field} {time.time_zone} is not in the time zone database: write a name such as Europe/Berlin; until then "
                "the route takes no request",
            )
