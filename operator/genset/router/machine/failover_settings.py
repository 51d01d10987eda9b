"""The failover settings of a route say how long and how often its backends are asked. Pure."""

from __future__ import annotations

from typing import Final, final

from genset.contracts.route_config import FailoverConfig


@final
class FailoverSettings:
    """These settings are a configuration's, read once. Times are seconds; None is the default of the kind of backend.
    `wait_when_full`: a request waits for a place in a tier before the next tier is asked.

    A request reads half of them, and an attribute of a pydantic model takes fifty times as long as one of these.
    """

    __slots__ = (
        "continue_streams",
        "first_token_seconds",
        "max_attempts",
        "rebuild_answers",
        "stall_seconds",
        "to_cloud_on",
        "total_seconds",
        "wait_when_full",
    )

    def __init__(self, config: FailoverConfig, *, wait_when_full: bool = False) -> None:
        self.first_token_seconds: Final[float | None] = config.first_token_seconds
        self.stall_seconds: Final[float | None] = config.stall_seconds
        self.total_seconds: Final[float] = config.total_seconds
        self.max_attempts: Final[int] = config.max_attempts
        self.continue_streams: Final[bool] = config.continue_streams
        self.rebuild_answers: Final[bool] = config.rebuild_answers
        self.to_cloud_on: Final[tuple[str, ...]] = config.to_cloud_on
        self.wait_when_full: Final[bool] = wait_when_full
