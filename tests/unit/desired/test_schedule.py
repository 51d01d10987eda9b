"""Schedules: which one is in force, what clock changes do to it, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from genset.api.autoscaling import Autoscaling
from genset.api.modeldeployment import ModelDeployment
from genset.cron import last_time, next_time
from genset.desired.context import ModelDeploymentContext, Settings
from genset.desired.schedule import ScalingBounds as Bounds
from genset.desired.schedule import in_force
from genset.status import refs

BERLIN = "Europe/Berlin"
WORK = {"cron": "0 7 * * 1-5", "timeZone": BERLIN, "min": 2, "max": 6}
NIGHT = {"cron": "0 19 * * *", "timeZone": BERLIN, "min": 0}


def scaling(*schedules: dict[str, Any]) -> Autoscaling:
    return Autoscaling.model_validate({"min": 0, "max": 4, "schedules": list(schedules)})


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("what", "schedules", "now", "expected"),
    [
        ("none", [], "2026-11-25T12:00:00+01:00", Bounds(0, 4)),
        ("by day", [WORK, NIGHT], "2026-11-25T12:00:00+01:00", Bounds(2, 6, f"0 7 * * 1-5 {BERLIN}")),
        ("from its minute on", [WORK, NIGHT], "2026-11-25T07:00:00+01:00", Bounds(2, 6, f"0 7 * * 1-5 {BERLIN}")),
        ("not a second sooner", [WORK, NIGHT], "2026-11-25T06:59:59+01:00", Bounds(0, 4, f"0 19 * * * {BERLIN}")),
        ("what it does not say is autoscaling's", [NIGHT], "2026-11-25T20:00:00+01:00", Bounds(0, 4, f"0 19 * * * {BERLIN}")),
        ("the weekend goes on from Friday", [WORK, NIGHT], "2026-11-29T12:00:00+01:00", Bounds(0, 4, f"0 19 * * * {BERLIN}")),
        ("UTC by default", [{"cron": "0 12 * * *", "max": 1}], "2026-11-25T12:00:00+00:00", Bounds(0, 1, "0 12 * * * UTC")),
        (
            "together: the last of the list",
            [{"cron": "0 12 * * *", "max": 1}, {"cron": "0 12 * * *", "timeZone": "UTC", "max": 2}],
            "2026-11-25T18:00:00+00:00",
            Bounds(0, 2, "0 12 * * * UTC"),
        ),
        (
            "together in two time zones",
            [{"cron": "0 13 * * *", "timeZone": BERLIN, "max": 1}, {"cron": "0 12 * * *", "max": 2}],
            "2026-11-25T12:00:00+00:00",
            Bounds(0, 2, "0 12 * * * UTC"),
        ),
        # Clocks go from 02:00 to 03:00 on 29 March 2026, and from 03:00 to 02:00 on 25 October 2026.
        ("set forward over it, before", [{"cron": "30 2 * * *", "timeZone": BERLIN, "max": 1}, WORK],
         "2026-03-29T01:59:00+01:00", Bounds(0, 1, f"30 2 * * * {BERLIN}")),
        ("set forward over it: the first minute after the gap", [NIGHT, {"cron": "30 2 29 3 *", "timeZone": BERLIN, "max": 1}],
         "2026-03-29T03:00:00+02:00", Bounds(0, 1, f"30 2 29 3 * {BERLIN}")),
        ("set back: it has begun the first time", [NIGHT, {"cron": "30 2 25 10 *", "timeZone": BERLIN, "max": 1}],
         "2026-10-25T02:30:00+02:00", Bounds(0, 1, f"30 2 25 10 * {BERLIN}")),
        ("set back: it stays begun when the clock shows less", [NIGHT, {"cron": "30 2 25 10 *", "timeZone": BERLIN, "max": 1}],
         "2026-10-25T02:10:00+01:00", Bounds(0, 1, f"30 2 25 10 * {BERLIN}")),
        ("in a zone of half an hour", [NIGHT, {"cron": "0 9 * * *", "timeZone": "Asia/Kolkata", "max": 1}],
         "2026-11-26T03:30:00+00:00", Bounds(0, 1, "0 9 * * * Asia/Kolkata")),
        ("a zone that nobody knows counts for nothing", [{"cron": "0 9 * * *", "timeZone": "Mars/Base", "max": 1}],
         "2026-11-26T03:30:00+00:00", Bounds(0, 4)),
    ],
)  # fmt: skip
def test_the_schedule_in_force(what: str, schedules: list[dict[str, Any]], now: str, expected: Bounds) -> None:
    assert in_force(scaling(*schedules), at(now)) == expected, what


def spelt(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high).map(str)
    step = st.integers(2, 9).map(lambda by: f"*/{by}")
    return st.just("*") | number | step | st.lists(number, min_size=2, max_size=3).map(",".join)


crons = st.tuples(spelt(0, 59), spelt(0, 23)).map(lambda time: " ".join((*time, "* * *")))
HOURS = [at(f"2026-{day}T00:00:00+00:00") for day in ("03-29", "10-25", "06-10", "01-01")]


@given(
    cron=crons,
    zone=st.sampled_from(["UTC", BERLIN, "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata"]),
    now=st.builds(lambda day, minute: day + 60 * minute, st.sampled_from(HOURS), st.integers(-1440, 2880)),
)
def test_looking_back_finds_what_looking_forward_does(cron: str, zone: str, now: float) -> None:
    """No schedule begins twice, or is forgotten, around a change of clocks."""
    clock = UTC if zone == "UTC" else ZoneInfo(zone)
    forward = CronSim(cron, datetime.fromtimestamp(now, clock) - timedelta(days=3))
    last = None
    for moment in forward:
        if moment.timestamp() > now:
            break
        last = moment.timestamp()
    assert last_time(cron, zone, now) == last
    assert next_time(cron, zone, now) == moment.timestamp()


@pytest.mark.parametrize(
    ("told", "field", "words"),
    [
        ({"cron": "60 7 * * *", "min": 1}, "cron", "'60 7 * * *' cannot be read (Bad minute)"),
        ({"cron": "0 24 * * *", "min": 1}, "cron", "cannot be read (Bad hour)"),
        ({"cron": "0 7 31 2 *", "min": 1}, "cron", "cannot be read (Bad day-of-month)"),
        ({"cron": "0 7 * * */0", "min": 1}, "cron", "cannot be read (Bad day-of-week)"),
        ({"cron": "0 7 * * FRI-MON", "min": 1}, "cron", "cannot be read"),
        ({"cron": "* * */20 * 1L", "min": 1}, "cron", "never comes"),
        ({"cron": "0 7 * * *", "timeZone": "Europe/Berlim", "min": 1}, "timeZone", "Europe/Berlim is not in the time zone"),
        ({"cron": "0 7 * * *", "timeZone": "Europe", "min": 1}, "timeZone", "Europe is not in the time zone database"),
    ],
)  # fmt: skip
def test_what_no_schema_can_tell_is_refused_by_a_condition(told: dict[str, Any], field: str, words: str) -> None:
    spec = {"source": {"huggingFace": {"repo": "a/b"}}, "autoscaling": {"schedules": [told]}}
    resource = ModelDeployment.model_validate({"metadata": {"name": "house"}, "spec": spec})
    (problem,) = refs.check_model_deployment(resource, ModelDeploymentContext(Settings(image="i")))
    assert problem.field == f"spec.autoscaling.schedules[0].{field}" and words in problem.message
    assert in_force(resource.spec.autoscaling or Autoscaling(), at("2026-11-25T12:00:00+00:00")) == Bounds(0, 1)
