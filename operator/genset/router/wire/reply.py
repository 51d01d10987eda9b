"""The answer of one attempt as it arrives: what it is (stream, whole body, error), and when it is good, bad or over.

Listens to an upstream connection and tells the exchange in its words. Everything runs in callbacks; a chunk of a
running stream costs `forward` and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from genset.router.aggregate import CannotRebuildError
from genset.router.codings import CodingError, Decoder, UnknownCodingError, is_plain
from genset.router.continuation.ask import usage_of_estimate
from genset.router.continuation.splice import Splice
from genset.router.decisions import Phase
from genset.router.events import DONE
from genset.router.forward import Forward
from genset.router.outcome import ERROR_BODY_BYTES, Failure, Outcome, classify, classify_in_band
from genset.router.rebuild import Rebuild
from genset.router.sse import StreamReader
from genset.router.whole import fault_of, usage_of

if TYPE_CHECKING:
    from genset.router.wire.exchange import Exchange

_OF_LIMITS: Final = (Outcome.CONTEXT_EXCEEDED, Outcome.REJECTED, Outcome.UNSUPPORTED)  # may be those of max_tokens
RESPONSE_BYTES: Final = 64 * 1024 * 1024  # of a response that is no stream; held until it is complete


class Reply:
    """`reader` is None where no stream was asked for; `aggregator` (the reader itself) where the client wants the stream;
    `splice` where nothing is continued."""

    __slots__ = (
        "_collected",
        "_collected_bytes",
        "_decoder",
        "_decoding",
        "_exchange",
        "_is_stream",
        "aggregator",
        "began",
        "coded",
        "headers",
        "reader",
        "splice",
        "status",
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
        self.status = 0
        self.began = 0.0  # when the first byte of a stream's body arrived
        self.headers: dict[bytes, bytes] = {}
        self.coded = False  # the body has a content coding: it never goes on as it is
        self._decoder: Decoder | None = None
        self._decoding = False  # what `on_body` gets is plain
        self._exchange = exchange
        self._collected: list[bytes] = []  # body of an answer that is no stream, or of an error
        self._collected_bytes = 0
        self._is_stream = False  # what arrives is an event stream

    def tokens(self) -> tuple[int, int]:
        """Prompt and completion, as far as this answer has told."""
        if self.splice is not None:
            return self.splice.tokens()
        if self.reader is None:
            return 0, 0
        return self.reader.usage or (0, self.reader.tokens())

    @property
    def told_usage(self) -> bool:
        """Whether the client has got a usage."""
        if self.splice is not None:
            return self.splice.told_usage
        return self.reader is not None and self.reader.usage is not None

    # What the upstream connection tells

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self.status = status
        self.headers = headers
        if b"content-encoding" in headers:
            self.coded = not is_plain(headers[b"content-encoding"])
        if 200 <= status < 300:
            machine = self._exchange.machine
            machine.head()
            machine.alive(self._exchange.router.now())
            self._is_stream = (
                self.reader is not None
                and status == 200
                and headers.get(b"content-type", b"").startswith(b"text/event-stream")
            )

    def forward(self, chunk: bytes) -> bool:
        """A chunk of a running stream, untouched. True: it went on to the client as it is."""
        exchange, reader = self._exchange, self.reader
        if not isinstance(reader, Forward) or not reader.passes(chunk):
            return False
        exchange.machine.last = exchange.router.now()
        exchange.client.write(chunk)
        return True

    def on_body(self, data: bytes) -> None:
        if self.coded and not self._decoding:
            self._decode(data)
            return
        reader = self.reader
        if reader is None or not self._is_stream:
            self._collect(data)
            return
        if not self.began:
            self.began = self._exchange.router.now()
        out = reader.feed(data)
        if out and not self._take(out):
            return
        if reader.failed:
            self._stream_failed(reader)
            return
        if not out:
            self._exchange.machine.alive(self._exchange.router.now())
        if reader.finished:
            if reader.done:
                self._stream_done()
            elif self._exchange.machine.phase == Phase.COMMIT:
                self._exchange.machine.finishing(self._exchange.router.now())

    def on_end(self, verified: bool) -> None:
        reader = self.reader
        if not 200 <= self.status < 300:
            self._refused()
        elif self.status != 200:
            self._exchange.failed(
                Failure(Outcome.INVALID_RESPONSE, f"answered {self.status} without a body", self.status)
            )
        elif reader is None or not self._is_stream:
            self._whole(verified and not self.coded)
        else:
            out = reader.end()
            if out and not self._take(out):
                return
            if reader.failed:
                self._stream_failed(reader)
            else:
                self._stream_done(add_done=DONE not in out)

    def on_upstream_lost(self, detail: str, *, stale: bool) -> None:
        exchange = self._exchange
        phase = exchange.machine.phase
        exchange.connection_lost()
        if stale:
            exchange.reconnect()
        elif phase == Phase.FINISH:
            self._stream_done(add_done=True)
        elif phase == Phase.COMMIT:
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
        self._decoding = True
        try:
            if self._decoder is None:
                self._decoder = Decoder(self.headers[b"content-encoding"])
            for piece in self._decoder.pieces(data):
                self.on_body(piece)
                if not exchange.listens_to(self):
                    break
        except UnknownCodingError as unknown:
            self._unreadable(f"sent its answer {unknown} unasked")
        except CodingError as problem:
            self._unreadable(f"sent an answer {problem}")
        self._decoding = False

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

    # Answers that are no stream

    def _collect(self, data: bytes) -> None:
        self._collected.append(data)
        self._collected_bytes += len(data)
        if 200 <= self.status < 300:
            if self._collected_bytes > RESPONSE_BYTES:
                self._exchange.failed(
                    Failure(Outcome.INVALID_RESPONSE, f"sent an answer of more than {RESPONSE_BYTES} bytes", 200)
                )
        elif self._collected_bytes > ERROR_BODY_BYTES:
            self._refused()

    def _refused(self) -> None:
        exchange = self._exchange
        backend = exchange.backend
        failure = classify(
            self.status,
            self.headers,
            b"".join(self._collected),
            backend.model,
            wall=exchange.router.wall(),
            may_wait=exchange.machine.may_wait(exchange.router.now()),
        )
        if not (failure.outcome in _OF_LIMITS and exchange.lowers_limit(failure)):
            exchange.refused(failure)

    def _whole(self, verified: bool) -> None:
        """A complete answer, or something that only looks like one."""
        exchange = self._exchange
        body = b"".join(self._collected)
        fault = fault_of(body, verified, exchange.backend.provider.bad_finishes)
        if fault is None and self.reader is not None and self.aggregator is None:
            fault = "answered a stream request with no event stream"
        if fault is None:
            exchange.first_token = exchange.router.now()
            exchange.in_one_piece = True
            exchange.tokens = usage_of(body)
            exchange.answer(b"application/json", self.headers, body)
        elif isinstance(fault, dict):
            exchange.failed(classify_in_band(fault, "sent an error inside a 200", exchange.backend.model))
        else:
            exchange.failed(Failure(Outcome.INVALID_RESPONSE, fault, 200, body=_excerpt(body)))

    # Streams

    def _take(self, out: bytes) -> bool:
        """Whole events of the upstream. False: the exchange has gone on to something else."""
        exchange = self._exchange
        machine = exchange.machine
        now = exchange.router.now()
        if self.aggregator is None and self.splice is None:
            exchange.last_events = out.endswith(DONE)
            if machine.phase == Phase.COMMIT:
                machine.last = now
                exchange.send_events(out)
            else:
                exchange.commit(out)
            return True
        if machine.phase < Phase.COMMIT:
            exchange.first_token = exchange.first_token or now
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
            exchange.send_events(new)
        if splice.lost:
            exchange.broke(Failure(Outcome.INVALID_RESPONSE, splice.lost), "provider_interrupted", blame=False)
        elif splice.complete:
            exchange.stream_done(add_done=True)
        else:
            return True
        return False

    def _stream_failed(self, reader: StreamReader) -> None:
        exchange = self._exchange
        phase = exchange.machine.phase
        if phase == Phase.FINISH or reader.finished:  # the answer itself is complete
            self._stream_done(add_done=True)
            return
        if phase == Phase.COMMIT and self.aggregator is None:
            word = "provider_error" if reader.error is not None else "provider_interrupted"
            exchange.broke(Failure(Outcome.INVALID_RESPONSE, reader.fault), word)
        elif reader.error is not None:
            exchange.failed(classify_in_band(reader.error, reader.fault, exchange.backend.model))
        else:
            exchange.failed(Failure(Outcome.INVALID_RESPONSE, reader.fault, 200))

    def _stream_done(self, add_done: bool = False) -> None:
        """The finish_reason has passed and nothing more will come: complete, with [DONE] added where it is missing."""
        exchange = self._exchange
        if self.aggregator is None:
            exchange.stream_done(add_done)
            return
        tokens = self.tokens()
        estimate = None
        if not tokens[0]:
            estimate = usage_of_estimate(exchange.machine.input_tokens, tokens[1])
        try:
            body = self.aggregator.answer(estimate)
        except CannotRebuildError as problem:
            exchange.failed(Failure(Outcome.INVALID_RESPONSE, str(problem), 200))
        else:
            exchange.tokens = tokens
            exchange.answer(b"application/json", self.headers, body)


def _excerpt(body: bytes) -> bytes:
    """The beginning of what came instead of an answer, for `/-/state`. Nothing of what may hold an answer's text."""
    return b"" if b'"choices"' in body or b'"data"' in body else body[:ERROR_BODY_BYTES]
