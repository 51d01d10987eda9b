"""Writes the header lines that tell a consumer its limits, by the names that clients of the API know. Pure.

Sources: OpenAI, "Rate limits in headers" (resets as `1m0s`); Anthropic, "Response headers" (resets as RFC 3339 times).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from genset.router.access.consumer import Consumer
from genset.router.access.minute import WINDOW_SECONDS
from genset.router.access.quota import Quota
from genset.times import rfc3339

#: How the headers begin that say the same of a backend, which say nothing to whoever has limits here.
OTHERS: Final = (b"x-ratelimit-", b"ratelimit", b"anthropic-ratelimit-")


#: A reset is told in whole seconds; Go writes times so, which is what OpenAI sends.
_DURATIONS: Final = [
    b"%ds" % second if second < 60 else b"1m%ds" % (second - 60) for second in range(WINDOW_SECONDS + 2)
]


def limit_lines(consumer: Consumer, now: float, wall: Callable[[], float], *, anthropic: bool) -> bytes:
    """Returns the lines of a consumer's limits per minute; empty if it has none. `wall` tells seconds since 1970.

    `anthropic`: by the names of Anthropic's API, otherwise by OpenAI's.
    """
    requests, tokens = consumer.requests, consumer.tokens
    if anthropic:
        said = _anthropic(b"requests", requests, now, wall) if requests is not None else b""
        return said + _anthropic(b"tokens", tokens, now, wall) if tokens is not None else said
    # Each written out: what is known of a line beforehand is not put together anew for each answer.
    lines = b""
    if requests is not None:
        lines = (
            b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\nx-ratelimit-reset-requests: %b\r\n"
            % (requests.told, requests.room(now), _reset(requests, now))
        )
    if tokens is None:
        return lines
    return b"%bx-ratelimit-limit-tokens: %d\r\nx-ratelimit-remaining-tokens: %d\r\nx-ratelimit-reset-tokens: %b\r\n" % (
        lines,
        tokens.told,
        tokens.room(now),
        _reset(tokens, now),
    )


def _reset(quota: Quota, now: float) -> bytes:
    return _DURATIONS[min(int(quota.minute.seconds_until_empty(now) + 0.999), WINDOW_SECONDS + 1)]


def _anthropic(what: bytes, quota: Quota, now: float, wall: Callable[[], float]) -> bytes:
    reset = rfc3339(wall() + quota.minute.seconds_until_empty(now)).encode()
    return (
        b"anthropic-ratelimit-%b-limit: %d\r\nanthropic-ratelimit-%b-remaining: %d\r\nanthropic-ratelimit-%b-reset: %b\r\n"
        % (what, quota.told, what, quota.room(now), what, reset)
    )
