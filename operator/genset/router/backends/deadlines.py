"""How long the steps of an answer may take at one backend, as its side and its recent answers go."""

from __future__ import annotations

from typing import Final, final

from genset.router.backends.latency import Recent

FIRST_TOKEN_SECONDS = 15.0
FIRST_TOKEN_FACTOR: Final = 2.0  # times the slowest hundredth of the recent answers
FIRST_TOKEN_MOST_SECONDS = 120.0  # that recent answers can ask for: a backend that gets slower and slower must be left
PREFILL_TOKENS_PER_SECOND: Final = 500.0  # slowest prefill that a local backend is given time for
STALL_LOCAL_SECONDS = 10.0
STALL_CLOUD_SECONDS = 15.0


@final
class Deadlines:
    """Deadlines of one backend, in seconds. `first_tokens` are the times that its recent answers took to begin."""

    __slots__ = ("_local", "first_tokens", "stall_seconds")

    def __init__(self, local: bool) -> None:
        self._local = local
        self.first_tokens = Recent()
        self.stall_seconds = STALL_LOCAL_SECONDS if local else STALL_CLOUD_SECONDS

    def first_token_seconds(self, input_tokens: int) -> float:
        """How long the first token may take, counted from the sent request: by the prompt, and by recent answers."""
        least = FIRST_TOKEN_SECONDS + self._prefill_seconds(input_tokens)
        return max(least, min(FIRST_TOKEN_FACTOR * self.first_tokens.p99, FIRST_TOKEN_MOST_SECONDS))

    def is_slow(self, seconds: float, input_tokens: int) -> bool:
        """Whether a first token that is not there after so long is late, as recent answers go. Unknown: no."""
        usual = FIRST_TOKEN_FACTOR * self.first_tokens.p99
        return 0.0 < usual < seconds and seconds > self._prefill_seconds(input_tokens)

    def _prefill_seconds(self, input_tokens: int) -> float:
        return input_tokens / PREFILL_TOKENS_PER_SECOND if self._local else 0.0
