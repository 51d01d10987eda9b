"""One request on its way: does what the state machine decides, and tells it what happened.

The only place where client side, upstream side and state machine meet. Everything here runs in callbacks; a task exists
only while a new connection is opened.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from genset.router.attempt import Answer, Candidate, Decision, Interrupt, Phase, RequestMachine, Try
from genset.router.backend import Endpoint
from genset.router.errors import ErrorAnswer, error, in_band
from genset.router.evidence import evidence, passed_response_headers, reason_phrase
from genset.router.outcome import ERROR_BODY_BYTES, Failure, Outcome, classify, classify_in_band
from genset.router.sse import DONE, StreamReader
from genset.router.whole import choices_of, fault_of, usage_of
from genset.router.wire.connect import ConnectFailed, remember_session
from genset.router.wire.payload import Api, body_for, head_for
from genset.router.wire.upstream import UpstreamConnection

if TYPE_CHECKING:
    from genset.router.server import Router
    from genset.router.wire.downstream import ClientConnection, Request

log = logging.getLogger(__name__)

RESPONSE_BYTES = 64 * 1024 * 1024  # of a response that is no stream; held until it is complete


class Exchange:
    """`machine` is None where no route took the request."""

    __slots__ = (
        "_api",
        "_collected",
        "_collected_bytes",
        "_connection",
        "_headers",
        "_is_stream",
        "_json",
        "_loop",
        "_occupied",
        "_reader",
        "_started_answer",
        "_status",
        "_task",
        "_timer",
        "_want_usage",
        "client",
        "ended",
        "first_token",
        "identity",
        "machine",
        "model",
        "placed",
        "received",
        "request",
        "route",
        "router",
        "stream",
        "tokens",
    )

    def __init__(
        self,
        router: Router,
        client: ClientConnection,
        request: Request,
        api: Api,
        parsed: dict[str, Any],
        identity: bytes,
        received: float,
    ) -> None:
        self.router = router
        self.client = client
        self.request = request
        self.identity = identity
        self.received = received
        self.model: str = parsed["model"]
        self.stream = api.streams and parsed.get("stream") is True
        self.route = ""
        self.machine: RequestMachine | None = None
        self.first_token = 0.0
        self.tokens = (0, 0)  # prompt, completion, as the upstream counted them
        self.ended = False
        self.placed = False  # counted by the gate, in work or waiting
        self._api = api
        self._json = parsed
        self._loop = router.loop
        self._connection: UpstreamConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._collected: list[bytes] = []  # body of an answer that is no stream, or of an error
        self._collected_bytes = 0
        self._is_stream = False  # the upstream's answer is an event stream
        self._occupied: Endpoint | None = None  # whose in_flight counts us
        self._started_answer = False
        options = parsed.get("stream_options")
        self._want_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        self._reader: StreamReader | None = None

    # Decisions

    def begin(self) -> None:
        """The request has its place."""
        assert self.machine is not None
        self._do(self.machine.begin(self.router.now()))

    def _do(self, decision: Decision) -> None:
        if type(decision) is Try:
            if decision.delay:
                self._timer = self._loop.call_later(decision.delay, self._call, decision.candidate, decision.endpoint)
            else:
                self._call(decision.candidate, decision.endpoint)
        elif type(decision) is Answer:
            self.answer_error(decision.answer)
        elif type(decision) is Interrupt:
            self._interrupt(decision)

    def _call(self, candidate: Candidate, endpoint: Endpoint) -> None:
        assert self.machine is not None
        self._timer = None
        self.machine.connecting()
        endpoint.in_flight += 1
        self._occupied = endpoint
        idle = endpoint.idle
        while idle:
            connection = idle.pop()
            if not connection.closed and not connection.transport.is_closing():
                self._send(connection, candidate, endpoint)
                return
        self._connect(candidate, endpoint)

    def _connect(self, candidate: Candidate, endpoint: Endpoint) -> None:
        self._task = self._loop.create_task(self._open(candidate, endpoint))

    async def _open(self, candidate: Candidate, endpoint: Endpoint) -> None:
        try:
            connection = await self.router.connector.open(candidate.backend, endpoint)
        except ConnectFailed as problem:
            self._task = None
            self._failed(Failure(Outcome.UNREACHABLE, problem.detail))
        except Exception as problem:
            log.exception("Failed to connect to backend %s", candidate.backend.name)
            self._task = None
            self._failed(Failure(Outcome.UNREACHABLE, f"could not be reached ({type(problem).__name__})"))
        else:
            self._task = None
            self._send(connection, candidate, endpoint)

    def _send(self, connection: UpstreamConnection, candidate: Candidate, endpoint: Endpoint) -> None:
        assert self.machine is not None
        backend = candidate.backend
        self._connection = connection
        self._status = 0
        self._collected.clear()
        self._collected_bytes = 0
        self._is_stream = False
        if self.stream:
            self._reader = StreamReader(
                hide_usage=not self._want_usage,
                choices=choices_of(self._json),
                bad_finishes=backend.provider.bad_finishes,
            )
        try:
            body = body_for(backend, self._api, self._json, self.request.body, self.stream)
        except TypeError:  # orjson reads deeper than it writes
            self.give_up(error("caller_bad_request", "the body is nested too deeply (more than 250 levels)"))
            return
        head = head_for(backend, endpoint, self._api, self.request.headers, self.identity, len(body), self.stream)
        self.machine.sent(self.router.now())
        connection.begin(self, head + body)

    # What the upstream connection tells

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self._status = status
        self._headers = headers
        if 200 <= status < 300:
            assert self.machine is not None
            self.machine.head()
            self._is_stream = (
                self.stream and status == 200 and headers.get(b"content-type", b"").startswith(b"text/event-stream")
            )

    def _forward(self, chunk: bytes) -> bool:
        """A chunk of a running stream, untouched. True: it went on to the client as it is."""
        assert self._reader is not None and self.machine is not None
        if not self._reader.passes(chunk):
            return False
        self.machine.last = self.router.now()
        self.client.transport.write(chunk)
        return True

    def on_body(self, data: bytes) -> None:
        reader = self._reader
        if reader is None or not self._is_stream:
            self._collect(data)
            return
        out = reader.feed(data)
        machine = self.machine
        assert machine is not None
        if out:
            if self._started_answer:
                machine.last = self.router.now()
                if self.request.version_10:
                    self.client.write(out)
                else:
                    self.client.write(b"%x\r\n%b\r\n" % (len(out), out))
            else:
                self._commit(out)
        if reader.failed:
            self._stream_failed(reader)
        elif reader.finished:
            if reader.done:
                self._stream_done()
            elif machine.phase is Phase.COMMIT:
                machine.finishing(self.router.now())

    def on_end(self, verified: bool) -> None:
        reader = self._reader
        if not 200 <= self._status < 300:
            self._failed(self._classified())
        elif self._status != 200:
            self._failed(Failure(Outcome.INVALID_RESPONSE, f"answered {self._status} without a body", self._status))
        elif reader is None or not self._is_stream:
            self._whole(verified)
        else:
            out = reader.end()
            if out:
                if self._started_answer:
                    self._write(out)
                else:
                    self._commit(out)
            if reader.failed:
                self._stream_failed(reader)
            else:
                self._stream_done(add_done=DONE not in out)

    def on_upstream_lost(self, detail: str, *, stale: bool) -> None:
        machine = self.machine
        assert machine is not None and machine.candidate is not None and machine.endpoint is not None
        self._connection = None
        if stale:
            machine.unsent()
            self._connect(machine.candidate, machine.endpoint)
        elif self._started_answer:
            if machine.phase is Phase.FINISH:
                self._stream_done(add_done=True)
            else:
                self._broke(Failure(Outcome.INTERRUPTED, detail), "provider_interrupted")
        elif self._status and not 200 <= self._status < 300:
            self._failed(self._classified())
        elif self._status:
            self._failed(Failure(Outcome.INTERRUPTED, f"{detail} inside its answer", self._status))
        else:
            self._failed(Failure(Outcome.UNREACHABLE, f"{detail} before it answered"))

    # Answers that are no stream

    def _collect(self, data: bytes) -> None:
        self._collected.append(data)
        self._collected_bytes += len(data)
        if 200 <= self._status < 300:
            if self._collected_bytes > RESPONSE_BYTES:
                self._failed(
                    Failure(Outcome.INVALID_RESPONSE, f"sent an answer of more than {RESPONSE_BYTES} bytes", 200)
                )
        elif self._collected_bytes > ERROR_BODY_BYTES:
            self._failed(self._classified())

    def _classified(self) -> Failure:
        assert self.machine is not None and self.machine.candidate is not None
        now = self.router.now()
        return classify(
            self._status,
            self._headers,
            b"".join(self._collected),
            self.machine.candidate.backend.provider,
            wall=self.router.wall(),
            may_wait=self.machine.may_wait(now),
        )

    def _whole(self, verified: bool) -> None:
        """A complete answer, or something that only looks like one."""
        assert self.machine is not None and self.machine.candidate is not None
        body = b"".join(self._collected)
        failure = fault_of(body, verified)
        if failure is None and self.stream:
            failure = "answered a stream request with no event stream"
        if failure is not None:
            if isinstance(failure, dict):
                provider = self.machine.candidate.backend.provider
                self._failed(classify_in_band(failure, provider, "sent an error inside a 200"))
            else:
                self._failed(Failure(Outcome.INVALID_RESPONSE, failure, 200))
            return
        now = self.router.now()
        self.first_token = now
        self.tokens = usage_of(body)
        self._release_upstream(now)
        self.machine.succeeded(now)
        keep = self._keeps_alive()
        head = self._head(self._headers.get(b"content-type", b"application/json"), keep)
        self.client.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self._end(200, "", keep)

    # Streams

    def _commit(self, out: bytes) -> None:
        assert self.machine is not None
        now = self.router.now()
        self.first_token = now
        self.machine.committed(now)
        self._started_answer = True
        if self._connection is not None and not self.request.version_10:
            self._connection.direct = self._forward
        head = self._head(b"text/event-stream", self._keeps_alive())
        if self.request.version_10:
            self.client.write(b"%bcache-control: no-cache\r\n\r\n%b" % (head, out))
        else:
            self.client.write(
                b"%bcache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (head, len(out), out)
            )
        if self.client.paused:
            self.client_slow()

    def _write(self, out: bytes) -> None:
        self.client.write(out if self.request.version_10 else b"%x\r\n%b\r\n" % (len(out), out))

    def _stream_failed(self, reader: StreamReader) -> None:
        assert self.machine is not None and self.machine.candidate is not None
        if self._started_answer:
            if self.machine.phase is Phase.FINISH:  # the answer itself is complete
                self._stream_done(add_done=True)
                return
            word = "provider_error" if reader.error is not None else "provider_interrupted"
            self._broke(Failure(Outcome.INVALID_RESPONSE, reader.fault), word)
        elif reader.error is not None:
            provider = self.machine.candidate.backend.provider
            self._failed(classify_in_band(reader.error, provider, reader.fault))
        else:
            self._failed(Failure(Outcome.INVALID_RESPONSE, reader.fault, 200))

    def _stream_done(self, add_done: bool = False) -> None:
        """The finish_reason has passed and nothing more will come: complete, with [DONE] added where it is missing."""
        assert self.machine is not None
        reader = self._reader
        assert reader is not None
        now = self.router.now()
        self.tokens = reader.usage or (0, reader.estimated_tokens())
        self._release_upstream(now)
        self.machine.succeeded(now)
        if add_done:
            self._write(DONE)
        if not self.request.version_10:
            self.client.write(b"0\r\n\r\n")
        self._end(200, "", self._keeps_alive())

    def _broke(self, failure: Failure, word: str) -> None:
        assert self.machine is not None
        self._drop_upstream()
        self._do(self.machine.broke(self.router.now(), failure, word))

    def _interrupt(self, decision: Interrupt) -> None:
        assert self.machine is not None
        if self._reader is not None:
            self.tokens = self._reader.usage or (0, self._reader.estimated_tokens())
        out = in_band(decision.kind, decision.message, self.machine.trail)
        self._write(out)
        if not self.request.version_10:
            self.client.write(b"0\r\n\r\n")
        self._end(200, decision.kind.word, False)

    # Failures before commit

    def _failed(self, failure: Failure) -> None:
        machine = self.machine
        assert machine is not None
        if self.ended:
            return
        self._drop_upstream()
        backend = machine.candidate.backend if machine.candidate is not None else None
        decision = machine.failed(self.router.now(), failure)
        if backend is not None:
            backend.numbers.failed(failure.outcome.value)
            log.debug("Failed attempt of request %s at %s: %s", self.identity, backend.name, failure.detail)
        self._do(decision)

    def answer_error(self, answer: ErrorAnswer) -> None:
        """The final answer is an error: no content was sent."""
        self._drop_upstream()
        body = answer.body()
        keep = self._keeps_alive()
        head = self._error_head(answer, keep)
        self.client.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self._end(answer.status, answer.kind.word, keep)

    # The client

    def client_gone(self) -> None:
        """The connection to the client is closed. Cancels everything upstream at once, in any state."""
        if self.ended:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._drop_upstream()
        if self._reader is not None:
            self.tokens = self._reader.usage or (0, self._reader.estimated_tokens())
        if self.machine is not None:
            self.machine.cancelled(self.router.now())
        self.ended = True
        self.router.finished(self, 499, "caller_gone")

    def client_slow(self) -> None:
        if self._connection is not None and self._started_answer:
            self._connection.pause()

    def client_caught_up(self) -> None:
        if self._connection is not None:
            assert self.machine is not None
            self.machine.last = self.router.now()  # the silence was the client's
            self._connection.resume()

    def give_up(self, answer: ErrorAnswer) -> None:
        """The router itself ends the request (drain is over, queue is over)."""
        if self.ended:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._started_answer:
            self._drop_upstream()
            assert self.machine is not None
            self.machine.cancelled(self.router.now())
            self._interrupt(Interrupt(answer.kind, answer.message))
        else:
            if self.machine is not None:
                self.machine.cancelled(self.router.now())
            self.answer_error(answer)

    # The sweep

    def expire(self, now: float) -> None:
        """Called about ten times a second."""
        machine = self.machine
        if machine is None or self.ended:
            return
        if machine.phase is Phase.COMMIT and self.client.paused:
            if now < machine.deadline:
                machine.last = now
                return
        elif machine.finish_over(now):
            self._stream_done(add_done=True)
            return
        failure = machine.expired(now)
        if failure is None:
            return
        if self._started_answer:
            self._broke(failure, "router_deadline" if now >= machine.deadline else "provider_stalled")
        else:
            self._failed(failure)

    # Ends

    def _keeps_alive(self) -> bool:
        return self.request.keep_alive and not self.router.draining and not (self.request.version_10 and self.stream)

    def _head(self, content_type: bytes, keep: bool) -> bytes:
        """Head of a good answer, up to its framing."""
        machine = self.machine
        assert machine is not None and machine.candidate is not None
        candidate = machine.candidate
        if machine.attempts == 1 and candidate.tier == 0:
            told = candidate.evidence
        else:
            trail = machine.trail if machine.phase is Phase.DONE else [*machine.trail, f"{candidate.backend.name}:ok"]
            told = evidence(candidate.backend.name, candidate.tier, machine.reason, trail)
        return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%bx-request-id: %b\r\n%b%b" % (
            content_type,
            told,
            self.identity,
            passed_response_headers(self._headers),
            self._connection_header(keep),
        )

    def _error_head(self, answer: ErrorAnswer, keep: bool) -> bytes:
        machine = self.machine
        told = evidence("", 0, machine.reason, machine.trail) if machine is not None else b""
        more = b"" if answer.retry_after is None else b"retry-after: %d\r\n" % answer.retry_after
        return b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n%bx-request-id: %b\r\nx-genset-error: %b\r\n%b%b" % (
            answer.status,
            reason_phrase(answer.status),
            answer.original_type.encode("latin-1") if answer.original else b"application/json",
            told,
            self.identity,
            answer.kind.word.encode(),
            more,
            self._connection_header(keep),
        )

    def _connection_header(self, keep: bool) -> bytes:
        if not keep:
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if self.request.version_10 else b""

    def _release_upstream(self, now: float) -> None:
        connection, self._connection = self._connection, None
        self._vacate()
        if connection is None:
            return
        machine = self.machine
        assert machine is not None and machine.candidate is not None
        if not connection.reused and machine.candidate.backend.tls:
            remember_session(machine.candidate.backend, connection)
        if not connection.leave(now) and not connection.closed:
            self.router.running_out.add(connection)

    def _drop_upstream(self) -> None:
        connection, self._connection = self._connection, None
        task, self._task = self._task, None
        if connection is not None:
            connection.drop()
        if task is not None:
            task.cancel()
        self._vacate()

    def _vacate(self) -> None:
        endpoint, self._occupied = self._occupied, None
        if endpoint is not None:
            endpoint.in_flight -= 1

    def _end(self, status: int, word: str, keep: bool) -> None:
        self.ended = True
        self.router.finished(self, status, word)
        self.client.finish(keep)
        self._reader = None
