"""Patience is how long an attempt may take for what it is doing, and which signs of life extend that. Pure.

Times are monotonic seconds. What happens when the patience is over is decided by the state machine.
"""

from __future__ import annotations

import math
from typing import Final, final

AGAIN_LEAST_SECONDS: Final = 0.1  # shortest pause before the same endpoint is asked again
AGAIN_MOST_SECONDS: Final = 0.3  # longest pause before it is asked again
FINISH_SECONDS: Final = 5.0  # of silence after the finish_reason, after which the answer counts as complete
USAGE_SECONDS: Final = 10.0  # of silence after the finish_reason, while a usage that was asked for is missing
LIFE_MOST_SECONDS: Final = 120.0  # without a token, however often the backend says that it is working
COMMENT_SECONDS: Final = 5.0  # between signs of life, while a stream waits for a backend at rest or for another one
WORKING_SECONDS: Final = 10.0  # of a backend's silence, before the client of a stream hears a sign of life
QUIET_SECONDS: Final = 30.0  # in line for a place before the first of them, which begins the answer


@final
class Timeouts:
    """Timeouts are the times, in seconds, that no route sets. They never change, so all requests share one object.

    `finish`, `usage`: silence after the finish_reason, the second while a usage is missing. `life_most`: time without a
    token, whatever else comes. `again_least`, `again_most`: the pause before the same endpoint is asked again.
    `comment`, `working`, `quiet`: times before a client that waits for a stream hears a sign of life.
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
    """Patience holds the deadlines of the running attempt, by what it is doing.

    `until` is when its connection, its first token or its end must have come. `stall` is how long a begun stream may be
    silent. `heard` is when it last gave a sign of life that was no token, after the first one.
    """

    __slots__ = ("_allowance", "_finish", "_timeouts", "bound_at", "heard", "sent_at", "stall", "until", "wrote_on")

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._allowance = math.inf  # for the first token, from the request or the last sign of life
        self._finish = 0.0  # seconds of silence for which the end of the answer is waited for
        self.until = math.inf
        self.sent_at = 0.0
        self.heard = 0.0
        self.stall = 0.0
        self.bound_at = -1.0  # time of the last event before a stall after which nobody else can continue the answer
        self.wrote_on = False  # something of the answer has followed a finish_reason

    def sent(self, now: float, allowance: float) -> None:
        """Notes that the request is sent; its first token has `allowance` seconds."""
        self.sent_at = now
        self._allowance = allowance
        self.until = now + allowance

    def works(self, now: float) -> None:
        """Gives the first token its allowance anew, up to a limit, because the upstream says that it is working."""
        latest = self.sent_at + max(self._allowance, self._timeouts.life_most)
        self.until = max(self.until, min(now + self._allowance, latest))

    def committed(self, now: float, stall: float) -> None:
        """Notes that the first token has come."""
        self.heard = now
        self.stall = stall
        self.wrote_on = False

    def stalls(self, now: float, last: float) -> bool:
        """Returns whether a begun stream is silent for too long, or has sent only signs of life since its `last` event."""
        silent = now - max(last, self.heard)
        return silent > self.stall or now - last > max(self.stall, self._timeouts.life_most)

    def complaint(self, now: float, last: float) -> str:
        """Returns how it stalls, in words."""
        silent = now - max(last, self.heard)
        return f"sent nothing for {silent:.0f} s" if silent > self.stall else f"sent no token for {now - last:.0f} s"

    def finishing(self, now: float, *, awaits_usage: bool, wrote_on: bool) -> None:
        """Notes that every choice has its finish_reason. An answer that went on after one may take its time again."""
        self._finish = self._timeouts.usage if awaits_usage else self._timeouts.finish
        self.wrote_on = wrote_on
        if wrote_on:
            self._finish = max(self._finish, self.stall)
        self.until = now + self._finish

    def rests(self, now: float) -> None:
        """Waits for the end of the answer from now on, because until now nobody read it."""
        self.until = now + self._finish
