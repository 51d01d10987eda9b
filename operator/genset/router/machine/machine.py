"""The state machine of one request takes events and the clock, and returns decisions. It does no IO.

    RECEIVE -> POLICY (table) -> SELECT -> CONNECT -> HEADERS -> PRECOMMIT -> COMMIT -> FINISH -> DONE
                                 ^ |  ^___________ failed() __________|          |
                    resume() WAIT<-'  '_____________ CONTINUE __________________ broke() -> FAIL

The exchange calls `begin`, then reports what happens (`sent`, `head`, `committed`, `finishing`, `succeeded`, `failed`,
`broke`, `cancelled`, or `expired` when a deadline has passed) and carries out the decision that is returned. `alive`
reports signs of life that are no tokens; they extend deadlines. If nobody else could be asked, the router's own
deadlines for tokens wait for the request's.

`facts` is what the request was when it came, `history` what has become of it, `candidates` who is asked, and `patience`
how long that may take. CONTINUE is SELECT once more, after a break of the stream: from then on a candidate is asked to
continue what the client has, and giving up means an error inside the stream. The machine is not called for each chunk
of a stream; the exchange writes `last`, and the sweep asks `expired`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, final

from genset.router.backends.backend import Backend
from genset.router.backends.breaker import SHORT_RETRY_AFTER_SECONDS
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.outcomes import Failure, Next, Outcome, met
from genset.router.machine.candidates import Candidates
from genset.router.machine.decisions import (
    DEADLINE_OVER,
    INTERRUPTED,
    STALLED,
    Break,
    Candidate,
    Decision,
    Phase,
    Try,
    Wait,
    may_follow,
)
from genset.router.machine.facts import Facts
from genset.router.machine.failover_settings import FailoverSettings
from genset.router.machine.history import History
from genset.router.machine.patience import Patience
from genset.router.machine.testimony import Testimony
from genset.router.machine.trail import Step

LAST_SECONDS: Final = (
    1.0  # before the deadline, in which another site that runs out of time had no more than we gave it
)
PATIENCE_SHARE: Final = 0.5  # of a route's time, after which a backend should have begun whoever asks


@final
class RequestMachine:
    """This machine leads one request from SELECT to DONE.

    `skipped` says why better backends are not among the candidates, for answer headers. `last` is when the upstream
    last sent an event; the exchange writes it.
    """

    __slots__ = ("_testimony", "candidates", "facts", "history", "last", "patience", "phase", "streams")

    def __init__(self, facts: Facts, skipped: str = "") -> None:
        self.facts = facts
        self.history = History(facts.settings, skipped)
        self.candidates = Candidates(facts, self.history)
        self.patience = Patience(facts.timeouts)
        self.phase = Phase.SELECT
        self.last = 0.0
        self.streams = facts.streams  # what the upstream sends; the client may get something else
        self._testimony: Testimony | None = None  # None for most requests, which meet no failure

    # Read by others

    @property
    def settings(self) -> FailoverSettings:
        return self.facts.settings

    @property
    def deadline(self) -> float:
        return self.facts.deadline

    @property
    def input_tokens(self) -> int:
        return self.facts.input_tokens

    @property
    def candidate(self) -> Candidate | None:
        attempt = self.candidates.attempt
        return attempt.candidate if attempt is not None else None

    @property
    def endpoint(self) -> Endpoint | None:
        attempt = self.candidates.attempt
        return attempt.endpoint if attempt is not None else None

    @property
    def cold(self) -> Backend | None:
        return self.candidates.cold

    @property
    def attempts(self) -> int:
        return self.history.attempts

    @property
    def continuations(self) -> int:
        return self.history.continuations

    @property
    def continuing(self) -> bool:
        return self.history.continuing

    @property
    def reason(self) -> str:
        return self.history.reason

    @property
    def trail(self) -> list[Step]:
        return self.history.trail

    @property
    def stories(self) -> list[str]:
        return self.history.stories

    @property
    def last_failure(self) -> Failure | None:
        return self.history.last_failure

    def stood_still(self, seconds: float) -> None:
        self.history.stood_still(seconds)

    # Decisions

    def begin(self, now: float) -> Decision:
        """Makes the first decision."""
        return self._decided(now, self.candidates.select(now))

    def resume(self, now: float) -> Decision:
        """Decides again after a Wait."""
        return self._decided(now, self.candidates.select(now))

    def when_free(self, wake: Callable[[], None]) -> None:
        """Sets whom to tell that a place is free. `wake` must not act before the one that frees the place has returned."""
        self.candidates.when_free(wake)

    def failed(self, now: float, failure: Failure) -> Decision:
        """Decides after the running attempt has failed before commit."""
        attempt, history = self.candidates.current(), self.history
        backend = attempt.candidate.backend
        reached = self.phase > Phase.CONNECT
        history.record(attempt, now, failure.outcome.value)
        history.failed(failure)
        self._to(Phase.SELECT)
        permit = attempt.takes_permit()
        if reached and self.facts.body:
            self._testifies().book(backend, attempt.endpoint, failure, now, attempt.began, permit)
        else:
            backend.failed(attempt.endpoint, failure, now, attempt.began, permit, reached=reached)
        over = (
            history.is_spent or now >= self.facts.deadline or (failure.row.next is Next.NO and not history.continuing)
        )
        return self._decided(now, self.candidates.give_up(now) if over else self.candidates.after_failure(now, failure))

    def once_more(self, now: float, failure: Failure, word: str) -> Decision:
        """Asks the same endpoint in another way, because it refused the first way. That does not count as an attempt."""
        self.history.record(self.candidates.current(), now, word)
        self.history.last_failure = failure
        self._to(Phase.SELECT)
        self.history.most_attempts += 1
        late = now >= self.facts.deadline
        return self._decided(now, self.candidates.give_up(now) if late else self.candidates.once_more(now))

    def broke(self, now: float, failure: Failure, kind: Break, why_not: str = "", *, blame: bool = True) -> Decision:
        """Decides after the stream broke after commit, when the client has a part of the answer: CONTINUE, or FAIL.

        `why_not` is why nobody may continue it ("" if somebody may). `blame`: the upstream is at fault; it is not if
        only its text does not join what the client has.
        """
        attempt, history = self.candidates.current(), self.history
        history.record(attempt, now, kind.step)
        history.last_failure = failure
        history.broken_by = kind.kind
        self._to(Phase.SELECT)
        if blame:
            attempt.candidate.backend.broke(
                attempt.endpoint,
                now,
                attempt.began,
                attempt.takes_permit(),
                endpoint_only=kind is INTERRUPTED,
                word=met(failure),
                witness=self._testifies().witness() if self.facts.body else None,
            )
        else:
            attempt.release()
        late = now >= self.facts.deadline or kind is DEADLINE_OVER
        if why_not or not history.continues_streams:
            self._to(Phase.DONE)
            return self.candidates.give_up(now)
        if late or history.is_spent or not history.may_continue:
            return self._decided(now, self.candidates.give_up(now))
        history.continuations += 1
        return self._decided(now, self.candidates.after_break(now, failure, blame=blame, stalled=kind is STALLED))

    def go_back(self, now: float) -> Decision:
        """Decides anew without the drill that keeps the request from a backend: nobody loses an answer by an exercise."""
        self.candidates.leave_lines()
        self.facts = self.facts.without_drill(now)
        self.history.begins_anew()
        self.candidates = Candidates(self.facts, self.history)
        if self.history.continuing:
            self.candidates.writes_on()
        return self._decided(now, self.candidates.select(now))

    def _decided(self, now: float, decision: Decision) -> Decision:
        if isinstance(decision, Try):
            self._to(Phase.PAUSE if decision.delay else Phase.CONNECT)
            self.patience.until = now + decision.delay + decision.candidate.backend.target.connect_seconds
        elif isinstance(decision, Wait):
            self._to(Phase.SELECT)
        elif self.facts.drilled:
            return self.go_back(now)
        else:
            self._to(Phase.DONE)
        return decision

    def _to(self, phase: int) -> None:
        assert may_follow(phase, self.phase), f"phase {phase} after {self.phase}"
        self.phase = phase

    def _testifies(self) -> Testimony:
        if self._testimony is None:
            self._testimony = Testimony(self.facts.origin, self.facts.body, self.facts.path)
        return self._testimony

    # Deadlines

    def expired(self, now: float) -> Failure | None:
        """Returns the failure that passing time has brought, if any; the exchange then calls `failed` or `broke`.

        In PAUSE and SELECT nothing runs upstream. In FINISH time only ends the wait: see `finish_over`.
        """
        patience, settings = self.patience, self.facts.settings
        if self.phase == Phase.COMMIT:
            stalls = patience.stalls(now, self.last)
            if stalls and (settings.stall_seconds is not None or self._others(now)):
                return Failure(Outcome.TOO_LATE, patience.complaint(now, self.last))
        elif now >= patience.until:
            if self.phase == Phase.CONNECT:
                return Failure(Outcome.UNREACHABLE, "could not be reached in time")
            if self.phase in (Phase.HEADERS, Phase.PRECOMMIT) and (
                settings.first_token_seconds is not None or self._others(now)
            ):
                return Failure(Outcome.TOO_LATE, "sent no first token in time")
        latest = Phase.FINISH if patience.wrote_on else Phase.COMMIT
        if now >= self.facts.deadline and Phase.CONNECT <= self.phase <= latest:
            outcome = Outcome.TOO_LATE if self._is_slow(now) else Outcome.OUT_OF_TIME
            return Failure(outcome, "did not answer before the request's deadline")
        return None

    def _others(self, now: float) -> bool:
        """Returns whether somebody else could be asked now if the running attempt were given up for its slowness."""
        begun = self.facts.streams and self.phase == Phase.COMMIT
        bound = begun and (not self.history.may_continue or self.last == self.patience.bound_at)
        if bound or self.history.is_spent:
            return False
        return self.candidates.has_another(now, writes_on=begun or self.history.continuing)

    def _is_slow(self, now: float) -> bool:
        """Returns whether the backend is to blame that the request's time ended before the backend's own.

        A client may be as impatient as it likes, and an answer as long: neither may open a breaker for everybody.
        """
        patience, facts = self.patience, self.facts
        if self.phase == Phase.COMMIT:
            return patience.stalls(now, self.last)
        if self.phase not in (Phase.HEADERS, Phase.PRECOMMIT):
            return False
        waited = now - patience.sent_at
        if waited >= PATIENCE_SHARE * facts.settings.total_seconds or now >= patience.until:
            return True
        return self.streams and self.candidates.current().candidate.backend.deadlines.is_slow(
            waited, facts.input_tokens
        )

    def out_of_time(self, failure: Failure, now: float) -> Failure:
        """Returns the failure of another site whose time was over: if ours is, too, it had what we gave it, and is to blame
        only if that was enough."""
        if now < self.facts.deadline - LAST_SECONDS:
            return failure
        return Failure(Outcome.TOO_LATE if self._is_slow(now) else Outcome.OUT_OF_TIME, failure.detail)

    def finish_over(self, now: float) -> bool:
        """Returns whether a finished answer has been waited for long enough: only its usage can be missing."""
        if self.phase != Phase.FINISH:
            return False
        return now >= self.patience.until or (now >= self.facts.deadline and not self.patience.wrote_on)

    def may_wait(self, now: float) -> float:
        """Returns the longest Retry-After that is worth waiting for, in seconds."""
        return min(SHORT_RETRY_AFTER_SECONDS, max(0.0, self.facts.deadline - now))

    # Events

    def connecting(self) -> None:
        """Notes that the pause is over, if there was one."""
        if self.phase != Phase.CONNECT:
            self._to(Phase.CONNECT)

    def unsent(self) -> None:
        """Notes that a kept-alive connection was closed before a byte came back. That is no attempt and no failure."""
        self._to(Phase.CONNECT)

    def looked_away(self, seconds: float) -> None:
        """Extends the connect deadline: the loop was so busy that a connection may have been accepted unseen."""
        if self.phase == Phase.CONNECT:
            self.patience.until += seconds

    def sent(self, now: float, *, streams: bool = True) -> None:
        """Notes that the request is sent: HEADERS. Only a stream has a deadline for its first token.

        `streams`: the upstream was asked for a stream, whatever the client gets.
        """
        self._to(Phase.HEADERS)
        self.streams = streams
        allowance = math.inf
        if streams:
            limit, backend = self.facts.settings.first_token_seconds, self.candidates.current().candidate.backend
            allowance = limit if limit is not None else backend.deadlines.first_token_seconds(self.facts.input_tokens)
        self.patience.sent(now, allowance)

    def head(self) -> None:
        """Notes that a 2xx head has arrived: PRECOMMIT. The first-token deadline runs on."""
        self._to(Phase.PRECOMMIT)

    def went_on(self, now: float) -> None:
        """More of a begun answer has come, or nobody is to blame that none has."""
        self.last = now

    def alive(self, now: float) -> None:
        """Notes that the upstream sent something but a token: a head, a comment, an empty delta, a part of an event."""
        if self.phase == Phase.COMMIT:
            self.patience.heard = now
        elif self.phase in (Phase.HEADERS, Phase.PRECOMMIT):
            self.patience.works(now)

    def committed(self, now: float) -> None:
        """Notes that the first token goes to the client. Called once per attempt."""
        attempt = self.candidates.current()
        backend = attempt.candidate.backend
        self._to(Phase.COMMIT)
        self.last = now
        if self.streams:
            backend.deadlines.first_tokens.add(now - self.patience.sent_at)
        backend.spoke(attempt.endpoint, now, self.facts.path)
        if self._testimony is not None:
            self._testimony.acquit(now)
        limit = self.facts.settings.stall_seconds
        self.patience.committed(now, limit if limit is not None else backend.deadlines.stall_seconds)
        if attempt.takes_permit():  # half-open: the one permit must not be held for as long as the answer takes
            backend.succeeded(attempt.endpoint, now, attempt.began, True, self.facts.path)

    def finishing(self, now: float, *, awaits_usage: bool, wrote_on: bool) -> None:
        """Notes that every choice has its finish_reason: FINISH, a wait for whatever may follow.

        `awaits_usage`: a usage was asked for and has not come. `wrote_on`: something of the answer has followed an
        earlier finish_reason, so the next event may take its time again.
        """
        self._to(Phase.FINISH)
        self.last = now
        self.patience.finishing(now, awaits_usage=awaits_usage, wrote_on=wrote_on)

    def writes_on(self, now: float) -> None:
        """Notes that more of the answer has come after its finish_reason: COMMIT again."""
        self._to(Phase.COMMIT)
        self.last = now

    def is_bound(self) -> None:
        """Notes that nobody else can continue the stalling answer as far as it has come, so that it is waited for."""
        self.patience.bound_at = self.last

    def rests(self, now: float) -> None:
        """Notes that the client takes nothing, so that nothing is read from the upstream: its silence does not count."""
        self.last = now
        if self.phase == Phase.FINISH:
            self.patience.rests(now)

    def succeeded(self, now: float) -> None:
        """Notes that the answer is complete."""
        attempt = self.candidates.current()
        self.history.record(attempt, now, "ok")
        if self._testimony is not None:
            self._testimony.acquit(now)
        permit = attempt.takes_permit()
        attempt.candidate.backend.succeeded(attempt.endpoint, now, attempt.began, permit, self.facts.path)
        self._to(Phase.DONE)

    def cancelled(self, now: float) -> None:
        """Notes that the client has left. Breakers learn nothing from that."""
        if self.phase == Phase.DONE:
            return
        attempt = self.candidates.attempt
        if attempt is not None:
            if self.phase >= Phase.CONNECT:
                self.history.record(attempt, now, "cancelled")
            attempt.release()
        self.candidates.leave_lines()
        self._to(Phase.DONE)
