"""What has become of a request so far: its attempts, what they met, and what may still be tried because of it. Pure."""

from __future__ import annotations

from typing import Final, final

from genset.contracts.router_config import FailoverConfig
from genset.router.backends.backend import Backend
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.errors import ErrorKind
from genset.router.machine.attempt import Attempt
from genset.router.machine.trail import Step

MOST_CONTINUATIONS: Final = 2  # of one answer


@final
class History:
    """All attempts of one request, up to the running one.

    `reason`: why the first tier did not answer (evidence). `stories`: what attempts came to, in words; written by the
    wire, which masks them. `broken_by`: the error that a break of the stream means for a client who has a part of it.
    """

    __slots__ = (
        "_continue_streams",
        "_late",
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

    def __init__(self, settings: FailoverConfig, reason: str) -> None:
        self._continue_streams = settings.continue_streams
        self.most_attempts = settings.max_attempts
        self.reason = reason
        self.attempts = 0
        self.continuations = 0
        self.trail: list[Step] = []
        self.stories: list[str] = []
        self.asked: list[Backend] = []
        self.last_failure: Failure | None = None
        self.limited: float | None = None  # least Retry-After heard
        self.broken_by: ErrorKind | None = None
        self._late: list[Backend] | None = None  # that were too slow for this request

    @property
    def continuing(self) -> bool:
        """Whether the client has a part of the answer, so that candidates are asked to write on."""
        return self.broken_by is not None

    @property
    def may_continue(self) -> bool:
        """Whether the answer, once begun, may be written on by somebody else if it breaks off now."""
        return self._continue_streams and self.continuations < MOST_CONTINUATIONS

    @property
    def is_spent(self) -> bool:
        """Whether there were as many attempts as there may be."""
        return self.attempts >= self.most_attempts

    def record(self, attempt: Attempt, now: float, word: str) -> None:
        """An attempt has ended."""
        milliseconds = int((now - attempt.began) * 1000)
        self.trail.append(Step(attempt.candidate.backend.name, word, milliseconds, now))

    def failed(self, failure: Failure) -> None:
        """An attempt has ended so before the client got anything of it."""
        kind, wait = failure.rule.kind, failure.retry_after
        self.last_failure = failure
        self.reason = self.reason or kind.word
        if wait is not None and (kind.status == 429 or failure.outcome is Outcome.UNAVAILABLE):
            self.limited = wait if self.limited is None else min(wait, self.limited)

    def asks(self, backend: Backend, now: float) -> None:
        """One more attempt begins. Retries of a backend are bounded by the requests that it gets."""
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

    def stood_still(self, seconds: float) -> None:
        """The clock has skipped them: what has ended before is as much longer ago."""
        for step in self.trail:
            step.at -= seconds
