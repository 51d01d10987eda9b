"""The state machine of one request: events and the clock in, decisions out, no IO.

    RECEIVE -> POLICY (table) -> SELECT -> CONNECT -> HEADERS -> PRECOMMIT -> COMMIT -> FINISH -> DONE
                                 ^ |  ^___________ failed() __________|          |
                    resume() WAIT<-'  '_____________ CONTINUE __________________ broke() -> FAIL

The wire asks `begin`, then reports what happens (`sent`, `head`, `committed`, `finishing`, `succeeded`, `failed`,
`broke`, `cancelled`, or `expired` when a deadline passed) and does what the returned decision says. `alive` tells of
signs of life that are no tokens: they put deadlines off. Where nobody else could be asked, the router's own deadlines
wait for the request's. `selection` is the
half that looks for the next candidate. The list of candidates is frozen before the first attempt: it only shrinks.
CONTINUE is SELECT once more, with `continuing` set: from then on a candidate is asked to write on from what the client
has, and giving up means an error inside the stream. Per stream chunk the machine is not called at all; the wire writes
`last` and the sweep asks `expired`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from genset.contracts.router_config import ColdStartConfig, FailoverConfig
from genset.router.backends.backend import Backend
from genset.router.backends.breaker import SHORT_RETRY_AFTER_SECONDS
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.outcomes import Again, Failure, Next, Outcome, met
from genset.router.continuation import OFF
from genset.router.errors import VOCABULARY
from genset.router.machine.candidates import Selection
from genset.router.machine.decisions import Candidate, Decision, Phase, Try
from genset.router.machine.testimony import Testimony

AGAIN_LEAST_SECONDS: Final = 0.1  # pause before the same endpoint is asked again
AGAIN_MOST_SECONDS: Final = 0.3
FINISH_SECONDS = 5.0  # of silence after the finish_reason, until the answer is taken for complete
USAGE_SECONDS = 10.0  # the same, while a usage that was asked for has not come
MOST_CONTINUATIONS: Final = 2  # of one answer
PATIENCE_SHARE: Final = 0.5  # of a route's time, after which a backend should have begun whoever asks
LIFE_MOST_SECONDS = 120.0  # without a token, however often the backend says that it works

_NO_WORK: Final = (Outcome.UNREACHABLE, Outcome.INTERRUPTED)
_LOST: Final = (*_NO_WORK, Outcome.UNAVAILABLE)  # nobody is there any more, or not for long
#: One endpoint may have been at fault, so another of the same backend is asked before the request is given up.
_ENDPOINT_MAY_BE_AT_FAULT: Final = (
    Outcome.TOO_LATE, Outcome.SERVER_ERROR, Outcome.INVALID_RESPONSE, Outcome.INTERRUPTED, Outcome.UNREACHABLE,
)  # fmt: skip


class RequestMachine(Selection):
    """One request from SELECT to DONE. Arguments as Selection's; `random` is uniform in [0, 1)."""

    __slots__ = (
        "_allowance",
        "_finish_seconds",
        "_late",
        "_most_attempts",
        "_random",
        "_sent_at",
        "_streams",
        "_testimony",
        "_wrote_on",
        "body",
        "bound_at",
        "continuations",
        "heard",
        "input_tokens",
        "last",
        "stall",
        "stream",
    )

    def __init__(
        self,
        candidates: list[Candidate],
        settings: FailoverConfig,
        deadline: float,
        *,
        stream: bool,
        input_tokens: int,
        random: Callable[[], float],
        cold_start: ColdStartConfig,
        skipped: str = "",
    ) -> None:
        super().__init__(candidates, settings, deadline, skipped, cold_start)
        self.stream = stream
        self.input_tokens = input_tokens
        self.continuations = 0
        self.last = 0.0  # when the upstream last sent an event; written by the wire
        self.heard = 0.0  # when it last gave another sign of life, since the first token
        self.bound_at = -1.0  # `last` of a stall after which nobody else can write on; written by the wire
        self.stall = 0.0
        self.body = b""  # as it arrived; empty: what is met counts as seen by the router itself
        self._testimony: Testimony | None = None  # most requests meet no failure
        self._streams = stream  # what the client gets; `stream` is what the upstream sends
        self._allowance = math.inf  # for the first token, from the request or the last sign of life
        self._most_attempts = settings.max_attempts
        self._late: list[Backend] | None = None  # that were too slow for this request
        self._finish_seconds = 0.0
        self._random = random
        self._sent_at = 0.0
        self._wrote_on = False

    # Decisions

    def begin(self, now: float) -> Decision:
        """The first decision."""
        return self._select(now)

    def failed(self, now: float, failure: Failure) -> Decision:
        """The running attempt ended before commit."""
        candidate, endpoint = self._current()
        self._record(now, failure.outcome.value)
        self.last_failure = failure
        reached = self.phase > Phase.CONNECT
        if reached and self.body:
            self._testifies().book(candidate.backend, endpoint, failure, now, self._began, self._token)
        else:
            candidate.backend.failed(endpoint, failure, now, self._began, self._token, reached=reached)
        self._token = False
        if not self.reason:
            self.reason = failure.rule.kind.word
        if failure.rule.kind.status == 429 or failure.outcome is Outcome.UNAVAILABLE:
            wait = failure.retry_after
            if wait is not None:
                self._limited = wait if self._limited is None else min(wait, self._limited)
        if failure.rule.next is Next.NO and not self.continuing:
            return self._give_up(now)
        if self.attempts >= self._most_attempts or now >= self.deadline:
            return self._give_up(now)
        again = self._again(now, failure, candidate, endpoint)
        if again is not None:
            return again
        if failure.outcome in _LOST and candidate.backend.rests:
            return self._select(now)  # put to rest while the request was on its way there: it may wake
        slow = failure.outcome is Outcome.TOO_LATE and self._was_late(candidate.backend)
        if failure.outcome in _ENDPOINT_MAY_BE_AT_FAULT and not slow:
            self._spent.append((candidate, self._tried))
        self._drop(candidate, failure.rule.next)
        self._stay_in_the_house(failure)
        return self._select(now)

    def resume(self, now: float) -> Decision:
        """After a Wait: what now?"""
        return self._select(now)

    def once_more(self, now: float, failure: Failure, word: str) -> Decision:
        """The server refused this way of asking, not the request: the same endpoint is asked in another way.

        That is no attempt of its own: what was refused was ours.
        """
        candidate, endpoint = self._current()
        self._record(now, word)
        self.last_failure = failure
        if now >= self.deadline:
            return self._give_up(now)
        self._most_attempts += 1
        return self._try(now, candidate, endpoint)

    def broke(self, now: float, failure: Failure, kind_word: str, why_not: str = "", *, blame: bool = True) -> Decision:
        """The stream broke after commit: the client has part of an answer. CONTINUE, or FAIL.

        `why_not`: why nobody may write on ("" if somebody may). `blame`: whether the upstream is at fault at all; one
        that only wrote a text that does not join is not.
        """
        candidate, endpoint = self._current()
        self._record(now, kind_word.removeprefix("provider_"))
        self.last_failure = failure
        self._broken_by = VOCABULARY[kind_word]
        if blame:
            endpoint_only = kind_word == "provider_interrupted"
            witness = self._testifies().witness() if self.body else None
            candidate.backend.broke(
                endpoint,
                now,
                self._began,
                self._token,
                endpoint_only=endpoint_only,
                word=met(failure),
                witness=witness,
            )
        elif self._token:
            candidate.backend.breaker.release()
        self._token = False
        self.continuing = True
        if (
            why_not
            or not self.settings.continue_streams
            or self.continuations >= MOST_CONTINUATIONS
            or self.attempts >= self._most_attempts
            or now >= self.deadline
            or kind_word == "router_deadline"
        ):
            return self._give_up(now)
        self.continuations += 1
        self._stay_in_the_house(failure)
        self._left = [c for c in self._left if c.backend.continuation != OFF]
        stalled = kind_word == "provider_stalled"
        slow = stalled and self._was_late(candidate.backend)
        if candidate in self._left:
            # Another endpoint of the same backend has the same model and, by now, no worse a chance than any.
            sibling = candidate.backend.sibling(now, self._tried) if blame and not slow else None
            if sibling is not None:
                return self._try(now, candidate, sibling)
            if candidate.backend.rests:
                return self._select(now)
            self._left.remove(candidate)
            if blame and not stalled:  # one that is slow is slow again
                self._spent.append((candidate, []))  # itself once more, if nobody else is left
        return self._select(now)

    def expired(self, now: float) -> Failure | None:
        """The failure that the passage of time has brought, if any; the wire then calls `failed` or `broke`.

        In PAUSE and SELECT nothing runs upstream. In FINISH the time only ends the wait: see `finish_over`.
        """
        if self.phase == Phase.COMMIT:
            if self._stalls(now) and (self.settings.stall_seconds is not None or self._others(now)):
                silent = now - self._last_heard()
                if silent > self.stall:
                    return Failure(Outcome.TOO_LATE, f"sent nothing for {silent:.0f} s")
                return Failure(Outcome.TOO_LATE, f"sent no token for {now - self.last:.0f} s")
        elif now >= self._phase_until:
            if self.phase == Phase.CONNECT:
                return Failure(Outcome.UNREACHABLE, "could not be connected in time")
            if self.phase in (Phase.HEADERS, Phase.PRECOMMIT) and (
                self.settings.first_token_seconds is not None or self._others(now)
            ):
                return Failure(Outcome.TOO_LATE, "sent no first token in time")
        if now >= self.deadline and Phase.CONNECT <= self.phase <= (Phase.FINISH if self._wrote_on else Phase.COMMIT):
            outcome = Outcome.TOO_LATE if self._is_slow(now) else Outcome.OUT_OF_TIME
            return Failure(outcome, "did not answer before the request's deadline")
        return None

    def _last_heard(self) -> float:
        return max(self.last, self.heard)

    def _stalls(self, now: float) -> bool:
        """Whether a stream that has begun is silent for too long, or brought nothing but signs of life."""
        return now - self._last_heard() > self.stall or now - self.last > max(self.stall, LIFE_MOST_SECONDS)

    def _others(self, now: float) -> bool:
        """Whether somebody else could be asked now if the running attempt were given up for its slowness."""
        settings = self.settings
        if self.attempts >= self._most_attempts:
            return False
        begun = self._streams and self.phase == Phase.COMMIT
        if begun and (
            not settings.continue_streams or self.continuations >= MOST_CONTINUATIONS or self.last == self.bound_at
        ):
            return False
        candidate, _ = self._current()
        writes_on = begun or self.continuing
        house_only = candidate.backend.local and "TooLate" not in settings.to_cloud_on
        for other in self._left:
            if other is candidate or (writes_on and other.backend.continuation == OFF):
                continue
            if house_only and not other.backend.local:
                continue
            if other.backend.admits(now) and other.backend.refusals.of(self.path, now) is None:
                return True
        backend = candidate.backend
        if (self._late is not None and backend in self._late) or (writes_on and backend.continuation == OFF):
            return False
        return backend.has_sibling(now, self._tried)

    def _was_late(self, backend: Backend) -> bool:
        """Whether this backend has been too slow for the request before; from now on it has."""
        if self._late is None:
            self._late = []
        if backend in self._late:
            return True
        self._late.append(backend)
        return False

    def _is_slow(self, now: float) -> bool:
        """Whether the backend is to blame that the request's time is over before its own is.

        A client may be as impatient as it likes, and an answer as long: neither may open a breaker for everybody.
        """
        if self.phase == Phase.COMMIT:
            return self._stalls(now)
        if self.phase not in (Phase.HEADERS, Phase.PRECOMMIT):
            return False
        waited = now - self._sent_at
        if waited >= PATIENCE_SHARE * self.settings.total_seconds or now >= self._phase_until:
            return True
        candidate, _ = self._current()
        return self.stream and candidate.backend.is_slow(waited, self.input_tokens)

    def finish_over(self, now: float) -> bool:
        """Whether a finished answer has been waited for long enough: nothing of it can be missing but its usage."""
        if self.phase != Phase.FINISH:
            return False
        return now >= self._phase_until or (now >= self.deadline and not self._wrote_on)

    # Events

    def sent(self, now: float) -> None:
        """The request is on its way: HEADERS. Only a stream tells of a first token; other answers take their time."""
        self.phase = Phase.HEADERS
        self._sent_at = now
        if self.stream:
            candidate, _ = self._current()
            limit = self.settings.first_token_seconds
            self._allowance = limit if limit is not None else candidate.backend.first_token_seconds(self.input_tokens)
            self._phase_until = now + self._allowance
        else:
            self._phase_until = math.inf

    def head(self) -> None:
        """A 2xx head arrived: PRECOMMIT. The first-token deadline runs on."""
        self.phase = Phase.PRECOMMIT

    def alive(self, now: float) -> None:
        """The upstream sent something that is no token: a head, a comment, an empty delta, a part of an event.

        It has its allowance anew from here on, but never more than LIFE_MOST_SECONDS without a token.
        """
        if self.phase == Phase.COMMIT:
            self.heard = now
        elif self.stream and self.phase in (Phase.HEADERS, Phase.PRECOMMIT):
            latest = self._sent_at + max(self._allowance, LIFE_MOST_SECONDS)
            self._phase_until = max(self._phase_until, min(now + self._allowance, latest))

    def committed(self, now: float) -> None:
        """The first token goes to the client. Once per attempt."""
        candidate, endpoint = self._current()
        self.phase = Phase.COMMIT
        self.last = self.heard = now
        candidate.backend.first_tokens.add(now - self._sent_at)
        candidate.backend.spoke(endpoint, now, self.path)
        if self._testimony is not None:
            self._testimony.acquit(now)
        limit = self.settings.stall_seconds
        self.stall = limit if limit is not None else candidate.backend.stall_seconds
        self._wrote_on = False
        if self._token:  # half-open: do not hold the one token for as long as the answer takes
            candidate.backend.succeeded(endpoint, now, self._began, True, self.path)
            self._token = False

    def finishing(self, now: float, *, awaits_usage: bool, wrote_on: bool) -> None:
        """An event has passed after which every choice has its finish_reason: FINISH, a wait for whatever may follow.

        `awaits_usage`: a usage was asked for and has not come. `wrote_on`: something of the answer has followed an earlier
        finish_reason, so the next event may take its time again.
        """
        self.phase = Phase.FINISH
        self.last = now
        self._finish_seconds = USAGE_SECONDS if awaits_usage else FINISH_SECONDS
        self._wrote_on = wrote_on
        if wrote_on:
            self._finish_seconds = max(self._finish_seconds, self.stall)
        self._phase_until = now + self._finish_seconds

    def writes_on(self, now: float) -> None:
        """More of the answer has come after its finish_reason: COMMIT again."""
        self.phase = Phase.COMMIT
        self.last = now

    def rests(self, now: float) -> None:
        """The client takes nothing, so nothing is asked of the upstream: its silence does not count."""
        self.last = now
        if self.phase == Phase.FINISH:
            self._phase_until = now + self._finish_seconds

    def succeeded(self, now: float) -> None:
        """The answer is complete."""
        candidate, endpoint = self._current()
        self._record(now, "ok")
        if self._testimony is not None:
            self._testimony.acquit(now)
        candidate.backend.succeeded(endpoint, now, self._began, self._token, self.path)
        self._token = False
        self.phase = Phase.DONE

    def cancelled(self, now: float) -> None:
        """The client left. Breakers learn nothing."""
        if self.candidate is not None and Phase.CONNECT <= self.phase < Phase.DONE:
            self._record(now, "cancelled")
            if self._token:
                self.candidate.backend.breaker.release()
                self._token = False
        self._leave_lines()
        self.phase = Phase.DONE

    def looked_away(self, seconds: float) -> None:
        """The loop was so busy that a connection may have been accepted unseen: its deadline is later by as much."""
        if self.phase == Phase.CONNECT:
            self._phase_until += seconds

    def unsent(self) -> None:
        """A kept-alive connection was closed under us before a byte came back: not an attempt, not a failure."""
        self.phase = Phase.CONNECT

    def connecting(self) -> None:
        """The pause is over."""
        self.phase = Phase.CONNECT

    def _testifies(self) -> Testimony:
        if self._testimony is None:
            self._testimony = Testimony(self.origin, self.body, self.path)
        return self._testimony

    def _again(self, now: float, failure: Failure, candidate: Candidate, endpoint: Endpoint) -> Try | None:
        again = failure.rule.again
        if again is Again.NO or self._again_used:
            return None
        backend = candidate.backend
        if endpoint.gone:
            again = Again.SIBLING
        if again in (Again.SIBLING, Again.SIBLING_ELSE_ONCE):
            sibling = backend.sibling(now, self._tried, self._key(backend))
            # A lost endpoint works no more, so its sibling bears no more than the two had to.
            if sibling is not None and (failure.outcome in _NO_WORK or backend.retries.take(now)):
                self._again_used = True
                return self._try(now, candidate, sibling)
            if sibling is not None or again is Again.SIBLING:
                return None
        if again is Again.AFTER_WAIT:
            delay = failure.retry_after or 0.0
        else:
            if not backend.breaker.admits(now):
                return None
            delay = AGAIN_LEAST_SECONDS + (AGAIN_MOST_SECONDS - AGAIN_LEAST_SECONDS) * self._random()
        if now + delay >= self.deadline or not backend.retries.take(now):
            return None
        self._again_used = True
        return self._try(now, candidate, endpoint, delay)

    def may_wait(self, now: float) -> float:
        """The longest Retry-After worth waiting for."""
        return min(SHORT_RETRY_AFTER_SECONDS, max(0.0, self.deadline - now))
