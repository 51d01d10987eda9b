"""The local share says how much of a route's answers the house should give."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import Field

from genset.api.base import ApiModel


class ShareWindow(StrEnum):
    """How far back answers are counted. It moves with the time."""

    HOUR = "Hour"
    DAY = "Day"
    WEEK = "Week"


WINDOW_SECONDS: Final = {ShareWindow.HOUR: 3600, ShareWindow.DAY: 86_400, ShareWindow.WEEK: 604_800}


class LocalShare(ApiModel):
    """How much of a route's answers the house should give. It changes no request: a condition tells while it is less."""

    target: int = Field(
        ge=1, le=100, description="Percent of the answers that backends in data zone house should give."
    )
    window: ShareWindow = Field(
        default=ShareWindow.DAY,
        strict=False,
        description="How far back answers are counted: the last hour, day or week, as far as the running routers remember.",
    )
