"""Facts are what is known of a request before any backend is asked; nothing of it ever changes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from genset.contracts.route_config import ColdStartConfig
from genset.router.backends.lines import Rank
from genset.router.budgets.purse import Purse
from genset.router.machine.decisions import Candidate
from genset.router.machine.failover_settings import FailoverSettings
from genset.router.machine.patience import DEFAULT, Timeouts


@final
class Facts:
    """Facts hold a request as its route found it.

    `candidates` are in order of preference; `deadline` is in monotonic seconds. `streams`: the client gets a stream.
    `origin` is whose request it is, for lines and suspicions; `rank` is how urgent it is in lines. `path` is that of the API,
    after the version segment; a backend may refuse one path and serve another. `body` is as it arrived, empty if the router
    itself asks. `prompt` is the request, if the balancing of a backend reads it. `random` is uniform in [0, 1). `zones_line` is
    the header line that keeps the request in its data zones at another site; empty if it may go anywhere. `purse` is what it may
    spend; None if no budget holds it.
    """

    __slots__ = (
        "body",
        "candidates",
        "cold_start",
        "deadline",
        "input_tokens",
        "origin",
        "path",
        "prompt",
        "purse",
        "random",
        "rank",
        "settings",
        "streams",
        "timeouts",
        "zones_line",
    )

    def __init__(
        self,
        candidates: list[Candidate],
        settings: FailoverSettings,
        deadline: float,
        *,
        streams: bool,
        input_tokens: int,
        random: Callable[[], float],
        cold_start: ColdStartConfig,
        origin: str = "",
        path: str = "",
        body: bytes = b"",
        prompt: Mapping[str, Any] | None = None,
        rank: int = Rank.NORMAL,
        zones_line: bytes = b"",
        purse: Purse | None = None,
        timeouts: Timeouts = DEFAULT,
    ) -> None:
        self.candidates: Final = candidates
        self.settings: Final = settings
        self.deadline: Final = deadline
        self.streams: Final = streams
        self.input_tokens: Final = input_tokens
        self.random: Final = random
        self.cold_start: Final = cold_start
        self.origin: Final = origin
        self.path: Final = path
        self.body: Final = body
        self.prompt: Final = prompt
        self.rank: Final = rank
        self.zones_line: Final = zones_line
        self.purse: Final = purse
        self.timeouts: Final = timeouts

    @property
    def drilled(self) -> bool:
        """Returns whether a drill keeps the request from a backend."""
        return any(candidate.real is not None for candidate in self.candidates)

    def without_drill(self, now: float) -> Facts:
        """Returns the request as it would have been without a drill, with all the time that its route gives it."""
        return Facts(
            [candidate.real or candidate for candidate in self.candidates],
            self.settings,
            max(self.deadline, now + self.settings.total_seconds),
            streams=self.streams,
            input_tokens=self.input_tokens,
            random=self.random,
            cold_start=self.cold_start,
            origin=self.origin,
            path=self.path,
            body=self.body,
            prompt=self.prompt,
            rank=self.rank,
            zones_line=self.zones_line,
            purse=self.purse,
            timeouts=self.timeouts,
        )
