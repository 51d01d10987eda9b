"""What is known of a request before any backend is asked. Nothing of it changes, so that everybody may read it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from genset.contracts.router_config import ColdStartConfig, FailoverConfig
from genset.router.machine.decisions import Candidate
from genset.router.machine.patience import Timeouts


@final
class Facts:
    """A request as its route found it.

    `candidates` in order of preference; `deadline` in monotonic seconds. `streams`: whether the client gets a stream.
    `origin`: whose request it is, as lines and suspicions know him; `path` of the API, behind the version segment, which
    a backend may refuse while it serves another; `body` as it arrived, empty if the router itself asks; `prompt`: the
    request, where a backend's balancing reads it. `wait_when_full`: for a place in a tier, before the next one is asked.
    `random` is uniform in [0, 1).
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
        "random",
        "settings",
        "streams",
        "timeouts",
        "wait_when_full",
    )

    def __init__(
        self,
        candidates: list[Candidate],
        settings: FailoverConfig,
        deadline: float,
        *,
        streams: bool,
        input_tokens: int,
        random: Callable[[], float],
        cold_start: ColdStartConfig,
        origin: str,
        path: str,
        body: bytes,
        prompt: Mapping[str, Any] | None,
        wait_when_full: bool,
        timeouts: Timeouts,
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
        self.wait_when_full: Final = wait_when_full
        self.timeouts: Final = timeouts
