"""A retirement is what a server's headers say of the end of what it was asked for: when it is no longer wanted, when it is gone.

Sources: Sunset (RFC 8594) is an HTTP date. Deprecation (RFC 9745) is `@` and seconds since 1970; in its drafts an HTTP date, or
`true`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

SUNSET: Final = b"sunset"
DEPRECATION: Final = b"deprecation"
_SECONDS: Final = re.compile(r"@(\d{1,11})")


class Retirement(NamedTuple):
    """A retirement has moments in seconds since 1970; None: none is told. `deprecated`: it is, whenever that began."""

    sunset: float | None
    deprecated: bool
    deprecated_at: float | None


def retirement(headers: Mapping[bytes, bytes]) -> Retirement | None:
    """Returns what the headers of an answer say; None if they say nothing that can be read."""
    sunset = _date(headers.get(SUNSET, b""))
    said = headers.get(DEPRECATION, b"").decode("latin-1").strip()
    found = _SECONDS.fullmatch(said)
    at = float(found[1]) if found is not None else _date(said.encode("latin-1"))
    deprecated = at is not None or said.lower() == "true"
    return Retirement(sunset, deprecated, at) if sunset is not None or deprecated else None


def _date(value: bytes) -> float | None:
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp() if value else None
    except (ValueError, OverflowError, OSError):
        return None
