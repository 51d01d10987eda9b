"""A history is what has become of a request so far: its attempts, what they met, and what may still be tried. Pure."""

from __future__ import annotations

from typing import Final, final

from genset.router.backends.backend import Backend
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.errors import ErrorKind
from genset.router.machine.attempt import Attempt
from genset.router.machine.failover_settings import FailoverSettings
from genset.router.machine.trail import Step

MOST_CONTINUATIONS: Final = 2  # of one answer
_NO_STORIES: Final[list[str]] = []  # of most requests, which meet no failure


@final
class History:
    """A history holds all attempts of one request, up to the running one.

    `reason` is why the first tier did not answer, for answer headers. `stories` tell in words how attempts ended; the
    exchange tells them, and masks them. `broken_by` is the error that a break of the stream means for a client that
    has a part of it.
    """

    __slots__ = (
        "_late",
        "_most_continuations",
        "asked",
        "attempts",
        "broken_by",
        "continuations",
        "last_failure",
        "limited",
        "most_attempts",
        "reason",
        "stories",
        "trail",
    )

    def __init__(self, settings: FailoverSettings, reason: str) -> None:
        self._most_continuations = MOST_CONTINUATIONS if settings.continue_streams else 0
        self.most_attempts = settings.max_attempts
        self.reason = reason
        self.attempts = 0
        self.continuations = 0
        self.trail: list[Step] = []
        self.stories = _NO_STORIES
        self.asked: list[Backend] = []
        self.last_failure: Failure | None = None
        self.limited: float | None = None  # least Retry-After received, seconds
        self.broken_by: ErrorKind | None = None
        self._late: list[Backend] | None = None  # backends that were too slow for this request

    @property
    def continuing(self) -> bool:
        """A request is continuing if the client has a part of the answer, so that candidates are asked to continue it."""
        return self.broken_by is not None

    @property
    def may_continue(self) -> bool:
        """An answer may be continued if it breaks off now: the route allows it, and it was not done too often."""
        return self.continuations < self._most_continuations

    @property
    def continues_streams(self) -> bool:
        """Returns whether the route lets a broken stream be continued at all."""
        return self._most_continuations > 0

    @property
    def is_spent(self) -> bool:
        """A request is spent if it has had as many attempts as it may have."""
        return self.attempts >= self.most_attempts

    def record(self, attempt: Attempt, now: float, word: str) -> None:
        """Adds the step of an attempt that has ended."""
        milliseconds = int((now - attempt.began) * 1000)
        self.trail.append(Step(attempt.candidate.backend.name, word, milliseconds, now))

    def tells(self, story: str) -> None:
        """Adds a story."""
        self.stories = [*self.stories, story]

    def failed(self, failure: Failure) -> None:
        """Notes that an attempt has ended with this failure before the client got anything of it."""
        kind, wait = failure.row.kind, failure.retry_after
        self.last_failure = failure
        self.reason = self.reason or kind.word
        if wait is not None and (kind.status == 429 or failure.outcome in (Outcome.UNAVAILABLE, Outcome.OVERLOADED)):
            self.limited = wait if self.limited is None else min(wait, self.limited)

    def asks(self, backend: Backend, now: float) -> None:
        """Notes that one more attempt begins. A backend's retries are bounded by the requests that it gets."""
        self.attempts += 1
        if not self.asked or backend not in self.asked:
            self.asked.append(backend)
            backend.retries.request(now)

    def was_late(self, backend: Backend) -> bool:
        """Returns whether this backend has been too slow for the request."""
        return self._late is not None and backend in self._late

    def late_again(self, backend: Backend) -> bool:
        """Notes that this backend has been too slow. Returns whether it had been before."""
        if self.was_late(backend):
            return True
        self._late = [*(self._late or ()), backend]
        return False

    def begins_anew(self) -> None:
        """Allows as many attempts as at first: those so far were a drill's."""
        self.most_attempts += self.attempts
        if self._most_continuations:
            self._most_continuations += self.continuations

    def stood_still(self, seconds: float) -> None:
        """Shifts the ends of past attempts, because the clock has skipped `seconds`."""
        for step in self.trail:
            step.at -= seconds
