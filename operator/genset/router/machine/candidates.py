"""SELECT: which candidate is asked next, who waits for what, and when nobody is left.

The half of the state machine that looks at backends; `attempt` is the half that hears what became of an attempt. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from genset.contracts.router_config import ColdStartConfig, FailoverConfig
from genset.router.backends.backend import Backend
from genset.router.backends.balance.prompt import prompt_key
from genset.router.backends.breaker import Cause, State
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.outcomes import Failure, Next, met
from genset.router.errors import VOCABULARY, ErrorKind
from genset.router.machine.decisions import COLD, FULL, Answer, Candidate, Decision, Interrupt, Phase, Try, Wait
from genset.router.machine.final_error import last_failed, none_tried, seconds_until, told_story
from genset.router.machine.trail import Step

_CLOSED: Final = State.CLOSED
#: Why a backend of the house is passed over (a word for evidence) -> what `toCloudOn` calls it. Others: its breaker is open,
#: and it knows for what, or it cannot be reached.
_PASSED_OVER: Final = {
    COLD: "Cold",
    FULL: "Full",
    Cause.RATE_LIMITED.value: "Full",
    Cause.AUTH.value: "ServerError",
    Cause.MODEL.value: "ServerError",
}


class Selection:
    """What is known of the candidates of one request.

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
        "_spent",
        "_token",
        "_tried",
        "attempts",
        "candidate",
        "candidates",
        "cold",
        "continuing",
        "deadline",
        "endpoint",
        "last_failure",
        "origin",
        "path",
        "phase",
        "prompt",
        "reason",
        "settings",
        "stories",
        "trail",
        "wait_when_full",
        "woken",
    )

    def __init__(
        self,
        candidates: list[Candidate],
        settings: FailoverConfig,
        deadline: float,
        skipped: str,
        cold_start: ColdStartConfig,
    ) -> None:
        self.candidates = candidates
        self.settings = settings
        self.deadline = deadline
        self.attempts = 0
        self.candidate: Candidate | None = None
        self.endpoint: Endpoint | None = None
        self.phase = Phase.SELECT
        self.reason = skipped  # why the first tier did not answer
        self.last_failure: Failure | None = None
        self.origin = ""  # whose request it is, as lines and suspicions know him
        self.path = ""  # of the API, behind the version segment: a backend may refuse one and serve another
        self.trail: list[Step] = []
        self.stories: list[str] = []  # what attempts came to, in words; written by the wire, which masks them
        self.continuing = False  # the client has a part of the answer; candidates are asked to write on
        self.cold: Backend | None = None  # at rest: a Wait is for its waking
        self.prompt: Mapping[str, Any] | None = None  # the request, where a backend's balancing reads its prompt
        self.wait_when_full = False  # for a place in a tier, before the next tier is asked
        self.woken: Callable[[], None] | None = None  # what the wire wants to hear of a free place
        self._cold_start = cold_start
        self._cold_until: float | None = None  # when the wait for backends at rest is over
        self._lines: dict[Backend, float] | None = None  # full backends, and until when a place is waited for
        self._broken_by: ErrorKind | None = None
        self._left = list(candidates)
        self._asked: list[Backend] = []
        self._tried: list[Endpoint] = []  # of the current candidate
        self._spent: list[tuple[Candidate, list[Endpoint]]] = []  # failed, with the endpoints that were asked
        self._again_used = False
        self._limited: float | None = None  # least Retry-After heard
        self._token = False
        self._began = 0.0
        self._phase_until = math.inf

    def _current(self) -> tuple[Candidate, Endpoint]:
        assert self.candidate is not None and self.endpoint is not None, "no attempt is running"
        return self.candidate, self.endpoint

    def _select(self, now: float) -> Decision:
        if now >= self.deadline:
            return self._give_up(now)
        cold: Candidate | None = None
        full: list[Candidate] | None = None
        barred = False  # the house is passed over for what may not send a request to a cloud
        for candidate in self._left:
            if barred and not candidate.backend.local:
                continue
            if cold is not None and candidate.tier > cold.tier and self._holds(now):
                break
            if full and self.wait_when_full and candidate.tier > full[-1].tier and (until := self._queue(now, full)):
                return Wait(FULL, until)
            backend = candidate.backend
            if backend.refusals.known and backend.refusals.of(self.path, now) is not None:
                barred = self._passed_over(now, backend) or barred
                continue
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
            barred = self._passed_over(now, backend) or barred
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
        return self._least_bad(now, house_only=barred)

    def _passed_over(self, now: float, backend: Backend) -> bool:
        """Notes why. Returns whether that keeps the request from the clouds that come later."""
        why = backend.why_not(now, self.path)
        self.reason = self.reason or why
        if not backend.local:
            return False
        word = _PASSED_OVER.get(why) or backend.fault
        return word not in self.settings.to_cloud_on

    def _stay_in_the_house(self, failure: Failure) -> None:
        """Takes the clouds off the list where what this attempt at the house met may not send a request there."""
        candidate, _ = self._current()
        if candidate.backend.local and met(failure) not in self.settings.to_cloud_on:
            self._left = [left for left in self._left if left.backend.local]

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
            elif line.join(self, self.origin, ahead=self.continuing):
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

    def _least_bad(self, now: float, *, house_only: bool) -> Decision:
        """No candidate is well. Each is tried once nevertheless, the one that should be back soonest first.

        One whose whole side is out comes last: its own breaker may know nothing of that.
        """
        left = [c for c in self._left if c.backend.local] if house_only else self._left
        hopeful = [c for c in left if c.backend.is_last_resort(now, self.path)]
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
            if house_only and not backend.local:
                continue
            sibling = backend.sibling(now, tried) or (backend.pick(now) if self.continuing and not tried else None)
            if sibling is not None and backend.retries.take(now):
                self._spent.clear()  # once
                self._left = [candidate]
                return self._try(now, candidate, sibling)
        return self._give_up(now, full=any(c.backend.is_full(now) for c in left), house_only=house_only)

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
        self._token = breaker.state is not _CLOSED and breaker.take(now)
        self._began = now + delay
        self.phase = Phase.PAUSE if delay else Phase.CONNECT
        self._phase_until = self._began + backend.connect_seconds
        return Try(candidate, endpoint, delay)

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

    def _give_up(self, now: float, *, full: bool = False, house_only: bool = False) -> Answer | Interrupt:
        self.phase = Phase.DONE
        self._leave_lines()
        if self.continuing:
            return self._interrupt(now)
        candidates = [c for c in self.candidates if c.backend.local] if house_only else self.candidates
        again = seconds_until(now, candidates, self._limited, self._asked, self.path)
        failure = self.last_failure
        if failure is None:
            return Answer(none_tried(now, candidates, self.deadline, again, self.path))
        hope = any(
            c.backend not in self._asked and c.backend.refusals.of(self.path, now) is None for c in self.candidates
        )
        late = now >= self.deadline
        return Answer(last_failed(failure, self.trail, again, full=full, late=late, stories=self.stories, hope=hope))

    def _interrupt(self, now: float) -> Interrupt:
        """The error inside the stream: the first break's word, since what followed it is in the trail."""
        failure = self.last_failure
        assert failure is not None and self._broken_by is not None
        kind = VOCABULARY["router_deadline"] if now >= self.deadline else self._broken_by
        story = told_story(self.stories, self.trail)
        return Interrupt(kind, f"the answer was cut off after {failure.outcome.value}: {story}")

    def stood_still(self, seconds: float) -> None:
        """The clock has skipped them: what has ended before is as much longer ago."""
        for step in self.trail:
            step.at -= seconds

    def _record(self, now: float, word: str) -> None:
        candidate, _ = self._current()
        self.trail.append(Step(candidate.backend.name, word, int((now - self._began) * 1000), now))


def _alive(backend: Backend) -> bool:
    return any(endpoint.healthy is not False for endpoint in backend.endpoints)
