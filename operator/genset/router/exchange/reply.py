"""The answer of one attempt as it arrives: what it is (stream, whole body, error), and when it is good, bad or over.

Listens to an upstream connection and tells the exchange in its words. Everything runs in callbacks; a chunk of a
running stream costs `forward` and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.continuation.splice import Splice
from genset.router.dialects.openai.aggregate import UNKNOWN_FORM, CannotRebuildError
from genset.router.dialects.openai.events import BYTE_ORDER_MARK, begins_stream
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.in_band import INSIDE
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.stream_reader import StreamReader
from genset.router.dialects.openai.unrolled import unrolled
from genset.router.dialects.openai.whole_answer import fault_of, page_words, usage_of
from genset.router.http.codings import CodingError, Decoder, UnknownCodingError, is_plain
from genset.router.http.upstream import Listener
from genset.router.machine.classify import ERROR_BODY_BYTES, WORDS_CHARACTERS, classify, classify_in_band
from genset.router.machine.decisions import Phase

if TYPE_CHECKING:
    from genset.router.exchange.exchange import Exchange

_OF_LIMITS: Final = (Outcome.CONTEXT_EXCEEDED, Outcome.REJECTED, Outcome.UNSUPPORTED)  # may be those of max_tokens
SMALL_ANSWER_BYTES: Final = 16 * 1024  # up to here it does not count among what is held for clients
RESPONSE_BYTES: Final = 64 * 1024 * 1024  # of a response that is no stream; held until it is complete


class Reply(Listener):
    """`reader` is None where no stream was asked for; `aggregator` (the reader itself) where the client wants the stream;
    `splice` where nothing is continued. `told_at`: when the client last got something of a continued answer."""

    __slots__ = (
        "_collected",
        "_collected_bytes",
        "_decoder",
        "_exchange",
        "_is_stream",
        "_may_stream",
        "aggregator",
        "began",
        "coded",
        "head_came",
        "headers",
        "reader",
        "splice",
        "status",
        "told_at",
    )

    def __init__(
        self,
        exchange: Exchange,
        reader: StreamReader | None,
        splice: Splice | None = None,
    ) -> None:
        self.reader = reader
        self.aggregator = reader if isinstance(reader, Rebuild) else None
        self.splice = splice
        self.told_at = 0.0
        self.status = 0
        self.began = 0.0  # when the first byte of a stream's body arrived
        self.headers: dict[bytes, bytes] = {}
        self.coded = False  # the body has a content coding: it never goes on as it is
        self._decoder: Decoder | None = None
        self._exchange = exchange
        self._collected: list[bytes] = []  # body of an answer that is no stream, or of an error
        self._collected_bytes = 0
        self._is_stream = False  # what arrives is an event stream
        self._may_stream = False  # its first bytes will tell
        self.head_came = False  # a sign of life that the sweep has not seen yet: a clock costs more than it is worth

    def tokens(self) -> tuple[int, int]:
        """Prompt and completion, as far as this answer has told."""
        if self.splice is not None:
            return self.splice.tokens()
        if self.reader is None:
            return 0, 0
        return self.reader.usage or (0, self.reader.tokens())

    # What the upstream connection tells

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self.status = status
        self.headers = headers
        if b"content-encoding" in headers:
            self.coded = not is_plain(headers[b"content-encoding"])
        if 200 <= status < 300:
            machine = self._exchange.machine
            machine.head()
            self._may_stream = self.head_came = self.reader is not None

    def forward(self, chunk: bytes) -> bool:
        """A chunk of a running stream, untouched. True: it went on to the client as it is."""
        exchange, reader = self._exchange, self.reader
        if not isinstance(reader, Forward) or not reader.passes(chunk):
            return False
        exchange.machine.last = exchange.shared.now()
        exchange.client.write(chunk)
        return True

    def on_body(self, data: bytes) -> None:
        if self.coded:
            self._decode(data)
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        reader = self.reader
        if self._may_stream:
            data = self._begun(data)
            if not data:
                self._alive()
                return
        if reader is None or not self._is_stream:
            self._collect(data)
            return
        read = reader.read
        out = reader.feed(data)
        if out and not self._take(out):
            return
        if reader.failed:
            self._stream_failed(reader)
            return
        exchange = self._exchange
        if not out:
            exchange.machine.alive(exchange.shared.now())
        if reader.done:
            self._stream_done()
        elif reader.finished:
            if out or reader.read != read:  # comments are no events: they do not extend the wait
                awaits_usage = reader.usage is None and exchange.backend.target.provider.usage_option
                exchange.machine.finishing(exchange.shared.now(), awaits_usage=awaits_usage, wrote_on=reader.wrote_on)
        elif exchange.machine.phase == Phase.FINISH:
            exchange.machine.writes_on(exchange.shared.now())

    def _begun(self, data: bytes) -> bytes:
        """All bytes of the body so far, once they show what it is; none before that. The body is believed, whatever its
        content type says: gateways send streams as text/plain, and errors as text/event-stream."""
        if not self.began and self.aggregator is None:
            self.began = self._exchange.shared.now()
        if self._collected:
            data = b"".join((*self._collected, data))
        said = begins_stream(data)
        if not said:
            begun = data.removeprefix(BYTE_ORDER_MARK).lstrip()
            promised = self.headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")
            if said is None and not (promised and b"\n" in begun):
                self._collected[:] = [begun]  # blank lines before the first word may be any number
                return b""
            said = promised and begun[:1] not in (b"{", b"[", b"<")
        self._may_stream = False
        self._is_stream = said
        self._collected.clear()
        return data

    def on_end(self, verified: bool) -> None:
        reader = self.reader
        if not 200 <= self.status < 300:
            self._refused()
        elif reader is None or not self._is_stream:
            self._whole(verified and not self.coded)
        else:
            out = reader.end(verified)
            if out and not self._take(out):
                return
            if reader.failed:
                self._stream_failed(reader)
            else:
                self._stream_done(add_done=not reader.marked)

    def on_upstream_lost(self, detail: str, *, stale: bool) -> None:
        exchange = self._exchange
        phase = exchange.machine.phase
        exchange.connection_lost()
        if stale:
            exchange.reconnect()
        elif phase == Phase.FINISH and (self.reader is None or not self.reader.is_cut):
            self._stream_done(add_done=True)
        elif phase >= Phase.COMMIT:
            exchange.broke(Failure(Outcome.INTERRUPTED, detail), "provider_interrupted")
        elif self.status and not 200 <= self.status < 300:
            self._refused()
        elif self.status:
            exchange.failed(Failure(Outcome.INTERRUPTED, f"{detail} inside its answer", self.status))
        else:
            exchange.failed(Failure(Outcome.UNREACHABLE, f"{detail} before it answered"))

    def finish_is_over(self) -> None:
        """Nothing more came within the time that a finished stream is given."""
        self._stream_done(add_done=True)

    # Content codings

    def _decode(self, data: bytes) -> None:
        """A part of a body that was coded although nobody asked for that."""
        exchange = self._exchange
        self._alive()
        try:
            if self._decoder is None:
                self._decoder = Decoder(self.headers[b"content-encoding"])
            for piece in self._decoder.pieces(data):
                self._read(piece)
                if not exchange.listens_to(self):
                    break
        except UnknownCodingError as unknown:
            self._unreadable(f"sent its answer {unknown} unasked")
        except CodingError as problem:
            self._unreadable(f"sent an answer {problem}")

    def _unreadable(self, detail: str) -> None:
        exchange = self._exchange
        phase = exchange.machine.phase
        failure = Failure(Outcome.INVALID_RESPONSE, detail, self.status)
        if not 200 <= self.status < 300:
            self._refused()  # by its status, and by as much of its body as could be read
        elif phase == Phase.FINISH:
            self._stream_done(add_done=True)
        elif phase == Phase.COMMIT and self.aggregator is None:
            exchange.broke(failure, "provider_interrupted")
        else:
            exchange.failed(failure)

    def _alive(self) -> None:
        """Something came that is no token. Who was not asked for a stream has no deadline for the first one."""
        if self.reader is not None:
            self._exchange.machine.alive(self._exchange.shared.now())

    # Answers that are no stream

    def _collect(self, data: bytes) -> None:
        self._collected.append(data)
        self._collected_bytes += len(data)
        if self._collected_bytes > SMALL_ANSWER_BYTES and not self._exchange.client.collects(self._collected_bytes):
            return
        if 200 <= self.status < 300:
            if self._collected_bytes > RESPONSE_BYTES:
                self._exchange.failed(
                    Failure(Outcome.INVALID_RESPONSE, f"sent an answer of more than {RESPONSE_BYTES} bytes", 200)
                )
            else:
                self._alive()
        elif self._collected_bytes > ERROR_BODY_BYTES:
            self._refused()

    def _refused(self) -> None:
        exchange = self._exchange
        failure = classify(
            self.status,
            self.headers,
            b"".join(self._collected),
            exchange.backend.target.model,
            wall=exchange.shared.wall(),
            may_wait=exchange.machine.may_wait(exchange.shared.now()),
        )
        self._refused_with(failure)

    def _refused_inside(self, error: dict[str, Any], detail: str) -> None:
        """An error inside a 200 before the first token: no other than one with a status."""
        self._refused_with(classify_in_band(error, detail, self._exchange.backend.target.model))

    def _refused_with(self, failure: Failure) -> None:
        exchange = self._exchange
        if not (failure.outcome in _OF_LIMITS and exchange.lowers_limit(failure)):
            exchange.refused(failure)

    def _whole(self, verified: bool) -> None:
        """A complete answer, or something that only looks like one."""
        exchange = self._exchange
        body = b"".join(self._collected)
        self._collected.clear()
        if not body:
            detail = f"answered {self.status} without a body"
            exchange.failed(Failure(Outcome.INVALID_RESPONSE, detail, self.status))
            return
        fault = fault_of(body, verified, exchange.backend.target.provider.bad_finishes, part=exchange.part)
        if fault is not None and self.reader is None and begins_stream(body):
            self._unasked(body, verified)
        elif isinstance(fault, dict):
            self._refused_inside(fault, f"{INSIDE} a 200")
        elif fault is not None:
            words = page_words(body)[:WORDS_CHARACTERS]
            exchange.failed(Failure(Outcome.INVALID_RESPONSE, fault, 200, body=_excerpt(body), words=words))
        elif self.reader is not None and self.aggregator is None:
            self._unroll(body)
        else:
            exchange.record.first_token = now = exchange.shared.now()
            exchange.record.in_one_piece = True
            exchange.record.tokens = usage_of(body)
            exchange.answer(b"application/json", self.headers, body, now)

    def _unasked(self, body: bytes, verified: bool) -> None:
        """An event stream in answer to a request that asked for none: what it says as a whole."""
        reader = self._exchange.rebuilder()
        reader.feed(body)
        if not (reader.done or reader.failed):
            reader.end(verified)
        if reader.failed and not reader.finished:
            self._stream_failed(reader)
        else:
            self.reader = self.aggregator = reader
            self._stream_done()

    def _unroll(self, body: bytes) -> None:
        """A whole answer to a client that wants a stream: read as the stream that it might have been."""
        try:
            stream = unrolled(body, chat=self._exchange.record.operation == "chat")
        except ValueError:
            self._exchange.failed(Failure(Outcome.INVALID_RESPONSE, "sent an answer of an unknown form", 200))
            return
        self._collected.clear()
        self._is_stream = True
        self._read(stream)

    # Streams

    def _take(self, out: bytes) -> bool:
        """Whole events of the upstream. False: the exchange has gone on to something else."""
        exchange = self._exchange
        machine = exchange.machine
        now = exchange.shared.now()
        if self.aggregator is None and self.splice is None:
            assert self.reader is not None
            exchange.last_events = self.reader.marked
            if machine.phase >= Phase.COMMIT:
                machine.last = now
                exchange.send_events(out)
            else:
                exchange.commit(out, now)
            return True
        if machine.phase < Phase.COMMIT:
            exchange.record.first_token = exchange.record.first_token or now
            machine.committed(now)  # from here on it is a stall that ends the attempt
        else:
            machine.last = now
        if self.aggregator is not None:
            return True  # it is the reader
        reader = self.reader
        assert isinstance(reader, Forward)
        reader.let_go()
        return self._splice(out)

    def _splice(self, out: bytes) -> bool:
        exchange, splice = self._exchange, self.splice
        assert splice is not None
        new = splice.feed(out)
        if new:
            self.told_at = exchange.shared.now()
            exchange.send_events(new)
        if splice.lost:
            self._lost(splice)
        elif splice.complete:
            exchange.stream_done(add_done=True)
        else:
            return True
        return False

    def _stream_failed(self, reader: StreamReader) -> None:
        exchange = self._exchange
        # The answer itself is complete; not of a server that has written on behind a finish_reason and now tells of an error.
        if reader.finished and not (reader.wrote_on and reader.error is not None):
            self._stream_done(add_done=True)
            return
        if exchange.machine.phase >= Phase.COMMIT and self.aggregator is None:
            failure, word = Failure(Outcome.INVALID_RESPONSE, reader.fault), "provider_interrupted"
            if reader.error is not None:
                said = classify_in_band(reader.error, reader.fault)
                failure, word = replace(failure, body=said.body, words=said.words), "provider_error"
            exchange.broke(failure, word)
        elif reader.error is not None and exchange.machine.phase < Phase.COMMIT:
            self._refused_inside(reader.error, reader.fault)
        elif reader.error is not None:
            exchange.failed(classify_in_band(reader.error, reader.fault, exchange.backend.target.model))
        else:
            exchange.failed(_unusable(reader.fault))

    def _stream_done(self, add_done: bool = False) -> None:
        """The finish_reason has passed and nothing more will come: complete, with [DONE] added where it is missing."""
        exchange = self._exchange
        if self.splice is not None:
            out = self.splice.end()
            if self.splice.lost:
                self._lost(self.splice)
                return
            if out:
                exchange.send_events(out)
        if self.aggregator is None:
            exchange.stream_done(add_done)
            return
        try:
            body = self.aggregator.answer()
        except CannotRebuildError as problem:
            exchange.failed(_unusable(str(problem)))
        else:
            exchange.record.tokens = self.tokens()
            exchange.answer(b"application/json", self.headers, body, exchange.shared.now())

    def _lost(self, splice: Splice) -> None:
        """The texts do not join, which is nobody's fault."""
        self._exchange.broke(Failure(Outcome.INVALID_RESPONSE, splice.lost), "provider_interrupted", blame=False)


def _unusable(fault: str) -> Failure:
    """Of a stream that is no answer. One that only cannot be rebuilt is no evidence against the server."""
    if fault == UNKNOWN_FORM:
        return Failure(Outcome.UNSUPPORTED, fault, 502)
    return Failure(Outcome.INVALID_RESPONSE, fault, 200)


def _excerpt(body: bytes) -> bytes:
    """The beginning of what came instead of an answer, for `/-/state`. Nothing of what may hold an answer's text."""
    return b"" if b'"choices"' in body or b'"data"' in body else body[:ERROR_BODY_BYTES]
