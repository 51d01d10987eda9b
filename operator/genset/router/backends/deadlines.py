"""Deadlines say how long the steps of an answer may take at one backend."""

from __future__ import annotations

from typing import Final, final

from genset.router.backends.latency import Recent

FIRST_TOKEN_SECONDS = 15.0  # the least, whatever recent answers took
FIRST_TOKEN_FACTOR: Final = 2.0  # times the 99th percentile of recent answers
FIRST_TOKEN_MOST_SECONDS = 120.0  # most that recent answers can make of it: an ever slower backend must be left
PREFILL_TOKENS_PER_SECOND: Final = 500.0  # slowest prefill that a local backend is given time for
STALL_LOCAL_SECONDS = 10.0  # silence between two events of a stream
STALL_CLOUD_SECONDS = 15.0


@final
class Deadlines:
    """The deadlines of one backend, in seconds, depend on its side (house or cloud) and on its recent answers."""

    __slots__ = ("_local", "first_tokens", "stall_seconds")

    def __init__(self, local: bool) -> None:
        self._local = local
        self.first_tokens = Recent()  # how long recent answers took to begin
        self.stall_seconds = STALL_LOCAL_SECONDS if local else STALL_CLOUD_SECONDS

    def first_token_seconds(self, input_tokens: int) -> float:
        """Returns how long the first token may take after the request was sent: by the prompt, and by recent answers."""
        least = FIRST_TOKEN_SECONDS + self._prefill_seconds(input_tokens)
        return max(least, min(FIRST_TOKEN_FACTOR * self.first_tokens.p99, FIRST_TOKEN_MOST_SECONDS))

    def is_slow(self, seconds: float, input_tokens: int) -> bool:
        """Returns whether a first token that is missing after `seconds` is late, compared with recent answers.

        False if these are not known yet.
        """
        usual = FIRST_TOKEN_FACTOR * self.first_tokens.p99
        return 0.0 < usual < seconds and seconds > self._prefill_seconds(input_tokens)

    def _prefill_seconds(self, input_tokens: int) -> float:
        return input_tokens / PREFILL_TOKENS_PER_SECOND if self._local else 0.0
