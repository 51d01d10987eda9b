"""An exchange is one request on its way: it does what the state machine decides, and tells it what happened.

The only place where the answer to the client, the call to an upstream and the state machine meet. Everything here runs
in callbacks; a task exists only while a new connection is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import final

from genset.router.backends.failures import masked
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.dialects.openai.events import DONE
from genset.router.dialects.openai.whole_answer import model_of
from genset.router.errors import ErrorAnswer
from genset.router.exchange.answer_headers import dropped_line, upstream_id
from genset.router.exchange.attempt_spent import attempt_spent
from genset.router.exchange.client_answer import ClientAnswer
from genset.router.exchange.handler import ReplyHandler
from genset.router.exchange.record import Record
from genset.router.exchange.signs_of_life import Progress, words_for
from genset.router.exchange.spending import whole_spent
from genset.router.exchange.upstream_call import CANCELLED, UpstreamCall
from genset.router.exchange.upstream_request import UpstreamRequest
from genset.router.machine.decisions import (
    COLD,
    DEADLINE_OVER,
    STALLED,
    Answer,
    Break,
    Decision,
    Interrupt,
    Phase,
    Try,
    Wait,
)
from genset.router.machine.final_error import story_of
from genset.router.machine.machine import RequestMachine
from genset.router.machine.trail import OK, evidence
from genset.router.shared import Shared
from genset.times import rfc3339

log = logging.getLogger(__name__)


@final
class Exchange(ReplyHandler):
    """An exchange lasts from the moment when a route took the request until its end, of which `finished` hears."""

    __slots__ = (
        "_call",
        "_finished",
        "_heard",
        "_progress",
        "_said",
        "_waiting",
        "_waits_since",
        "ended",
        "placed",
    )

    def __init__(
        self,
        shared: Shared,
        record: Record,
        machine: RequestMachine,
        request: UpstreamRequest,
        answer: ClientAnswer,
        finished: Callable[[Exchange, float], None],
    ) -> None:
        super().__init__(shared, record, machine, request, answer)
        self._call = UpstreamCall(shared)
        self._finished = finished
        self._heard: dict[bytes, bytes] | None = None  # headers of the reply that the last failure came from
        self._progress: Progress | None = None  # looked at by the sweep, which most requests never meet
        self._said = 0.0  # when the waiting client last heard something
        self._waiting: Wait | None = None
        self._waits_since = 0.0
        self.ended = False
        self.placed = False  # counted by the gate, in work or waiting

    @property
    def waits_for_waking(self) -> bool:
        """Returns whether it waits for `machine.cold`."""
        return self._waiting is not None and self._waiting.reason == COLD and not self.ended

    # Decisions

    def begin(self) -> None:
        """The request has its place in the router."""
        now = self.shared.now()
        self.record.begun = self._said = now
        self._do(self.machine.begin(now))

    def _wake_soon(self) -> None:
        """Wakes the request in the loop's next turn: whoever frees a place is in the middle of something."""
        self.shared.loop.call_soon(self.wake)

    def wake(self) -> None:
        """What the request waits for may have come."""
        if self._waiting is not None and not self.ended:
            self._do(self.machine.resume(self.shared.now()))

    def _do(self, decision: Decision) -> None:
        if isinstance(decision, Try):
            if self._waiting is not None:
                self._waiting = None
                self.record.waited += self.shared.now() - self._waits_since
            self._call.begin(self, decision)
        elif isinstance(decision, Wait):
            if self._waiting is None:
                self._waits_since = self.shared.now()
                self.machine.when_free(self._wake_soon)
            self._waiting = decision
        elif isinstance(decision, Answer):
            self.answer_error(decision.answer)
        elif isinstance(decision, Interrupt):
            self._interrupt(decision)

    # What the reply tells

    def failed(self, failure: Failure) -> None:
        if self.ended:
            return
        failure = self._noted(failure)
        self._drop(failure.outcome.value)
        backend = self.backend
        decision = self.machine.failed(self.shared.now(), failure)
        backend.numbers.failed(failure.outcome.value)
        log.debug("Failed attempt of request %s at %s: %s", self.record.identity, backend.name, failure.detail)
        self._do(decision)

    def refused(self, failure: Failure) -> None:
        reply = self._call.reply
        word = self.request.otherwise(self.backend, failure, streamed=reply is not None and reply.streams)
        if not word:
            self.failed(failure)
            return
        failure = self._noted(failure)
        self._drop(failure.outcome.value)
        self._do(self.machine.once_more(self.shared.now(), failure, word))

    def broke(self, failure: Failure, kind: Break, *, blame: bool = True) -> None:
        request, reply = self.request, self._call.reply
        if request.sent is None:
            sent = reply.transcript() if reply is not None else None
            assert reply is not None and sent is not None, "the client has a part of the answer"
            request.broke_off(sent, told_usage=reply.told_usage)
        else:
            sent = request.sent
        failure = self._noted(failure)
        self._drop(failure.outcome.value)
        numbers = self.backend.numbers
        numbers.failed(failure.outcome.value)
        numbers.used(0, sent.tokens - self.record.booked)
        self.record.booked = sent.tokens
        why_not = request.why_not_continued(sent)
        now = self.shared.now()
        decision = self.machine.broke(now, failure, kind, why_not, blame=blame)
        self._said = now
        if why_not == "limit_reached":
            self.client_answer.send_events(request.length_event())
            self.stream_done(add_done=True)
            return
        if isinstance(decision, Interrupt):
            self.shared.observer.continued(why_not or "failed")
        self._do(decision)

    def connection_lost(self, *, stale: bool) -> bool:
        call, machine = self._call, self.machine
        call.connection_lost()
        if stale:  # a kept-alive connection was closed under the request: not an attempt of its own
            attempt = machine.candidates.current()
            machine.unsent()
            call.again(self, attempt.candidate, attempt.endpoint)
        return stale

    def listens_to(self, reply: object) -> bool:
        return self._call.awaits(reply)

    def _noted(self, failure: Failure) -> Failure:
        """Returns the failure without our own keys, and books it for what `/-/state` shows of the backend."""
        shared, machine, reply = self.shared, self.machine, self._call.reply
        endpoint, mask = machine.endpoint, shared.configured.mask
        failure = masked(failure, mask)
        heard = machine.phase > Phase.CONNECT and failure.outcome not in (Outcome.UNREACHABLE, Outcome.EXHAUSTED)
        self._heard = reply.headers if reply is not None and heard else None
        if machine.candidates.current().candidate.real is None:  # what a drill does says nothing of the backend
            shared.failures.add(
                self.backend.name,
                failure,
                mask,
                at=rfc3339(shared.wall()),
                headers=self._heard or {},
                endpoint=endpoint.name if endpoint is not None else "",
                request_id=self.record.identity.decode(),
            )
        machine.history.tells(story_of(self.backend.name, failure))
        return failure

    # Answers to the client

    def answer(self, headers: dict[bytes, bytes], body: bytes, tokens: tuple[int, int], now: float) -> None:
        backend, answer, told = self.backend, self.client_answer, body
        if answer.writer is not None:
            try:
                body = answer.written(body)
            except ValueError:
                self.failed(Failure(Outcome.INVALID_RESPONSE, "sent an answer of an unknown form", 200))
                return
        self.record.tokens = tokens
        if self.record.span is not None:
            self.record.answered_by(model_of(told))
        self.request.answered_by(backend)
        more, spending = dropped_line(self.request.dropped), self.record.spending
        if spending is not None:
            candidate = self.machine.candidates.current().candidate
            spending.add(whole_spent(candidate, self.request.api, told, tokens, self.machine.input_tokens))
            more += spending.line()
        self._call.release(backend.target, now)
        self.machine.succeeded(now)
        keep = answer.whole(self.machine, headers, body, more)
        self._end(200, "", keep, now)

    def commit(self, headers: dict[bytes, bytes], out: bytes, raw: Callable[[bytes], bool] | None, now: float) -> None:
        machine, answer = self.machine, self.client_answer
        self.record.first_token = now
        machine.committed(now)
        if raw is not None and answer.takes_raw_chunks:
            self._call.pass_chunks(raw)
        if answer.head_sent:
            candidate = machine.candidates.current().candidate
            told = evidence(candidate.backend.name, candidate.tier, machine.reason, machine.trail)
            told += dropped_line(self.request.dropped)
            answer.send_evidence(told.strip().replace(b"\r\n", b"; "), out)
        else:
            answer.open_stream(machine, headers, out, dropped_line(self.request.dropped))
        if answer.client.paused:
            self.client_slow()

    def stream_done(self, *, add_done: bool) -> None:
        now, machine, answer = self.shared.now(), self.machine, self.client_answer
        self._count_tokens()
        if machine.phase != Phase.DONE:  # else it had broken off, and nothing but its end was missing
            self.request.answered_by(self.backend)
            if self.record.spending is not None:
                self.record.spending.add(attempt_spent(self, self._call.reply, OK))
            self._call.release(self.backend.target, now)
            machine.succeeded(now)
        if machine.continuing:
            self.shared.observer.continued("completed")
        if add_done:
            answer.send_events(DONE)  # a usage that never came is left out
        answer.close_stream()
        self._end(200, "", answer.keeps_alive(), now)

    def _interrupt(self, decision: Interrupt) -> None:
        self._drop()
        self._count_tokens()
        machine, answer = self.machine, self.client_answer
        steps = [step.told() for step in machine.trail]
        keep = answer.break_off(decision.kind, decision.message, steps, partial=machine.continuing)
        self._end(200, decision.kind.word, keep, self.shared.now())

    def answer_error(self, answer: ErrorAnswer) -> None:
        """The final answer is an error: no content was sent."""
        writer = self.client_answer.writer
        if writer is not None and (estimate := writer.instead_of_error(answer)) is not None:
            self._drop()
            self._end(200, "", self.client_answer.estimate(self.machine, estimate), self.shared.now())
            return
        if self.client_answer.head_sent:
            self._interrupt(Interrupt(answer.kind, answer.message))
            return
        self._drop()
        # What the backend calls the request whose failure is the answer.
        shown = self.shared.configured.mask.hide_whole(upstream_id(self._heard or {}, self.record.identity))
        if self.record.spending is not None:
            shown += self.record.spending.line()
        keep = self.client_answer.error(self.machine, answer, shown)
        self._end(answer.status, answer.kind.word, keep, self.shared.now())

    def _count_tokens(self) -> None:
        reply = self._call.reply
        if reply is not None:
            self.record.tokens = reply.tokens()
            if self.record.span is not None and (sent := self.request.sent or reply.transcript()) is not None:
                self.record.answered_by(str(sent.head.get("model") or ""))

    # The client

    def client_gone(self) -> None:
        """The connection to the client is closed. Whatever runs upstream is cancelled at once, in any state."""
        if self.ended:
            return
        self._drop()
        self._count_tokens()
        now = self.shared.now()
        self.machine.cancelled(now)
        self._close(499, "caller_gone", now)

    def client_slow(self) -> None:
        """The client does not read as fast as its answer comes."""
        if self.client_answer.head_sent:
            self._call.pause()

    def client_caught_up(self) -> None:
        """The client has read what waited for it."""
        if self._call.resume():
            self.machine.went_on(self.shared.now())  # the silence was the client's

    def give_up(self, answer: ErrorAnswer) -> None:
        if self.ended:
            return
        self._drop()
        self.machine.cancelled(self.shared.now())
        self.answer_error(answer)

    def abandon(self) -> None:
        """The client is cut off, because not even the error can be told."""
        self.ended = True
        if self.record.spending is not None:
            self.record.spending.drop()
        self.record.spends(None)  # counting may be what has failed
        self.client_answer.client.cut_off()
        self._drop()
        self._call.reply = None

    def go_back(self) -> None:
        """The drill whose way the request takes lets it go, unless somebody answers it already."""
        phase = self.machine.phase
        if self.ended or phase == Phase.PAUSE or phase >= Phase.COMMIT or not self.machine.facts.drilled:
            return
        if self._waiting is None and self._call.runs:
            self.failed(Failure(Outcome.OUT_OF_TIME, "was given up: the drill lets the request go"))
        elif self.record.begun:
            self._do(self.machine.go_back(self.shared.now()))

    # The sweep

    def expire(self, now: float) -> None:
        """Called about ten times a second: deadlines, and signs of life."""
        machine, reply = self.machine, self._call.reply
        if self.ended:
            return
        if self._waiting is not None:
            self._do(machine.resume(now))
        if machine.phase >= Phase.COMMIT and self.client_answer.client.paused and now < machine.deadline:
            machine.rests(now)
            if self._progress is not None:
                self._progress.rests()
            return
        if machine.finish_over(now):
            assert reply is not None
            reply.finish_is_over()
            return
        self._keep_company(now)
        self._look_for_tokens(now)
        purse = machine.facts.purse
        if purse is not None and reply is not None and machine.phase == Phase.COMMIT:
            purse.grew(self.backend, reply.tokens()[1])
        if reply is not None and reply.alive:
            reply.alive = False
            machine.alive(now)
        failure = machine.expired(now)
        if failure is None:
            return
        if machine.phase < Phase.COMMIT or not (self.record.stream or self.client_answer.head_sent):
            self.failed(failure)
        elif machine.phase > Phase.COMMIT or now >= machine.deadline or not self._is_bound():
            late = failure.outcome is Outcome.OUT_OF_TIME
            self.broke(failure, DEADLINE_OVER if late else STALLED, blame=not late)

    def _look_for_tokens(self, now: float) -> None:
        """Looks at times whether a stream brings tokens: without any it does not go on, however many events come."""
        machine, reply, progress = self.machine, self._call.reply, self._progress
        if progress is None:
            self._progress = Progress(now)
        elif now - progress.last_look() > machine.facts.timeouts.life_most:
            runs = reply is not None and machine.phase == Phase.COMMIT
            barren_since = progress.look(now, reply, reply.progress() if reply is not None and runs else None)
            if barren_since is not None:
                machine.went_on(barren_since)

    def _is_bound(self) -> bool:
        """Returns whether nobody else could write on the answer that stalls, and no setting says how long that may take.

        Then it is waited for.
        """
        machine, reply = self.machine, self._call.reply
        if machine.settings.stall_seconds is not None or reply is None:
            return False
        sent = self.request.sent or reply.transcript()
        if sent is None or self.request.why_not_continued(sent) in ("", "limit_reached"):
            return False
        machine.is_bound()
        return True

    def _keep_company(self, now: float) -> None:
        """Sends a sign of life to the client of a stream if one is due. All that the client has so far are whole events."""
        machine, answer, reply = self.machine, self.client_answer, self._call.reply
        if not self.record.stream or now - self._said < machine.facts.timeouts.comment:
            return
        if answer.client.paused or self.ended or not self.record.begun:
            return
        silent = now - max(self._said, machine.last if reply is None else reply.told_at())
        waited = now - self._waits_since
        words = words_for(machine, self._waiting, waited, begun=answer.head_sent, silent=silent)
        if words:
            self._said = now
            answer.comment(words)

    # Ends

    def _end(self, status: int, word: str, keep: bool, now: float) -> None:
        self._close(status, word, now)
        self.client_answer.client.finish(keep, now)

    def _close(self, status: int, word: str, now: float) -> None:
        if self._waiting is not None:
            self.record.waited += now - self._waits_since
        self.record.ended(status, word)
        if self.record.spending is not None:
            self.record.spending.close()
        self.ended = True
        self._call.reply = None
        self._finished(self, now)

    def _drop(self, outcome: str = CANCELLED) -> None:
        """Ends whatever runs upstream, and gives back what was collected of it."""
        self.client_answer.client.drop_collected()
        if self.record.spending is not None and self._call.runs and self.machine.phase >= Phase.CONNECT:
            self.record.spending.add(attempt_spent(self, self._call.reply, outcome))
        self._call.drop(outcome)
