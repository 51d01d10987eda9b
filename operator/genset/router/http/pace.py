"""Measures how fast the body of a request comes, as a whole and of late: a trickle must not hold a place for hours. Pure."""

from __future__ import annotations

from typing import Final, final

from genset.router.http.client_timeouts import ClientTimeouts

#: The least pace of a body, once the times for its head and for silence are over.
BODY_BYTES_PER_SECOND: Final = 240
WHOLE_BODY_SECONDS: Final = 1200.0  # in which a large body has to come: its least pace follows from what it announced


@final
class Pace:
    """A pace is that of one request at a time, of those that come over a connection. All times are the router's clock's.

    `since` is when the request began, or 0 while that is not noted: almost every request is whole before anybody asks.
    """

    __slots__ = ("_judged_at", "_judged_bytes", "_swept_at", "_swept_bytes", "since")

    def __init__(self) -> None:
        self.since = 0.0
        self._judged_at = 0.0  # since when the pace of late is measured, and from which byte on
        self._judged_bytes = 0
        self._swept_at = 0.0  # when the pace was last judged, and how many bytes of the body were there
        self._swept_bytes = 0

    def begin(self) -> None:
        """Begins anew, with the request that begins in the read that is being parsed."""
        self.since = 0.0

    def note(self, now: float) -> None:
        """Notes when the request began: the read in which it did was `now`."""
        self.since = now

    def of_late(self, head_bytes: int, body_bytes: int, now: float) -> float:
        """Returns bytes per second since the pace was last judged, or since the request began if that is later."""
        if self.since > self._swept_at:
            return (body_bytes + head_bytes) / max(now - self.since, 0.1)
        return (body_bytes - self._swept_bytes) / max(now - self._swept_at, 0.1)

    def is_slow(self, size: int, least: int, now: float, timeouts: ClientTimeouts) -> bool:
        """Returns whether a body of which `size` bytes are here comes too slowly, after it has had its time to begin.

        `least` is in bytes per second. Asked about once a second.
        """
        self._swept_at, self._swept_bytes = now, size
        graced = self.since + timeouts.head + timeouts.body
        slow = size < (now - graced) * BODY_BYTES_PER_SECOND
        if self._judged_at < self.since:
            self._judged_at, self._judged_bytes = self.since, 0
        span = now - self._judged_at
        if span >= timeouts.pace:
            slow = slow or (now > graced and size - self._judged_bytes < least * span)
            self._judged_at, self._judged_bytes = now, size
        return slow


def least_pace(size: int) -> int:
    """Returns bytes per second at which a body has to come. `size`: what it announced, or what has come if that is more."""
    return max(BODY_BYTES_PER_SECOND, int(size / WHOLE_BODY_SECONDS))
