"""An identity is who the router is to a cloud that takes tokens in place of keys; here is the token in use, and its age."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, final

RENEW_SHARE: Final = 0.75  # of a token's life, after which the next one is asked for
LEAST_SECONDS: Final = 30.0  # between two tokens
RETRY_SECONDS: Final = 5.0  # the first pause after a failure, doubled each time
MOST_RETRY_SECONDS: Final = 60.0  # the longest
MARGIN_SECONDS: Final = 10.0  # before its end, in which a token counts as over


class NoTokenError(Exception):
    """There is no token that is good. The message says why, for whoever runs the router."""


@final
class Identity:
    """An identity holds the token of one backend.

    `token` is b"" before the first. `problem` says why the last one could not be had; "" if it could. `now`: seconds of a clock
    that does not rest while the process does, because the life of a token goes on.
    """

    __slots__ = ("_failures", "_now", "_until", "problem", "token")

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.token = b""
        self.problem = "no token was asked for so far"
        self._until = 0.0
        self._failures = 0

    def line(self) -> bytes:
        """Returns the header line with the token. Raises NoTokenError."""
        if not self.token or self._now() >= self._until:
            raise NoTokenError(self.problem or "its token has expired")
        return b"authorization: Bearer %b\r\n" % self.token

    def renewed(self, token: bytes, lives: float) -> float:
        """Takes a token that lives for so many seconds. Returns after how many the next one is asked for."""
        self.token = token
        self.problem = ""
        self._failures = 0
        self._until = self._now() + lives - MARGIN_SECONDS
        return max(LEAST_SECONDS, lives * RENEW_SHARE)

    def failed(self, problem: str) -> float:
        """Takes note of why there is no new token; the old one stays. Returns after how many seconds it is asked for again."""
        self.problem = problem
        self._failures += 1
        return float(min(MOST_RETRY_SECONDS, RETRY_SECONDS * 2 ** min(self._failures - 1, 10)))
