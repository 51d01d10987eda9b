"""Moments and waits are read and written here as programs do: RFC 3339 for Kubernetes and people, Retry-After in HTTP.

Pure: no clock in here.

One place, because operator, router and puller must read the same text alike.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_WAIT_SECONDS: Final = 86_400.0  # that anybody may ask for


def rfc3339(moment: float) -> str:
    """Writes seconds since 1970 as RFC 3339, in whole seconds."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_time(moment: datetime) -> str:
    """Writes a moment as Kubernetes' MicroTime, for Leases and Events."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(text: str) -> float:
    """Returns the seconds since 1970 of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


def retry_after(value: str, now: float) -> float | None:
    """Returns the seconds of a Retry-After header, which is a number or a date (RFC 9110, 10.2.3); None if there is no
    sense in it.

    `now`: seconds since 1970.
    """
    try:
        return wait(float(value))
    except ValueError:
        pass
    try:
        return wait(parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def wait(asked: float) -> float | None:
    """Returns the seconds that may be waited if so many are asked for."""
    return min(max(asked, 0.0), LONGEST_WAIT_SECONDS) if asked == asked else None  # NaN is not equal to itself
