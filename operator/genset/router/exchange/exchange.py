"""One request on its way: does what the state machine decides, and tells it what happened.

The only place where client side (`outgoing`), upstream side (`calling`) and state machine meet. Everything here runs in
callbacks; a task exists only while a new connection is opened. `Reply` reads the upstream's answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.continuation import why_not
from genset.router.continuation.ask import length_event, tokens_left
from genset.router.continuation.splice import Splice
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.events import DONE
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.stream_reader import StreamReader
from genset.router.errors import ErrorAnswer, in_band
from genset.router.exchange.answer_headers import error_head, good_head
from genset.router.exchange.record import Record
from genset.router.exchange.reply import Reply
from genset.router.exchange.upstream_call import Calling
from genset.router.http.downstream import ClientConnection
from genset.router.http.request import Request
from genset.router.machine.added_fields import PREFILL, refuses_prefill, speaks_of_prefill
from genset.router.machine.decisions import COLD, FULL, Answer, Decision, Interrupt, Phase, Try, Wait
from genset.router.machine.trail import evidence
from genset.router.shared import Shared

log = logging.getLogger(__name__)

COMMENT_SECONDS = 5.0  # between signs of life while a stream waits for a backend at rest, or for another backend
WORKING_SECONDS = 10.0  # of a backend's silence, before the client of a stream hears a sign of life
QUIET_SECONDS = 30.0  # in line for a place before the first of them, which begins the answer


class Exchange(Calling):
    """A request from its arrival to its end. Where no route took it, only errors are answered. `finished` hears of its end."""

    __slots__ = ("_finished", "_said", "_waiting", "_waits_since", "ended", "placed")

    def __init__(
        self,
        shared: Shared,
        client: ClientConnection,
        request: Request,
        api: Api,
        parsed: dict[str, Any],
        record: Record,
        finished: Callable[[Exchange, float], None],
    ) -> None:
        super().__init__(shared, client, request, api, parsed, record)
        self._finished = finished
        self.ended = False
        self.placed = False  # counted by the gate, in work or waiting
        self._said = 0.0  # when the waiting client last heard something
        self._waiting: Wait | None = None
        self._waits_since = 0.0

    @property
    def waits_for_waking(self) -> bool:
        """Whether it waits for `machine.cold`."""
        return self._waiting is not None and self._waiting.reason == COLD and not self.ended

    def _listener(self, reader: StreamReader | None, splice: Splice | None) -> Reply:
        return Reply(self, reader, splice)

    # Decisions

    def begin(self) -> None:
        """The request has its place."""
        self.record.begun = self._said = self._weighed_at = now = self.shared.now()
        self._do(self.machine.begin(now))

    def _wake_soon(self) -> None:
        """Not at once: whoever frees a place is in the middle of something."""
        self._loop.call_soon(self.wake)

    def wake(self) -> None:
        """What the request waits for may have come."""
        waiting = self._waiting
        if waiting is not None and not self.ended:
            self._do(self.machine.resume(self.shared.now()))

    def _do(self, decision: Decision) -> None:
        if isinstance(decision, Try):
            if self._waiting is not None:
                self._waiting = None
                self.record.waited += self.shared.now() - self._waits_since
            # During a pause, too: nobody else may be given the place.
            self._occupied = endpoint = decision.endpoint
            endpoint.enter()
            if endpoint.demand is not None:
                endpoint.demand.entered(self.shared.now())
            if decision.delay:
                self._timer = self._loop.call_later(decision.delay, self._call, decision.candidate, endpoint)
            else:
                self._call(decision.candidate, endpoint)
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
        """The attempt ended before it was committed."""
        if self.ended:
            return
        failure = self._noted(failure)
        self._drop_upstream()
        backend = self.backend
        decision = self.machine.failed(self.shared.now(), failure)
        backend.numbers.failed(failure.outcome.value)
        log.debug("Failed attempt of request %s at %s: %s", self.identity, backend.name, failure.detail)
        self._do(decision)

    def refused(self, failure: Failure) -> None:
        """The request was refused; perhaps only our own way of asking was."""
        backend, reply = self.backend, self._reply
        field = self._refused_field(backend, failure, streamed=reply is not None and reply.reader is not None)
        if field:
            self._leave_out(backend, field)
            self._ask_otherwise(failure, f"no_{field}")
        elif self._rule is not None and self._rule.refusable and self.machine.continuing and refuses_prefill(failure):
            if speaks_of_prefill(failure.body):
                self._leave_out(backend, PREFILL)
            self._refused_rules = [*(self._refused_rules or ()), backend]
            self._ask_otherwise(failure, "no_prefill")
        else:
            self.failed(failure)

    def _ask_otherwise(self, failure: Failure, word: str) -> None:
        failure = self._noted(failure)
        self._drop_upstream()
        self._rule = None
        self._do(self.machine.once_more(self.shared.now(), failure, word))

    def broke(self, failure: Failure, word: str, *, blame: bool = True) -> None:
        """The attempt ended after it was committed. A client that has seen nothing of it need not know."""
        if not self.stream:
            self.failed(failure)
            return
        reply = self._reply
        if self._sent is None:
            assert reply is not None and isinstance(reply.reader, Forward)
            self._sent = reply.reader.fold()
            self._want_usage = self._want_usage and not reply.reader.told_usage
        sent = self._sent
        failure = self._noted(failure)
        self._drop_upstream()
        numbers = self.backend.numbers
        numbers.failed(failure.outcome.value)
        numbers.tokens += sent.tokens - self.record.booked
        self.record.booked = sent.tokens
        parsed = self._json
        reason = why_not(parsed, sent, chat=self._api.chat)
        left = tokens_left(parsed, sent.tokens)
        parsed = {}  # let go of, before anything waits
        full = not reason and left is not None and left <= 0
        now = self.shared.now()
        decision = self.machine.broke(now, failure, word, "limit_reached" if full else reason, blame=blame)
        self._said = now
        if full:
            self.send_events(length_event(sent, chat=self._api.chat))
            self.stream_done(add_done=True)
        else:
            if isinstance(decision, Interrupt):
                self.shared.observer.continued(reason or "failed")
            self._do(decision)

    # Answers to the client

    def answer(self, content_type: bytes, headers: dict[bytes, bytes], body: bytes, now: float) -> None:
        """A complete answer that is no stream. `headers` are the upstream's."""
        if self._without is not None:
            self._remember_fields()
        self._release_upstream(now)
        self.machine.succeeded(now)
        keep = self.keeps_alive()
        connection, mask = self.connection_header(keep), self.shared.configured.mask
        head = good_head(self.machine, self.identity, content_type, headers, mask, connection)
        self.write_whole(head, body)
        self._end(200, "", keep, now)

    def commit(self, out: bytes, now: float) -> None:
        """The first events of a stream. Once per answer."""
        machine, reply = self.machine, self._reply
        assert reply is not None
        self.record.first_token = now
        self.record.held = now - reply.began
        machine.committed(now)
        if self._connection is not None and not self.request.version_10 and not reply.coded:
            self._connection.direct = reply.forward
        if self.head_sent:
            assert machine.candidate is not None
            told = evidence(self.backend.name, machine.candidate.tier, machine.reason, machine.trail)
            # No blank line: clients have taken a comment of its own for an event (openai-go before 3.43).
            self.send_events(b": %b\n" % told.strip().replace(b"\r\n", b"; ") + out)
        else:
            connection, mask = self.connection_header(self.keeps_alive()), self.shared.configured.mask
            head = good_head(machine, self.identity, b"text/event-stream", reply.headers, mask, connection)
            self.open_stream(head, out)
        if self.client.paused:
            self.client_slow()

    def stream_done(self, add_done: bool = False) -> None:
        """The stream is complete, with [DONE] added where it is missing."""
        now = self.shared.now()
        if self._without is not None:
            self._remember_fields()
        if self._reply is not None:
            self.record.tokens = self._reply.tokens()
        self._release_upstream(now)
        if self.machine.phase != Phase.DONE:
            self.machine.succeeded(now)
        if self.machine.continuing:
            self.shared.observer.continued("completed")
        if add_done:
            self.send_events(DONE)  # a usage that never came is left out
        self.close_stream()
        self._end(200, "", self.keeps_alive(), now)

    def _interrupt(self, decision: Interrupt) -> None:
        self._drop_upstream()
        if self._reply is not None:
            self.record.tokens = self._reply.tokens()
        machine = self.machine
        told = in_band(
            decision.kind, decision.message, [step.told() for step in machine.trail], partial=machine.continuing
        )
        self.send_events(self.shared.configured.mask.hide(told))
        self.close_stream()
        self._end(200, decision.kind.word, False, self.shared.now())

    def answer_error(self, answer: ErrorAnswer) -> None:
        """The final answer is an error: no content was sent."""
        if self.head_sent:
            self._interrupt(Interrupt(answer.kind, answer.message))
            return
        self._drop_upstream()
        body = self.shared.configured.mask.hide(answer.body())
        keep = self.keeps_alive()
        head = error_head(self.record.routed, self.identity, answer, self._upstream_id(), self.connection_header(keep))
        self.client.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self._end(answer.status, answer.kind.word, keep, self.shared.now())

    # The client

    def client_gone(self) -> None:
        """The connection to the client is closed. Cancels everything upstream at once, in any state."""
        if self.ended:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._drop_upstream()
        if self._reply is not None:
            self.record.tokens = self._reply.tokens()
        self.machine.cancelled(self.shared.now())
        self._close(499, "caller_gone", self.shared.now())

    def give_up(self, answer: ErrorAnswer) -> None:
        """The router itself ends the request (drain is over, queue is over)."""
        if self.ended:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._drop_upstream()
        self.machine.cancelled(self.shared.now())
        self.answer_error(answer)

    def abandon(self) -> None:
        """Cuts the client off, where even the error cannot be told."""
        self.ended = True
        self.client.cut_off()
        self._drop_upstream()

    # The sweep

    def expire(self, now: float) -> None:
        """Called about ten times a second."""
        machine = self.machine
        if self.ended:
            return
        if self._waiting is not None:
            self._do(machine.resume(now))
        if machine.phase >= Phase.COMMIT and self.client.paused and now < machine.deadline:
            machine.rests(now)
            self._weight = None
            return
        if machine.finish_over(now):
            assert self._reply is not None
            self._reply.finish_is_over()
            return
        reply = self._reply
        splices = reply is not None and reply.splice is not None
        quiet = splices or machine.phase < Phase.COMMIT or now - machine.last >= WORKING_SECONDS
        if self.stream and quiet and now - self._said >= COMMENT_SECONDS:
            self._keep_company(now)
        if now - self._weighed_at > machine.facts.timeouts.life_most:
            self._weigh(now)
        if reply is not None and reply.head_came:
            reply.head_came = False
            machine.alive(now)
        failure = machine.expired(now)
        if failure is None:
            return
        if machine.phase >= Phase.COMMIT:
            if machine.phase == Phase.COMMIT and now < machine.deadline and self._is_bound():
                return  # nobody else can write on: it is waited for
            late = failure.outcome is Outcome.OUT_OF_TIME
            self.broke(failure, "router_deadline" if late else "provider_stalled", blame=not late)
        else:
            self.failed(failure)

    def _keep_company(self, now: float) -> None:
        """A sign of life to the client of a stream, if it is time for one. All that it has got so far are whole events."""
        machine, waiting, reply = self.machine, self._waiting, self._reply
        # What is read of a continuation may all be known to the client.
        told = machine.last if reply is None or reply.splice is None else reply.told_at
        words = b""
        if self.client.paused or self.ended or not self.record.begun:
            return
        if waiting is not None:
            # A line is short, so its end can be a 429, which it no longer can after a comment.
            if waiting.reason == COLD:
                words = b"waking"
            elif waiting.reason != FULL or self.head_sent or now - self._waits_since >= QUIET_SECONDS:
                words = b"waiting"
        elif machine.phase < Phase.COMMIT and machine.continuing:
            words = b"failing over"
        elif machine.phase <= Phase.FINISH and now - max(self._said, told) >= WORKING_SECONDS:
            words = b"working"
        if words:
            self._said = now
            self.comment(words)

    # Ends

    def _end(self, status: int, word: str, keep: bool, now: float) -> None:
        self._close(status, word, now)
        self.client.finish(keep, now)
        self._reply = None

    def _close(self, status: int, word: str, now: float) -> None:
        record = self.record
        if self._waiting is not None:
            record.waited += now - self._waits_since
        record.status = status
        record.word = word
        self.ended = True
        self._finished(self, now)
