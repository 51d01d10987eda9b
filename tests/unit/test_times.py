"""Moments and waits, as they are written and read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from genset.times import micro_time, retry_after, rfc3339, seconds


def test_moments() -> None:
    assert rfc3339(0.9) == "1970-01-01T00:00:00Z" and seconds("1970-01-01T00:01:00Z") == 60.0
    assert micro_time(datetime(2026, 11, 21, 10, 0, 0, 250, UTC)) == "2026-11-21T10:00:00.000250Z"


@pytest.mark.parametrize(
    ("value", "waits"),
    [
        ("", None),
        ("120", 120.0),
        ("1.5", 1.5),
        ("-1", 0.0),
        ("nan", None),
        ("1e99", 86_400.0),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_retry_after(value: str, waits: float | None) -> None:
    assert retry_after(value, now=1000.0) == waits
