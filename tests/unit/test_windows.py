"""Days, weeks and months of time zones: when they begin, also where clocks change, and that they follow one another."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.windows import is_time_zone, window

#: Kind, time zone, a moment in UTC -> begin and end, in UTC.
TABLE = [
    ("Day", "UTC", "2026-11-21T10:00", "2026-11-21T00:00", "2026-11-22T00:00"),
    ("Day", "UTC", "2026-11-21T00:00", "2026-11-21T00:00", "2026-11-22T00:00"),
    ("Week", "UTC", "2026-11-22T23:59", "2026-11-16T00:00", "2026-11-23T00:00"),
    ("Month", "UTC", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
    ("Month", "UTC", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
    # BerriAI/litellm#34896: a window of Tokyo ended nine hours late; #10288: at the time of the first request.
    ("Month", "Asia/Tokyo", "2026-07-31T15:00", "2026-07-31T15:00", "2026-08-31T15:00"),
    ("Day", "Asia/Kolkata", "2026-11-21T18:29", "2026-11-20T18:30", "2026-11-21T18:30"),  # half an hour off
    ("Day", "Asia/Kathmandu", "2026-11-21T18:15", "2026-11-21T18:15", "2026-11-22T18:15"),
    ("Day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
    ("Day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 hours
    ("Week", "Europe/Berlin", "2026-03-29T12:00", "2026-03-22T23:00", "2026-03-29T22:00"),
    ("Month", "America/New_York", "2026-11-01T03:59", "2026-10-01T04:00", "2026-11-01T04:00"),
    (
        "Day",
        "Africa/Cairo",
        "2026-04-24T12:00",
        "2026-04-23T22:00",
        "2026-04-24T21:00",
    ),  # no midnight: it begins at one
    ("Day", "America/Havana", "2026-11-01T04:30", "2026-11-01T04:00", "2026-11-02T05:00"),  # two midnights: the first
    ("Day", "Pacific/Apia", "2011-12-30T09:59", "2011-12-29T10:00", "2011-12-30T10:00"),  # the 30th was left out
]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(("kind", "zone", "at", "begin", "end"), TABLE)
def test_windows(kind: str, zone: str, at: str, begin: str, end: str) -> None:
    found = window(kind, zone, moment(at))
    told = [datetime.fromtimestamp(one, UTC).strftime("%Y-%m-%dT%H:%M") for one in found]
    assert told == [begin, end]


ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Africa/Cairo", "Pacific/Apia",
    "Australia/Lord_Howe", "America/Havana", "Asia/Beirut", "Pacific/Kiritimati", "Antarctica/Troll",
]  # fmt: skip


@given(st.sampled_from(["Day", "Week", "Month"]), st.sampled_from(ZONES), st.integers(0, 4_102_444_800))
def test_windows_follow_one_another_and_hold_what_they_are_asked_for(kind: str, zone: str, at: int) -> None:
    begin, end = window(kind, zone, at)
    assert begin <= at < end
    assert window(kind, zone, end)[0] == end and window(kind, zone, begin) == (begin, end)
    assert window(kind, zone, begin - 1)[1] == begin
    days = (end - begin) / 86_400
    assert {"Day": 0.9 < days < 1.1, "Week": 5.9 < days < 7.1, "Month": 26.9 < days < 31.1}[
        kind
    ] or zone == "Pacific/Apia"
    first = datetime.fromtimestamp(begin, ZoneInfo(zone))
    assert (kind != "Month" or first.day == 1) and (kind != "Week" or first.weekday() == 0 or zone == "Pacific/Apia")


def test_time_zones_that_nobody_knows() -> None:
    assert is_time_zone("Europe/Berlin")
    assert not any(map(is_time_zone, ("Europe/Nowhere", "", "../etc/passwd", "/etc/localtime", "a\0b")))
