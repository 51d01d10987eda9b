"""A breaker decides when a backend or an endpoint may be asked again after failures.

It opens after 3 consecutive failures, or when half of at least 10 outcomes within 30 s failed; what only a caller's
request says has to be proved first (`suspicion`). It stays open for 5 s x 2^n, at most 15 s if probes exist and 20 s
otherwise, and never less than a Retry-After. Then it is half-open: one request or probe may go at a time, and it closes
after 2 successes, at least 10 s after the first of them, so that a flapping backend does not drag traffic to and fro.
So traffic is back within 30 s of the recovery, however long the outage was: 20 s until somebody looks, and 10 s of
health. Pure: the clock and the randomness come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, final

from genset.router.backends.window import Window

OPEN_SECONDS: Final = 5.0  # first opening; each one after it lasts twice as long
OPEN_MOST_SECONDS: Final = 20.0
OPEN_MOST_PROBED_SECONDS: Final = 15.0
JITTER: Final = 0.2  # by which an opening is longer or shorter, at random
CLOSE_SUCCESSES: Final = 2  # that close a half-open breaker
FAILBACK_SECONDS: Final = 10.0  # of health before a half-open breaker closes
FORGET_SECONDS: Final = 60.0  # after being closed for so long, the next opening lasts OPEN_SECONDS again
HARD_DOWN_AUTH_SECONDS: Final = 1800.0  # a new credentials file ends it at once: the backend is built anew
HARD_DOWN_MODEL_SECONDS: Final = 300.0  # the key and the model are both probed meanwhile
PATH_DOWN_SECONDS: Final = 30.0  # for a path that fails while others answer; it is probed meanwhile, too
SHORT_RETRY_AFTER_SECONDS: Final = 3.0  # a 429 with at most this Retry-After is waited for


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Cause(StrEnum):
    """A cause is why a breaker is open, or why a backend refuses (AUTH, MODEL: see `suspicion.Refusal`).

    Only with FAILURES may the backend be tried as the least bad if nothing else is left.
    """

    NONE = ""
    FAILURES = "failures"
    NO_ENDPOINT = "no_healthy_endpoint"
    RATE_LIMITED = "rate_limited"
    AUTH = "auth"
    MODEL = "model_not_found"


class Effect:
    """An effect is what a failure did to a breaker. Plain numbers: compiled, they cost nothing to compare."""

    NOTHING: Final = 0
    OPENED: Final = 1
    DOUBT: Final = 2  # it would have opened if the failure had been proved


_CLOSED: Final = State.CLOSED  # looking up an enumeration's member is slow, and these run for every request


@final
class _Pauses:
    """The pauses are how long a breaker stays open: twice as long each time, but at most `most` seconds."""

    __slots__ = ("_jitter", "most", "taken")

    def __init__(self, jitter: Callable[[], float], most: float) -> None:
        self._jitter = jitter  # uniform in [0, 1)
        self.most = most
        self.taken = 0  # openings so far

    def next(self) -> float:
        pause = min(OPEN_SECONDS * (1 << min(self.taken, 10)), self.most)
        return min(pause * (1 - JITTER + 2 * JITTER * self._jitter()), self.most)


@final
class Breaker:
    """A breaker guards one backend or one endpoint. All times are seconds of one monotonic clock.

    `probed`: active probes exist, so only probes lead through half-open. `failback_seconds` is 0 for an endpoint,
    because its return moves no traffic between tiers.
    """

    __slots__ = (
        "_broken",
        "_failback_seconds",
        "_looks_until",
        "_pauses",
        "_permit",
        "_probed",
        "_window",
        "cause",
        "closed_at",
        "good",
        "healthy_since",
        "open_until",
        "opened_at",
        "state",
    )

    def __init__(
        self, jitter: Callable[[], float], *, probed: bool = False, failback_seconds: float = FAILBACK_SECONDS
    ) -> None:
        self._pauses = _Pauses(jitter, OPEN_MOST_PROBED_SECONDS if probed else OPEN_MOST_SECONDS)
        self._window = Window()
        self._probed = probed
        self._failback_seconds = failback_seconds
        self._permit = False  # the half-open permit is taken
        self._broken = False  # failed since it was last closed, so that recovery has to be proved
        self._looks_until = 0.0  # a free probe is under way, and will have ended by then
        self.state = State.CLOSED
        self.cause = Cause.NONE
        self.open_until = 0.0
        self.opened_at = 0.0
        self.closed_at = -FORGET_SECONDS
        self.good = 0
        self.healthy_since: float | None = None

    def admits(self, now: float) -> bool:
        """Returns whether a request may go: the breaker is closed, or half-open and its permit is free."""
        if self.state is _CLOSED:
            return True
        state = self.view(now)
        if state is State.HALF_OPEN:
            return not self._permit and not self._probed
        return state is _CLOSED

    def take(self, now: float) -> bool:
        """Begins a request. Returns True if it carries the half-open permit, which an outcome or `release` gives back."""
        if self.state is _CLOSED:
            return False
        self._permit = self.view(now) is State.HALF_OPEN and self.admits(now)
        return self._permit

    def release(self) -> None:
        """Gives the permit back without an outcome: the client left, or the request was at fault."""
        self._permit = False

    def success(self, now: float, began: float, permit: bool = False) -> None:
        """Books a success of a request or a probe that began at `began`."""
        if permit:
            self._permit = False
        if self.state is _CLOSED:
            self._window.success(now)
            return
        if began < self.opened_at:
            return  # it began before the opening, so it says nothing about the time since
        self._turn(now)
        if self.healthy_since is None:
            self.healthy_since = now
        self.good += 1
        if (
            self.state is State.HALF_OPEN
            and self.good >= CLOSE_SUCCESSES
            and now - self.healthy_since >= self._failback_seconds
        ):
            self._close(now)

    def failure(self, now: float, began: float, permit: bool = False, *, proved: bool = True) -> int:
        """Books a failure of a request or a probe that began at `began`, and returns an Effect.

        `proved`: more than one caller's request says so. A failure that is not proved is counted, but does not open the
        breaker.
        """
        if permit:
            self._permit = False
        if self.state is State.CLOSED:
            return self._judge(now, proved) if self._window.failure(now) else Effect.NOTHING
        if began < self.opened_at:
            return Effect.NOTHING  # the tail of an outage that is already known
        self._turn(now)
        if self.state is State.HALF_OPEN:
            return self._judge(now, proved)
        self.good = 0
        self.healthy_since = None
        return Effect.NOTHING

    def _judge(self, now: float, proved: bool) -> int:
        if not proved:
            return Effect.DOUBT
        self._open(now, Cause.FAILURES, self._pause(now))
        return Effect.OPENED

    def convict(self, now: float) -> None:
        """Opens the breaker, unless it is open, because the router's own request has failed."""
        if self.view(now) is not State.OPEN:
            self._open(now, Cause.FAILURES, self._pause(now))

    def acquit(self, now: float, began: float) -> None:
        """Clears what was counted, because the router's own request was answered: callers' requests were at fault."""
        if self.state is State.CLOSED:
            self._window.forget()
        else:
            self.success(now, began)

    def withdraw(self) -> None:
        """Takes back one failure that was not the backend's fault."""
        self._window.withdraw()

    def look_often(self) -> None:
        """Bounds openings as if active probes existed, because free probes tell when the backend is back."""
        self._pauses.most = OPEN_MOST_PROBED_SECONDS

    def hope(self, now: float) -> None:
        """Notes that a free probe was answered: the server is there, but requests still have to prove that it works."""
        if self.state is not State.CLOSED and self.healthy_since is None:
            self.healthy_since = now
            self.good = max(self.good, 1)

    def looks(self, now: float, until: float) -> None:
        """Keeps the breaker open while a free probe is under way, until `until` at most: no request needs to be sooner."""
        if self.view(now) is State.HALF_OPEN and not self._permit and self.healthy_since is None:
            self.state = State.OPEN
        self._looks_until = until

    def looked(self) -> None:
        """Notes that the free probe has ended."""
        self._looks_until = 0.0

    def despair(self, now: float, until: float) -> None:
        """Keeps the breaker open until `until`, because a free probe failed: no request needs to find that out."""
        if self.view(now) is State.HALF_OPEN and not self._permit:
            self.state = State.OPEN
        if self.state is State.OPEN:
            self.open_until = max(self.open_until, until)
            self.probe_failed()

    def trip(self, now: float, cause: Cause, seconds: float = 0.0) -> None:
        """Opens at once: no endpoint is left, a Retry-After was sent, or the key or the model is refused."""
        if self.state is State.OPEN and self.cause is not Cause.FAILURES and self.open_until >= now + seconds:
            return
        self._open(now, cause, seconds)

    def cool(self, now: float, retry_after: float | None) -> None:
        """Opens because of a 429: for exactly a short Retry-After, otherwise for at least the usual pause."""
        if retry_after is None or retry_after > SHORT_RETRY_AFTER_SECONDS:
            retry_after = max(retry_after or 0.0, self._pause(now))
        self.trip(now, Cause.RATE_LIMITED, retry_after)

    def forget(self, now: float) -> None:
        """Closes the breaker, because what was broken is gone and something else is in its place."""
        if self.state is not State.CLOSED and self.cause in (Cause.FAILURES, Cause.NO_ENDPOINT):
            self._close(now)
        self._window.end_row()

    def probe_failed(self) -> None:
        """Forgets the successes so far, because a probe failed while the breaker was open."""
        self.good = 0
        self.healthy_since = None

    def view(self, now: float) -> State:
        """Returns the state, after the time that has passed."""
        self._turn(now)
        return self.state

    def _turn(self, now: float) -> None:
        if self.state is State.OPEN and now >= self.open_until and now >= self._looks_until:
            self.state = State.HALF_OPEN
            self._permit = False
            if self.cause is Cause.RATE_LIMITED and not self._broken:
                # The backend only asked for a pause and never failed, so there is nothing to prove.
                self._close(now)

    def _open(self, now: float, cause: Cause, seconds: float) -> None:
        self.open_until = max(self.open_until, now + seconds) if self._broken else now + seconds
        self.state = State.OPEN
        self.cause = cause
        self._broken = self._broken or cause is not Cause.RATE_LIMITED
        self.opened_at = now
        self._pauses.taken += 1
        self.good = 0
        self.healthy_since = None
        self._permit = False

    def _close(self, now: float) -> None:
        self.state = State.CLOSED
        self.cause = Cause.NONE
        self._broken = False
        self.closed_at = now
        self._permit = False
        self._window.forget()

    def _pause(self, now: float) -> float:
        """Returns how long the next opening lasts, in seconds."""
        if self.state is State.CLOSED and now - self.closed_at >= FORGET_SECONDS:
            self._pauses.taken = 0
        return self._pauses.next()
