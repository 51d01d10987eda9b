"""How long an attempt may take for what it is doing, and which signs of life put that off. Pure.

Times are monotonic seconds. What happens when the patience is over is the state machine's decision.
"""

from __future__ import annotations

import math
from typing import Final, final

AGAIN_LEAST_SECONDS: Final = 0.1  # pause before the same endpoint is asked again
AGAIN_MOST_SECONDS: Final = 0.3
FINISH_SECONDS: Final = 5.0  # of silence after the finish_reason, until the answer is taken for complete
USAGE_SECONDS: Final = 10.0  # the same, while a usage that was asked for has not come
LIFE_MOST_SECONDS: Final = 120.0  # without a token, however often the backend says that it works
COMMENT_SECONDS: Final = 5.0  # between signs of life, while a stream waits for a backend at rest or for another one
WORKING_SECONDS: Final = 10.0  # of a backend's silence, before the client of a stream hears a sign of life
QUIET_SECONDS: Final = 30.0  # in line for a place before the first of them, which begins the answer


@final
class Timeouts:
    """The times, in seconds, that no route sets. They never change: all requests of a router share one object.

    `finish`, `usage`: of silence after the finish_reason, the second while a usage is missing. `life_most`: without a
    token, whatever else comes. `again_least`, `again_most`: of the pause before the same endpoint is asked again.
    `comment`, `working`, `quiet`: before a client who waits for a stream hears a sign of life.
    """

    __slots__ = ("again_least", "again_most", "comment", "finish", "life_most", "quiet", "usage", "working")

    def __init__(
        self,
        *,
        finish: float = FINISH_SECONDS,
        usage: float = USAGE_SECONDS,
        life_most: float = LIFE_MOST_SECONDS,
        again_least: float = AGAIN_LEAST_SECONDS,
        again_most: float = AGAIN_MOST_SECONDS,
        comment: float = COMMENT_SECONDS,
        working: float = WORKING_SECONDS,
        quiet: float = QUIET_SECONDS,
    ) -> None:
        self.finish: Final = finish
        self.usage: Final = usage
        self.life_most: Final = life_most
        self.again_least: Final = again_least
        self.again_most: Final = again_most
        self.comment: Final = comment
        self.working: Final = working
        self.quiet: Final = quiet


DEFAULT: Final = Timeouts()


@final
class Patience:
    """The deadlines of the running attempt, by what it is doing.

    `until`: when its connection, its first token or its end must have come. `stall`: how long a begun stream may be
    silent. `heard`: when it last gave a sign of life that was no token, since the first one.
    """

    __slots__ = ("_allowance", "_finish", "_timeouts", "bound_at", "heard", "sent_at", "stall", "until", "wrote_on")

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._allowance = math.inf  # for the first token, from the request or the last sign of life
        self._finish = 0.0  # seconds of silence that the end of the answer is waited for
        self.until = math.inf
        self.sent_at = 0.0
        self.heard = 0.0
        self.stall = 0.0
        self.bound_at = -1.0  # the last event before a stall after which nobody else can write on
        self.wrote_on = False  # something of the answer has followed a finish_reason

    def sent(self, now: float, allowance: float) -> None:
        """The request is on its way; its first token has `allowance` seconds."""
        self.sent_at = now
        self._allowance = allowance
        self.until = now + allowance

    def works(self, now: float) -> None:
        """The upstream has said before its first token that it works on it: it has its allowance anew, to a limit."""
        latest = self.sent_at + max(self._allowance, self._timeouts.life_most)
        self.until = max(self.until, min(now + self._allowance, latest))

    def committed(self, now: float, stall: float) -> None:
        """The first token is there."""
        self.heard = now
        self.stall = stall
        self.wrote_on = False

    def stalls(self, now: float, last: float) -> bool:
        """Whether a begun stream is silent for too long, or brought nothing but signs of life since its `last` event."""
        silent = now - max(last, self.heard)
        return silent > self.stall or now - last > max(self.stall, self._timeouts.life_most)

    def complaint(self, now: float, last: float) -> str:
        """How it stalls, in words."""
        silent = now - max(last, self.heard)
        return f"sent nothing for {silent:.0f} s" if silent > self.stall else f"sent no token for {now - last:.0f} s"

    def finishing(self, now: float, *, awaits_usage: bool, wrote_on: bool) -> None:
        """Every choice has its finish_reason. One that has written on before may take its time again."""
        self._finish = self._timeouts.usage if awaits_usage else self._timeouts.finish
        self.wrote_on = wrote_on
        if wrote_on:
            self._finish = max(self._finish, self.stall)
        self.until = now + self._finish

    def rests(self, now: float) -> None:
        """The end of the answer is waited for from here on: until now, nobody asked for it."""
        self.until = now + self._finish
