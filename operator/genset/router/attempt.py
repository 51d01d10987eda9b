"""The state machine of one request: events and the clock in, decisions out, no IO.

    RECEIVE -> POLICY (table) -> SELECT -> CONNECT -> HEADERS -> PRECOMMIT -> COMMIT -> FINISH -> DONE
                                 ^ |  ^___________ failed() __________|          |
                    resume() WAIT<-'  '_____________ CONTINUE __________________ broke() -> FAIL

The wire asks `begin`, then reports what happens (`sent`, `head`, `committed`, `finishing`, `succeeded`, `failed`,
`broke`, `cancelled`, or `expired` when a deadline passed) and does what the returned decision says. The list of candidates
is frozen before the first attempt: it only shrinks. CONTINUE is SELECT once more, with `continuing` set: from then on a
candidate is asked to write on from what the client has, and giving up means an error inside the stream. Per stream
chunk the machine is not called at all; the wire writes `last` and the sweep asks `expired`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from genset.router.backend import Backend, Endpoint
from genset.router.balance.prompt import prompt_key
from genset.router.breaker import SHORT_RETRY_AFTER_SECONDS, State
from genset.router.config import ColdStartConfig, FailoverConfig
from genset.router.continuation import OFF
from genset.router.decisions import COLD, FULL, Answer, Candidate, Decision, Interrupt, Phase, Try, Wait
from genset.router.errors import VOCABULARY, ErrorKind
from genset.router.last_word import last_failed, none_tried, seconds_until
from genset.router.outcome import Again, Failure, Next, Outcome

AGAIN_LEAST_SECONDS: Final = 0.1  # pause before the same endpoint is asked again
AGAIN_MOST_SECONDS: Final = 0.3
FINISH_SECONDS: Final = 2.0  # for usage and [DONE] after the finish_reason
MOST_CONTINUATIONS: Final = 2  # of one answer

_NO_WORK: Final = (Outcome.UNREACHABLE, Outcome.INTERRUPTED)
_LOST: Final = (*_NO_WORK, Outcome.UNAVAILABLE)  # nobody is there any more, or not for long
#: One endpoint may have been at fault, so another of the same backend is asked before the request is given up.
_ENDPOINT_MAY_BE_AT_FAULT: Final = (
    Outcome.TOO_LATE, Outcome.SERVER_ERROR, Outcome.INVALID_RESPONSE, Outcome.INTERRUPTED, Outcome.UNREACHABLE,
)  # fmt: skip


_BRIDGE: Final = ColdStartConfig()


class RequestMachine:
    """One request from SELECT to DONE.

    `candidates` in order of preference; `deadline` and `now` in monotonic seconds; `skipped` says why better backends
    are not among the candidates (evidence).
    """

    __slots__ = (
        "_again_used",
        "_asked",
        "_began",
        "_broken_by",
        "_cold_start",
        "_cold_until",
        "_left",
        "_limited",
        "_lines",
        "_phase_until",
        "_random",
        "_sent_at",
        "_spent",
        "_token",
        "_tried",
        "attempts",
        "candidate",
        "candidates",
        "cold",
        "continuations",
        "continuing",
        "deadline",
        "endpoint",
        "input_tokens",
        "last",
        "last_failure",
        "phase",
        "prompt",
        "reason",
        "recorded",
        "settings",
        "stall",
        "stream",
        "trail",
        "wait_when_full",
        "woken",
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
        skipped: str = "",
        cold_start: ColdStartConfig = _BRIDGE,
    ) -> None:
        self.candidates = candidates
        self.settings = settings
        self.deadline = deadline
        self.stream = stream
        self.input_tokens = input_tokens
        self.attempts = 0
        self.candidate: Candidate | None = None
        self.endpoint: Endpoint | None = None
        self.phase = Phase.SELECT
        self.last = 0.0  # when the upstream last sent an event; written by the wire
        self.stall = 0.0
        self.reason = skipped  # why the first tier did not answer
        self.last_failure: Failure | None = None
        self.trail: list[str] = []
        self.recorded: Callable[[], None] | None = None  # who wants to hear of every step of it
        self.continuing = False  # the client has a part of the answer; candidates are asked to write on
        self.continuations = 0
        self.cold: Backend | None = None  # at rest: a Wait is for its waking
        self._cold_start = cold_start
        self._cold_until: float | None = None  # when the wait for backends at rest is over
        self.prompt: Mapping[str, Any] | None = None  # the request, where a backend's balancing reads its prompt
        self.wait_when_full = False  # for a place in a tier, before the next tier is asked
        self.woken: Callable[[], None] | None = None  # what the wire wants to hear of a free place
        self._lines: dict[Backend, float] | None = None  # full backends, and until when a place is waited for
        self._sent_at = 0.0
        self._broken_by: ErrorKind | None = None
        self._random = random
        self._left = list(candidates)
        self._asked: list[Backend] = []
        self._tried: list[Endpoint] = []  # of the current candidate
        self._spent: list[tuple[Candidate, list[Endpoint]]] = []  # failed, with the endpoints that were asked
        self._again_used = False
        self._limited: float | None = None  # least Retry-After heard
        self._token = False
        self._began = 0.0
        self._phase_until = math.inf

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
        if self.attempts >= self.settings.max_attempts or now >= self.deadline:
            return self._give_up(now)
        again = self._again(now, failure, candidate, endpoint)
        if again is not None:
            return again
        if failure.outcome in _LOST and candidate.backend.rests:
            return self._select(now)  # put to rest while the request was on its way there: it may wake
        if failure.outcome in _ENDPOINT_MAY_BE_AT_FAULT:
            self._spent.append((candidate, self._tried))
        self._drop(candidate, failure.rule.next)
        return self._select(now)

    def resume(self, now: float) -> Decision:
        """After a Wait: what now?"""
        return self._select(now)

    def once_more(self, now: float, failure: Failure, word: str) -> Decision:
        """The server refused this way of asking, not the request: the same endpoint is asked in another way."""
        candidate, endpoint = self._current()
        self._record(now, word)
        self.last_failure = failure
        if self.attempts >= self.settings.max_attempts or now >= self.deadline:
            return self._give_up(now)
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
            candidate.backend.broke(endpoint, now, self._began, self._token, endpoint_only=endpoint_only)
        elif self._token:
            candidate.backend.breaker.release()
        self._token = False
        self.continuing = True
        if (
            why_not
            or not self.settings.continue_streams
            or self.continuations >= MOST_CONTINUATIONS
            or self.attempts >= self.settings.max_attempts
            or now >= self.deadline
            or kind_word == "router_deadline"
        ):
            return self._give_up(now)
        self.continuations += 1
        self._left = [c for c in self._left if c.backend.continuation != OFF]
        if candidate in self._left:
            # Another endpoint of the same backend has the same model and, by now, no worse a chance than any.
            sibling = candidate.backend.sibling(now, self._tried) if blame else None
            if sibling is not None:
                return self._try(now, candidate, sibling)
            if candidate.backend.rests:
                return self._select(now)
            self._left.remove(candidate)
            if blame:
                self._spent.append((candidate, []))  # itself once more, if nobody else is left
        return self._select(now)

    def expired(self, now: float) -> Failure | None:
        """The failure that the passage of time has brought, if any; the wire then calls `failed` or `broke`.

        In PAUSE and SELECT nothing runs upstream. In FINISH the time only ends the wait: see `finish_over`.
        """
        if now >= self.deadline and Phase.CONNECT <= self.phase <= Phase.COMMIT:
            return Failure(Outcome.TOO_LATE, "did not answer before the request's deadline")
        if self.phase == Phase.COMMIT:
            if now - self.last > self.stall:
                return Failure(Outcome.TOO_LATE, f"sent nothing for {self.stall:g} s")
        elif now >= self._phase_until:
            if self.phase == Phase.CONNECT:
                return Failure(Outcome.UNREACHABLE, "could not be connected in time")
            if self.phase in (Phase.HEADERS, Phase.PRECOMMIT):
                return Failure(Outcome.TOO_LATE, "sent no first token in time")
        return None

    def finish_over(self, now: float) -> bool:
        return self.phase == Phase.FINISH and now >= self._phase_until

    # Events

    def sent(self, now: float) -> None:
        """The request is on its way: HEADERS. Only a stream tells of a first token; other answers take their time."""
        self.phase = Phase.HEADERS
        self._sent_at = now
        if self.stream:
            candidate, _ = self._current()
            limit = self.settings.first_token_seconds
            self._phase_until = now + (
                limit if limit is not None else candidate.backend.first_token_seconds(self.input_tokens)
            )
        else:
            self._phase_until = math.inf

    def head(self) -> None:
        """A 2xx head arrived: PRECOMMIT. The first-token deadline runs on."""
        self.phase = Phase.PRECOMMIT

    def committed(self, now: float) -> None:
        """The first token goes to the client."""
        candidate, endpoint = self._current()
        self.phase = Phase.COMMIT
        self.last = now
        candidate.backend.first_tokens.add(now - self._sent_at)
        limit = self.settings.stall_seconds
        self.stall = limit if limit is not None else candidate.backend.stall_seconds
        if self._token:  # half-open: do not hold the one token for as long as the answer takes
            candidate.backend.succeeded(endpoint, now, self._began, True)
            self._token = False

    def finishing(self, now: float) -> None:
        """The finish_reason has passed."""
        self.phase = Phase.FINISH
        self._phase_until = now + FINISH_SECONDS

    def succeeded(self, now: float) -> None:
        """The answer is complete."""
        candidate, endpoint = self._current()
        self._record(now, "ok")
        candidate.backend.succeeded(endpoint, now, self._began, self._token)
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

    def unsent(self) -> None:
        """A kept-alive connection was closed under us before a byte came back: not an attempt, not a failure."""
        self.phase = Phase.CONNECT

    # Inner workings

    def _current(self) -> tuple[Candidate, Endpoint]:
        assert self.candidate is not None and self.endpoint is not None, "no attempt is running"
        return self.candidate, self.endpoint

    def _select(self, now: float) -> Decision:
        if now >= self.deadline:
            return self._give_up(now)
        cold: Candidate | None = None
        full: list[Candidate] | None = None
        for candidate in self._left:
            if cold is not None and candidate.tier > cold.tier and self._holds(now):
                break
            if full and self.wait_when_full and candidate.tier > full[-1].tier and (until := self._queue(now, full)):
                return Wait(FULL, until)
            backend = candidate.backend
            if self.prompt is None and self._lines is None and not self.continuing:
                endpoint = backend.admit(now)
            else:
                first = self.continuing or backend.line.first is self
                endpoint = backend.admit(now, self._key(backend), first=first)
            if endpoint is not None:
                return self._try(now, candidate, endpoint)
            if backend.rests:
                assert backend.demand is not None
                backend.demand.asked(now)
                cold = cold or candidate
            if not self.reason:
                self.reason = backend.why_not(now)
            if backend.is_full(now):
                full = [*(full or ()), candidate]
                backend.numbers.full += self._lines is None or backend not in self._lines
        if full and (until := self._queue(now, full)):
            return Wait(FULL, until)
        if cold is not None:
            until = self._cold_end(now)
            if now < until:
                self.cold = cold.backend
                return Wait(COLD, until)
        return self._least_bad(now)

    def _queue(self, now: float, full: list[Candidate]) -> float:
        """Stands in the lines of these backends and of no others. Until when; 0: may not, or not any longer."""
        if self._lines is None:
            self._lines = {}
        backends = [candidate.backend for candidate in full]
        for backend in self._lines:
            if backend not in backends:
                backend.line.leave(self)
        latest = 0.0
        for backend in backends:
            line = backend.line
            until = self._lines.get(backend)
            if until is None:
                until = self._lines[backend] = min(now + line.seconds, self.deadline)
                backend.numbers.queued += len(line) < line.most
            if now >= until:
                line.leave(self)
            elif line.join(self, ahead=self.continuing):
                latest = max(latest, until)
            else:
                self._lines[backend] = 0.0
        return latest

    def _leave_lines(self) -> None:
        for backend in self._lines or ():
            backend.line.leave(self)

    def _key(self, backend: Backend) -> int | None:
        return prompt_key(self.prompt, backend.prefix_tokens) if self.prompt and backend.prefix_tokens else None

    def wake(self) -> None:
        """The first in line, this request, is told that a place is free."""
        if self.woken is not None:
            self.woken()

    def _holds(self, now: float) -> bool:
        """Whether the route has a request wait for a backend at rest although a later tier might answer."""
        return self._cold_start.mode == "Hold" and now < self._cold_end(now)

    def _cold_end(self, now: float) -> float:
        """One wait for all backends at rest: it begins when the first one is met."""
        if self._cold_until is None:
            self._cold_until = min(now + self._cold_start.seconds, self.deadline)
        return self._cold_until

    def _least_bad(self, now: float) -> Decision:
        """No candidate is well. Each is tried once nevertheless, the one that should be back soonest first.

        One whose whole side is out comes last: its own breaker may know nothing of that.
        """
        hopeful = [c for c in self._left if c.backend.is_last_resort(now)]
        if hopeful:
            best = min(
                hopeful,
                key=lambda c: (c.backend.switch.down, not _alive(c.backend), c.backend.breaker.open_until, c.tier),
            )
            endpoint = best.backend.pick(now, self._key(best.backend))
            if endpoint is not None:
                return self._try(now, best, endpoint)
        for candidate, tried in self._spent:
            backend = candidate.backend
            sibling = backend.sibling(now, tried) or (backend.pick(now) if self.continuing and not tried else None)
            if sibling is not None and backend.retries.take(now):
                self._spent.clear()  # once
                self._left = [candidate]
                return self._try(now, candidate, sibling)
        return self._give_up(now, full=any(c.backend.is_full(now) for c in self._left))

    def _try(self, now: float, candidate: Candidate, endpoint: Endpoint, delay: float = 0.0) -> Try:
        backend = candidate.backend
        if self._lines is not None:
            self._leave_lines()
        if candidate is not self.candidate:
            self.candidate = candidate
            self._tried = []
            self._again_used = False
        self.endpoint = endpoint
        self._tried.append(endpoint)
        self.attempts += 1
        if not self._asked or backend not in self._asked:
            self._asked.append(backend)
            backend.retries.request(now)
        breaker = backend.breaker
        self._token = breaker.state is not State.CLOSED and breaker.take(now)
        self._began = now + delay
        self.phase = Phase.PAUSE if delay else Phase.CONNECT
        self._phase_until = self._began + backend.connect_seconds
        return Try(candidate, endpoint, delay)

    def connecting(self) -> None:
        """The pause is over."""
        self.phase = Phase.CONNECT

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

    def _drop(self, candidate: Candidate, next_: Next) -> None:
        self._left.remove(candidate)
        held = candidate.backend.context_tokens
        if next_ is Next.LARGER:
            # Unknown size: it may be larger, whatever the refusing one could hold.
            self._left = [
                c
                for c in self._left
                if c.backend.context_tokens is None or (held is not None and c.backend.context_tokens > held)
            ]

    def _give_up(self, now: float, *, full: bool = False) -> Answer | Interrupt:
        self.phase = Phase.DONE
        self._leave_lines()
        if self.continuing:
            return self._interrupt(now)
        again = seconds_until(now, self.candidates, self._limited)
        failure = self.last_failure
        if failure is None:
            return Answer(none_tried(now, self.candidates, self.deadline, again))
        return Answer(last_failed(failure, self.trail, again, full=full, late=now >= self.deadline))

    def _interrupt(self, now: float) -> Interrupt:
        """The error inside the stream: the first break's word, since what followed it is in the trail."""
        failure = self.last_failure
        assert failure is not None and self._broken_by is not None
        kind = VOCABULARY["router_deadline"] if now >= self.deadline else self._broken_by
        return Interrupt(kind, f"the answer was cut off after {failure.outcome.value}: {', '.join(self.trail)}")

    def _record(self, now: float, word: str) -> None:
        candidate, _ = self._current()
        self.trail.append(f"{candidate.backend.name}:{word}:{int((now - self._began) * 1000)}ms")
        if self.recorded is not None:
            self.recorded()

    def may_wait(self, now: float) -> float:
        """The longest Retry-After worth waiting for."""
        return min(SHORT_RETRY_AFTER_SECONDS, max(0.0, self.deadline - now))


def _alive(backend: Backend) -> bool:
    return any(endpoint.healthy is not False for endpoint in backend.endpoints)
