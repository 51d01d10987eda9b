"""Moments are read as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from genset.usage.moments import moment

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-30T12:00Z"),
        ("7d", "2026-11-23T12:00Z"),
        ("90m", "2026-11-30T10:30Z"),
        ("2w", "2026-11-16T12:00Z"),
        ("2026-11", "2026-10-31T23:00Z"),
        ("2026-07-01", "2026-06-30T22:00Z"),
        ("2026-11-28T09:00", "2026-11-28T08:00Z"),
        ("2026-11-28T09:00Z", "2026-11-28T09:00Z"),
        ("2026-11-28T09:00+05:30", "2026-11-28T03:30Z"),
    ],
)
def test_moments(text: str, expected: str) -> None:
    assert moment(text, NOW, BERLIN) == datetime.fromisoformat(expected).timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13", "7y", "-7d", "2026-02-30"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no moment"):
        moment(text, NOW, BERLIN)
