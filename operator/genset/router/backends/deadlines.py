"""Deadlines say how long the steps of an answer may take at one backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from genset.router.backends.latency import Recent

FIRST_TOKEN_SECONDS: Final = 15.0  # the least, whatever recent answers took
FIRST_TOKEN_FACTOR: Final = 2.0  # times the 99th percentile of recent answers
FIRST_TOKEN_MOST_SECONDS: Final = 120.0  # most that recent answers can make of it: an ever slower backend must be left
PREFILL_TOKENS_PER_SECOND: Final = 500.0  # slowest prefill that a local backend is given time for
STALL_LOCAL_SECONDS: Final = 10.0  # silence between two events of a stream
STALL_CLOUD_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class AnswerTimeouts:
    """The times are seconds that an answer has if no route says otherwise.

    `first_token`: to its first token, at least. `stall_local`, `stall_cloud`: between two events of a stream.
    """

    first_token: float = FIRST_TOKEN_SECONDS
    stall_local: float = STALL_LOCAL_SECONDS
    stall_cloud: float = STALL_CLOUD_SECONDS


DEFAULT: Final = AnswerTimeouts()


@final
class Deadlines:
    """The deadlines of one backend, in seconds, depend on its side (house or cloud) and on its recent answers."""

    __slots__ = ("_least_seconds", "_local", "first_tokens", "stall_seconds")

    def __init__(self, local: bool, timeouts: AnswerTimeouts = DEFAULT) -> None:
        self._local = local
        self.first_tokens = Recent()  # how long recent answers took to begin
        self.stall_seconds = timeouts.stall_local if local else timeouts.stall_cloud
        self._least_seconds = timeouts.first_token

    def first_token_seconds(self, input_tokens: int) -> float:
        """Returns how long the first token may take after the request was sent: by the prompt, and by recent answers."""
        least = self._least_seconds + self._prefill_seconds(input_tokens)
        return max(least, min(FIRST_TOKEN_FACTOR * self.first_tokens.p99, FIRST_TOKEN_MOST_SECONDS))

    def is_slow(self, seconds: float, input_tokens: int) -> bool:
        """Returns whether a first token that is missing after `seconds` is late, compared with recent answers.

        False if these are not known yet.
        """
        usual = FIRST_TOKEN_FACTOR * self.first_tokens.p99
        return 0.0 < usual < seconds and seconds > self._prefill_seconds(input_tokens)

    def _prefill_seconds(self, input_tokens: int) -> float:
        return input_tokens / PREFILL_TOKENS_PER_SECOND if self._local else 0.0
