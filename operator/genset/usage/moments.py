"""Moments are read as people write them: a day, a month, a time, or how long ago. Pure."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_FORMS = ("%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


def moment(text: str, now: float, zone: tzinfo) -> float:
    """Returns the seconds since 1970 of a moment in a time zone. Raises ValueError."""
    if text == "now":
        return now
    ago = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if ago is not None:
        return now - int(ago[1]) * UNITS[ago[2]]
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=zone).timestamp()
        except ValueError:
            continue
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no moment; write e.g. 2026-11, 2026-11-28, 2026-11-28T09:00, 7d, or now"
        ) from None
    return (told if told.tzinfo is not None else told.replace(tzinfo=zone)).timestamp()
