"""Times of a schedule are text in all resources alike: a cron expression, and the time zone whose clock it means."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Cron = Annotated[
    str,
    Field(min_length=9, max_length=100, pattern=r"^[0-9A-Za-z*,/#-]+( [0-9A-Za-z*,/#-]+){4}$", examples=["0 10 * * 1"]),
]
TimeZone = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$",
        examples=["Europe/Berlin"],
    ),
]
