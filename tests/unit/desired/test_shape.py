"""What a policy says of the shape of requests, as its routers are told it."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.routepolicy import RoutePolicy
from genset.api.shape import MatchShape
from genset.contracts.route_config import ShapeConfig
from genset.desired.shape import faults, shape_config


def said(**shape: Any) -> ShapeConfig:
    found = shape_config(MatchShape.model_validate(shape))
    assert found is not None
    return found


def test_every_field_of_a_shape_is_told() -> None:
    """A field that nobody passes on would act as if it were not there."""
    alone: dict[str, Any] = {"task": ["Code"], "languages": ["de"], "time": {"days": ["Mon"]}}
    for name, field in MatchShape.model_fields.items():
        alias = str(field.alias)
        value = alone.get(alias, True if "bool" in str(field.annotation) else {"atLeast": 1})
        document = said(**{alias: value}).model_dump(exclude_none=True)
        assert len(document) == 1, f"{name} is not told, or told twice"
        if "numbers" in document:
            assert document["numbers"][0]["number"] == alias


@pytest.mark.parametrize(
    ("time", "wanted"),
    [
        ({"from": "22:00", "until": "06:30"}, (1320, 390, (0, 1, 2, 3, 4, 5, 6), "UTC")),
        ({"days": ["Sun", "Mon"], "timeZone": "Asia/Tokyo"}, (0, 1440, (0, 6), "Asia/Tokyo")),
    ],
)
def test_times_are_minutes(time: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    found = said(time=time).time
    assert found is not None
    assert (found.from_minute, found.until_minute, found.days, found.time_zone) == wanted


def test_a_time_zone_that_nobody_knows_is_told() -> None:
    route = {"name": "a", "tiers": [{"backends": [{"name": "h"}]}]}
    shape = {"time": {"days": ["Mon"], "timeZone": "Europe/Berlim"}}
    spec = {
        "backends": [{"name": "h", "deployment": {"name": "h"}}],
        "routes": [{**route, "match": {"shape": shape}}, {**route, "name": "b"}],
    }
    (fault,) = faults(RoutePolicy.model_validate({"metadata": {"name": "p"}, "spec": spec}))
    assert fault.field == "spec.routes[a].match.shape.time.timeZone"
    assert "Europe/Berlim is not in the time zone database" in fault.message
