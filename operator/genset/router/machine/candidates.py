"""The candidates of a request say who is asked next, what is waited for, and when nobody is left.

Their list is frozen before the first attempt, and then only shrinks. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from genset.router.backends.backend import Backend
from genset.router.backends.balance.prompt import prompt_key
from genset.router.backends.breaker import Cause, State
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.outcomes import Again, Failure, Next, Outcome, met
from genset.router.budgets.purse import Permission
from genset.router.budgets.refusal import passed_over
from genset.router.continuation import OFF
from genset.router.errors import VOCABULARY
from genset.router.machine.attempt import Attempt
from genset.router.machine.decisions import COLD, FULL, SPENT, Answer, Candidate, Decision, Interrupt, Try, Wait
from genset.router.machine.facts import Facts
from genset.router.machine.final_error import last_failed, none_tried, seconds_until, told_story
from genset.router.machine.history import History
from genset.router.machine.waiter import Waiter

_CLOSED: Final = State.CLOSED
#: Why a backend of the house is passed over (the word in answer headers) -> what `toCloudOn` calls it. In all other
#: cases its breaker is open and knows the reason, or it cannot be reached.
_PASSED_OVER: Final = {
    COLD: "Cold",
    FULL: "Full",
    Cause.RATE_LIMITED.value: "Full",
    Cause.AUTH.value: "ServerError",
    Cause.MODEL.value: "ServerError",
}
_NO_WORK: Final = (Outcome.UNREACHABLE, Outcome.INTERRUPTED)
_LOST: Final = (*_NO_WORK, Outcome.UNAVAILABLE, Outcome.OVERLOADED)  # nobody is there any more, or not for long
#: Perhaps only the endpoint was at fault, so another one of the same backend is asked before the request is given up.
_ENDPOINT_MAY_BE_AT_FAULT: Final = (
    Outcome.TOO_LATE, Outcome.SERVER_ERROR, Outcome.INVALID_RESPONSE, Outcome.INTERRUPTED, Outcome.UNREACHABLE,
)  # fmt: skip


@final
class _Spent:
    """A spent candidate has failed this request. `tried` are the endpoints that were asked."""

    __slots__ = ("candidate", "outcome", "tried")

    def __init__(self, candidate: Candidate, tried: list[Endpoint], outcome: Outcome) -> None:
        self.candidate = candidate
        self.tried = tried
        self.outcome = outcome


@final
class Candidates:
    """The candidates are the backends that may answer one request: who is asked now, and who is left."""

    __slots__ = ("_cold_until", "_facts", "_history", "_left", "_spent", "_tries_again", "attempt", "cold", "waiter")

    def __init__(self, facts: Facts, history: History) -> None:
        self._facts = facts
        self._history = history
        self._left = facts.candidates  # replaced, never changed: most requests need no list of their own
        self._spent: list[_Spent] = []
        self._tries_again = True  # one of the spent may be asked once more
        self.waiter: Waiter | None = None  # None for most requests, which do not wait
        self._cold_until: float | None = None  # when the wait for backends at rest ends
        self.attempt: Attempt | None = None  # the running attempt, or the last one
        self.cold: Backend | None = None  # the backend at rest for which a Wait waits

    def current(self) -> Attempt:
        """Returns the attempt that is running."""
        assert self.attempt is not None, "no attempt is running"
        return self.attempt

    # Decisions

    def select(self, now: float) -> Decision:
        """Tries the first usable candidate in order of preference, or else waits for what may be waited for."""
        facts, history = self._facts, self._history
        if now >= facts.deadline:
            return self.give_up(now)
        cold: Candidate | None = None
        full: list[Candidate] | None = None
        barred = False  # no cloud may be asked, because of why the house was passed over
        for candidate in self._left:
            if barred and not candidate.backend.local:
                continue
            if cold is not None and candidate.tier > cold.tier and self._holds(now):
                break
            if (
                full
                and facts.settings.wait_when_full
                and candidate.tier > full[-1].tier
                and (until := self._queue(now, full))
            ):
                return Wait(FULL, until)
            backend, waiter = candidate.backend, self.waiter
            if facts.purse is not None and (verdict := facts.purse.verdict(backend, now)) != Permission.ASK:
                self._barred(backend)
                if verdict == Permission.REFUSE:
                    return self.give_up(now, refused=True)
                continue
            if backend.refusals.known and backend.refusals.of(facts.path, now) is not None:
                barred = self._passed_over(now, backend) or barred
                continue
            if facts.prompt is None and waiter is None and not history.continuing:
                endpoint = backend.admit(now)
            else:
                first = history.continuing or (waiter is not None and backend.line.first is waiter)
                endpoint = backend.admit(now, self._key(backend), first=first)
            if endpoint is not None:
                return self._try(now, candidate, endpoint)
            if backend.pool.rests:
                assert backend.pool.demand is not None
                backend.pool.demand.asked(now)
                cold = cold or candidate
            barred = self._passed_over(now, backend) or barred
            if backend.is_full(now):
                full = [*(full or ()), candidate]
                if waiter is None or not waiter.has_met(backend):
                    backend.numbers.found_full()
        if full and (until := self._queue(now, full)):
            return Wait(FULL, until)
        if cold is not None:
            until = self._cold_end(now)
            if now < until:
                self.cold = cold.backend
                return Wait(COLD, until)
        return self._least_bad(now, house_only=barred)

    def after_failure(self, now: float, failure: Failure) -> Decision:
        """Decides after the running attempt has ended before the client got anything of it."""
        again = self._again(now, failure)
        if again is not None:
            return again
        attempt = self.current()
        candidate = attempt.candidate
        if failure.outcome in _LOST and candidate.backend.pool.rests:
            return self.select(now)  # it was put to rest while the request was on its way there, and may wake
        slow = failure.outcome is Outcome.TOO_LATE and self._history.late_again(candidate.backend)
        if failure.outcome in _ENDPOINT_MAY_BE_AT_FAULT and not slow:
            self._spent.append(_Spent(candidate, attempt.tried, failure.outcome))
        self._drop(candidate, failure.row.next)
        self._stay_in_the_house(failure)
        return self.select(now)

    def after_break(self, now: float, failure: Failure, *, blame: bool, stalled: bool) -> Decision:
        """Decides who continues an answer of which the client has a part.

        `blame`: the upstream is at fault; `stalled`: it was too slow.
        """
        attempt = self.current()
        candidate = attempt.candidate
        self._stay_in_the_house(failure)
        self.writes_on()
        slow = stalled and self._history.late_again(candidate.backend)
        if candidate in self._left:
            # Another endpoint of the same backend has the same model and, by now, as good a chance as any.
            sibling = candidate.backend.pool.sibling(now, attempt.tried) if blame and not slow else None
            if sibling is not None and self._may_pay(now, candidate):
                return self._try(now, candidate, sibling)
            if candidate.backend.pool.rests:
                return self.select(now)
            self._left = [left for left in self._left if left is not candidate]
            if blame and not stalled:  # one that is slow would be slow again
                # to be asked once more if nobody else is left
                self._spent.append(_Spent(candidate, [], failure.outcome))
        return self.select(now)

    def writes_on(self) -> None:
        """Leaves those alone who could write on what the client has."""
        self._left = [c for c in self._left if c.backend.target.continuation != OFF]

    def once_more(self, now: float) -> Decision:
        """Asks the same endpoint once more, in another way, if that may be paid; otherwise somebody else."""
        attempt = self.current()
        if not self._may_pay(now, attempt.candidate):
            return self.select(now)
        return self._try(now, attempt.candidate, attempt.endpoint)

    def has_another(self, now: float, *, writes_on: bool) -> bool:
        """Returns whether another backend or endpoint could be asked now if the running attempt were too slow.

        `writes_on`: it would have to continue the answer.
        """
        attempt = self.current()
        backend = attempt.candidate.backend
        house_only = backend.local and "TooLate" not in self._facts.settings.to_cloud_on
        for other in self._left:
            if other is attempt.candidate or (writes_on and other.backend.target.continuation == OFF):
                continue
            if (house_only and not other.backend.local) or not self._may_pay(now, other):
                continue
            if other.backend.admits(now) and other.backend.refusals.of(self._facts.path, now) is None:
                return True
        if self._history.was_late(backend) or (writes_on and backend.target.continuation == OFF):
            return False
        return backend.pool.has_sibling(now, attempt.tried)

    def when_free(self, wake: Callable[[], None]) -> None:
        """Sets whom to tell that a place is free. `wake` must not act before the one that frees the place has returned."""
        self._waits().when_free(wake)

    def leave_lines(self) -> None:
        if self.waiter is not None:
            self.waiter.leave()

    def _passed_over(self, now: float, backend: Backend) -> bool:
        """Notes why a backend is passed over. Returns whether that keeps the request from the clouds that follow."""
        why = backend.why_not(now, self._facts.path)
        self._history.reason = self._history.reason or why
        if not backend.local:
            if backend.switch.down:
                backend.switch.passed_over(backend.target.host)
            return False
        word = _PASSED_OVER.get(why) or backend.fault
        return word not in self._facts.settings.to_cloud_on

    def _stay_in_the_house(self, failure: Failure) -> None:
        """Takes the clouds off the list if what this attempt at the house met may not send a request there."""
        if self.current().candidate.backend.local and met(failure) not in self._facts.settings.to_cloud_on:
            self._left = [left for left in self._left if left.backend.local]

    def _may_pay(self, now: float, candidate: Candidate) -> bool:
        """Returns whether budgets let this candidate be asked; the house always may."""
        purse = self._facts.purse
        return purse is None or purse.verdict(candidate.backend, now) == Permission.ASK

    def _barred(self, backend: Backend) -> None:
        """Notes that a budget keeps the request from a backend."""
        history, purse = self._history, self._facts.purse
        assert purse is not None
        history.reason = history.reason or SPENT
        story = passed_over(backend.name, purse.barred[backend.name])
        if story not in history.stories:
            history.tells(story)

    def _key(self, backend: Backend) -> int | None:
        prompt = self._facts.prompt
        return prompt_key(prompt, backend.pool.prefix_tokens) if prompt and backend.pool.prefix_tokens else None

    def _holds(self, now: float) -> bool:
        """Returns whether the route has a request wait for a backend at rest although a later tier might answer."""
        return self._facts.cold_start.mode == "Hold" and now < self._cold_end(now)

    def _cold_end(self, now: float) -> float:
        """Returns when the wait for backends at rest ends. There is one wait for all, from the first one on."""
        if self._cold_until is None:
            self._cold_until = min(now + self._facts.cold_start.seconds, self._facts.deadline)
        return self._cold_until

    def _least_bad(self, now: float, *, house_only: bool) -> Decision:
        """Tries each candidate once although none is usable, first the one that should be back soonest.

        One whose whole side is down comes last, because its own breaker may know nothing of that.
        """
        left = [c for c in self._left if c.backend.local] if house_only else self._left
        if self._facts.purse is not None:
            left = [c for c in left if self._may_pay(now, c)]
        hopeful = [c for c in left if c.backend.is_last_resort(now, self._facts.path)]
        if hopeful:
            best = min(
                hopeful,
                key=lambda c: (
                    c.backend.switch.down,
                    not c.backend.pool.may_answer,
                    c.backend.breaker.open_until,
                    c.tier,
                ),
            )
            endpoint = best.backend.pool.pick(now, self._key(best.backend))
            if endpoint is not None:
                return self._try(now, best, endpoint)
        for spent in self._spent if self._tries_again else ():
            backend = spent.candidate.backend
            if (house_only and not backend.local) or not self._may_pay(now, spent.candidate):
                continue
            endpoint = self._once_more(now, spent)
            if endpoint is not None and backend.retries.take(now):
                self._spent.clear()
                self._tries_again = False
                self._left = [spent.candidate]
                return self._try(now, spent.candidate, endpoint)
        return self.give_up(now, full=any(c.backend.is_full(now) for c in left), house_only=house_only)

    def _once_more(self, now: float, spent: _Spent) -> Endpoint | None:
        """Returns whom to ask at a backend that has failed this request, if nobody else is left; None: nobody.

        That is another endpoint; or the same one, if all that was wrong may have been the connection: it was lost, and nobody
        else has had the request and failed at it. A request that two have fallen over may be what they fell over.
        """
        pool = spent.candidate.backend.pool
        if self._history.continuing and not spent.tried:
            return pool.sibling(now, spent.tried) or pool.pick(now)
        worked = [one.outcome for one in self._spent if one.outcome is not Outcome.UNREACHABLE]
        avoid = () if worked == [Outcome.INTERRUPTED] == [spent.outcome] else spent.tried
        return pool.sibling(now, spent.tried) or pool.sibling(now, avoid)

    def _again(self, now: float, failure: Failure) -> Try | None:
        """Asks the same candidate once more, if the failure's rule says so: a sibling, or itself after a pause."""
        attempt = self.current()
        candidate, endpoint = attempt.candidate, attempt.endpoint
        again = failure.row.again
        if again is Again.NO or attempt.again_used or not self._may_pay(now, candidate):
            return None
        backend = candidate.backend
        if endpoint.gone:
            again = Again.SIBLING
        if again in (Again.SIBLING, Again.SIBLING_ELSE_ONCE):
            sibling = backend.pool.sibling(now, attempt.tried, self._key(backend))
            # A lost endpoint works no more, so its sibling bears no more than the two did together: that needs no
            # budget.
            if sibling is not None and (failure.outcome in _NO_WORK or backend.retries.take(now)):
                attempt.again_used = True
                return self._try(now, candidate, sibling)
            if sibling is not None or again is Again.SIBLING:
                return None
        if again is Again.AFTER_WAIT:
            delay = failure.retry_after or 0.0
        else:
            if not backend.breaker.admits(now):
                return None
            least, most = self._facts.timeouts.again_least, self._facts.timeouts.again_most
            delay = least + (most - least) * self._facts.random()
        if now + delay >= self._facts.deadline or not backend.retries.take(now):
            return None
        attempt.again_used = True
        return self._try(now, candidate, endpoint, delay)

    def _try(self, now: float, candidate: Candidate, endpoint: Endpoint, delay: float = 0.0) -> Try:
        backend = candidate.backend
        self.leave_lines()
        self._history.asks(backend, now)
        breaker = backend.breaker
        permit = breaker.state is not _CLOSED and breaker.take(now)
        self.attempt = Attempt(candidate, endpoint, now + delay, permit=permit, before=self.attempt)
        if self._facts.purse is not None:
            self._facts.purse.reserve(backend)
        return Try(candidate, endpoint, delay)

    def _waits(self) -> Waiter:
        if self.waiter is None:
            self.waiter = Waiter(self._facts.origin, self._facts.rank, self._facts.deadline)
        return self.waiter

    def _queue(self, now: float, full: list[Candidate]) -> float:
        backends = [candidate.backend for candidate in full]
        return self._waits().queue(now, backends, ahead=self._history.continuing)

    def _drop(self, candidate: Candidate, next_: Next) -> None:
        self._left = [left for left in self._left if left is not candidate]
        held = candidate.backend.context_tokens
        if next_ is Next.LARGER:
            # A backend of unknown size may be larger than the one that refused, whatever that one holds.
            self._left = [
                c
                for c in self._left
                if c.backend.context_tokens is None or (held is not None and c.backend.context_tokens > held)
            ]

    def give_up(
        self, now: float, *, full: bool = False, house_only: bool = False, refused: bool = False
    ) -> Answer | Interrupt:
        """Asks nobody any more, and decides on the error for the client. `refused`: a budget has it so."""
        facts, history = self._facts, self._history
        self.leave_lines()
        if history.continuing:
            return self._interrupt(now)
        candidates = [c for c in facts.candidates if c.backend.local] if house_only else facts.candidates
        failure, purse = history.last_failure, facts.purse
        if purse is not None and purse.barred:
            allowed = [c for c in candidates if c.backend.name not in purse.barred]
            if failure is None and now < facts.deadline and (refused or not allowed):
                return Answer(purse.refusal())
            candidates = allowed or candidates
        again = seconds_until(now, candidates, history.limited, history.asked, facts.path)
        if failure is None:
            return Answer(none_tried(now, candidates, facts.deadline, again, facts.path, history.stories))
        hope = any(
            c.backend not in history.asked and c.backend.refusals.of(facts.path, now) is None for c in facts.candidates
        )
        late = now >= facts.deadline
        stories = history.stories
        return Answer(last_failed(failure, history.trail, again, full=full, late=late, stories=stories, hope=hope))

    def _interrupt(self, now: float) -> Interrupt:
        """Ends the stream with an error inside it: that of the first break, because what followed is in the trail."""
        history = self._history
        failure = history.last_failure
        assert failure is not None and history.broken_by is not None
        kind = VOCABULARY["router_deadline"] if now >= self._facts.deadline else history.broken_by
        story = told_story(history.stories, history.trail)
        return Interrupt(kind, f"the answer was cut off after {failure.outcome.value}: {story}")
