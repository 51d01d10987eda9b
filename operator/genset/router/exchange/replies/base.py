"""What all replies have in common: the head, content codings, bodies that are collected, errors, a lost connection."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.backends.retirement import DEPRECATION, SUNSET
from genset.router.dialects.base import Dialect
from genset.router.dialects.openai.aggregate import UNKNOWN_FORM, CannotRebuildError
from genset.router.dialects.openai.in_band import INSIDE
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.stream_reader import StreamReader
from genset.router.dialects.openai.transcript import Transcript
from genset.router.dialects.openai.whole_answer import CUT, NO_OBJECT, fault_of, page_words, usage_of
from genset.router.exchange.handler import ReplyHandler
from genset.router.http.codings import CodingError, Decoder, UnknownCodingError, is_plain
from genset.router.http.upstream import Listener
from genset.router.machine.classify import (
    ERROR_BODY_BYTES,
    WORDS_CHARACTERS,
    classify,
    classify_in_band,
    ran_out_of_time,
)
from genset.router.machine.decisions import Phase

SMALL_ANSWER_BYTES: Final = 16 * 1024  # up to here it does not count among what is held for clients
RESPONSE_BYTES: Final = 64 * 1024 * 1024  # of a response that is no stream; held until it is complete
#: Members that hold the text of an answer, of any API.
_PARTS_OF_ANSWERS: Final = (b'"choices"', b'"data"', b'"content"', b'"output"')


class Reply(Listener):
    """The upstream's answer to one attempt, as it arrives over the upstream's connection.

    `status` is 0 and `headers` are empty until its head has come. `coded`: its body has a content coding, so that no
    byte of it goes on as it is. `alive`: something has come that the sweep has not seen yet; it is cheaper to note than
    the time.
    """

    __slots__ = ("_collected", "_collected_bytes", "_decoder", "_handler", "alive", "coded", "headers", "status")

    def __init__(self, handler: ReplyHandler) -> None:
        self._handler = handler
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.coded = False
        self.alive = False
        self._decoder: Decoder | None = None
        self._collected: list[bytes] = []  # of an answer that is no stream, or of an error
        self._collected_bytes = 0

    # What the exchange asks

    @property
    def streams(self) -> bool:
        """Returns whether the upstream was asked for a stream."""
        return False

    def tokens(self) -> tuple[int, int]:
        """Returns the tokens of the prompt and of the answer, as far as this reply has told."""
        return 0, 0

    def usage_object(self) -> dict[str, Any] | None:
        """Returns the usage that a stream has told so far; None if it told none."""
        return None

    def prompt_usage(self) -> dict[str, Any] | None:
        """Returns what a stream has told of its prompt alone, before its usage; None if it told nothing."""
        return None

    @property
    def is_passed(self) -> bool:
        """Returns whether the body is no stream of tokens, so that nobody can count what it brings."""
        return False

    def progress(self) -> int | None:
        """Returns the number of tokens that have come of a stream; None of anything else."""
        return None

    def told_at(self) -> float:
        """Returns when the client last got something of this reply, in seconds of the router's clock."""
        return self._handler.machine.last

    def transcript(self) -> Transcript | None:
        """Returns what has gone to the client of a stream that nobody else had begun; None of anything else."""
        return None

    @property
    def told_usage(self) -> bool:
        """Returns whether the client got the event with the usage."""
        return False

    def finish_is_over(self) -> None:
        """A finished stream has been waited for long enough: nothing more of it came."""

    # What the upstream's connection tells

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self.status = status
        self.headers = headers
        if b"content-encoding" in headers:
            self.coded = not is_plain(headers[b"content-encoding"])
        if SUNSET in headers or DEPRECATION in headers:
            self._handler.backend.learned.ends(headers)
        if 200 <= status < 300:
            self._handler.machine.head()
            self._begins(self._handler.request.spoken.dialect)

    def on_body(self, data: bytes) -> None:
        if self.coded:
            self._decode(data)
        else:
            self._read(data)

    def on_end(self, verified: bool) -> None:
        if 200 <= self.status < 300:
            self._ended(verified)
        else:
            self._refused()

    def on_upstream_lost(self, detail: str, *, stale: bool) -> None:
        if not self._handler.connection_lost(stale=stale):
            self._lost(detail)

    # What the kinds of replies do in their own way

    def _begins(self, dialect: Dialect | None) -> None:
        """A head with a good status has come. `dialect`: what the body is written in, if not in OpenAI's format."""

    @abstractmethod
    def _read(self, data: bytes) -> None:
        """A part of the body has come, without its content coding."""

    @abstractmethod
    def _ended(self, verified: bool) -> None:
        """The body of a good answer is at its end. `verified`: and not only because its connection is."""

    def _take_whole(self, body: bytes) -> None:
        """The body is a whole answer, and a good one: it goes to the client as it came."""
        handler = self._handler
        now = handler.shared.now()
        handler.record.whole_came(now)
        handler.answer(self.headers, body, usage_of(body), now)

    def _is_stream_unasked(self, body: bytes, verified: bool) -> bool:
        """Returns whether a body that is no whole answer was an event stream that nobody asked for, and is dealt with."""
        return False

    def _note_life(self) -> None:
        """Something came that is no token. There is no deadline for the first token of what was not asked for as a stream."""

    def _lost(self, detail: str) -> None:
        """The connection is lost, and not before the request was heard."""
        if self.status and not 200 <= self.status < 300:
            self._refused()
        elif self.status:
            failure = Failure(Outcome.INTERRUPTED, f"{detail} inside its answer", self.status)
            self._handler.failed(failure)
        else:
            self._handler.failed(Failure(Outcome.UNREACHABLE, f"{detail} before it answered"))

    # Content codings

    def _decode(self, data: bytes) -> None:
        """A part of a body has come that is coded, although nobody asked for that."""
        self._note_life()
        try:
            if self._decoder is None:
                self._decoder = Decoder(self.headers[b"content-encoding"])
            for piece in self._decoder.pieces(data):
                self._read(piece)
                if not self._handler.listens_to(self):
                    break
        except UnknownCodingError as unknown:
            self._cannot_decode(f"sent its answer {unknown} unasked")
        except CodingError as problem:
            self._cannot_decode(f"sent an answer {problem}")

    def _cannot_decode(self, detail: str) -> None:
        if 200 <= self.status < 300:
            self._unreadable(Failure(Outcome.INVALID_RESPONSE, detail, self.status))
        else:
            self._refused()  # judged by its status, and by as much of its body as could be read

    def _unreadable(self, failure: Failure) -> None:
        """The rest of a good answer cannot be read."""
        self._handler.failed(failure)

    # Answers that are no stream

    def _collect(self, data: bytes) -> None:
        """A part of a body has come that is judged when all of it is here."""
        handler = self._handler
        self._collected.append(data)
        self._collected_bytes += len(data)
        size = self._collected_bytes
        if size > SMALL_ANSWER_BYTES and not handler.client_answer.client.collects(size):
            return
        if not 200 <= self.status < 300:
            if size > ERROR_BODY_BYTES:
                self._refused()
        elif size > RESPONSE_BYTES:
            told = f"sent an answer of more than {RESPONSE_BYTES} bytes"
            handler.failed(Failure(Outcome.INVALID_RESPONSE, told, 200))
        else:
            self._note_life()

    def _whole(self, verified: bool) -> None:
        """What was collected is at its end: a whole answer, or something that only looks like one."""
        handler = self._handler
        body = b"".join(self._collected)
        self._collected.clear()
        if not body:
            detail = f"answered {self.status} without a body"
            handler.failed(Failure(Outcome.INVALID_RESPONSE, detail, self.status))
            return
        dialect = handler.request.spoken.dialect
        if dialect is not None and not self.streams:  # of a stream, each byte was translated as it came
            try:
                body = dialect.answer(handler.request.api, body, int(handler.shared.wall()))
            except ValueError as problem:
                self._no_answer(body, str(problem))
                return
        bad_finishes = handler.backend.target.provider.bad_finishes
        fault = fault_of(body, verified, bad_finishes, part=handler.request.api.part)
        if fault is None:
            self._take_whole(body)
        elif self._is_stream_unasked(body, verified):
            pass
        elif isinstance(fault, dict):
            self._refused_inside(fault, f"{INSIDE} a 200")
        else:
            words = page_words(body)[:WORDS_CHARACTERS]
            handler.failed(Failure(Outcome.INVALID_RESPONSE, fault, 200, body=_excerpt(body), words=words))

    def _no_answer(self, body: bytes, problem: str) -> None:
        """The body of a 200 is no answer in the API that the backend speaks; `problem` says why, unless it does so itself."""
        fault = fault_of(body, False)
        if isinstance(fault, dict):
            self._refused_inside(fault, f"{INSIDE} a 200")
            return
        told = fault if fault in (NO_OBJECT, CUT) else f"sent no answer: {problem}"
        words = page_words(body)[:WORDS_CHARACTERS]
        failure = Failure(Outcome.INVALID_RESPONSE, told, self.status, body=_excerpt(body), words=words)
        self._handler.failed(failure)

    def _answer_rebuilt(self, reader: Rebuild) -> None:
        """The whole answer, rebuilt from a stream that is complete, goes to the client."""
        handler = self._handler
        try:
            body = reader.answer()
        except CannotRebuildError as problem:
            handler.failed(unusable(str(problem)))
        else:
            handler.answer(self.headers, body, counted(reader), handler.shared.now())

    # Refusals

    def _refused(self) -> None:
        """The answer's status is that of an error."""
        handler = self._handler
        now, target = handler.shared.now(), handler.backend.target
        body, dialect = b"".join(self._collected), handler.request.spoken.dialect
        failure = classify(
            self.status,
            self.headers,
            body if dialect is None else dialect.error(self.status, body),
            target.model,
            wall=handler.shared.wall(),
            may_wait=handler.machine.may_wait(now),
        )
        if ran_out_of_time(self.status, self.headers):
            failure = handler.machine.out_of_time(failure, now)
        handler.refused(failure)

    def _refused_inside(self, error: dict[str, Any], detail: str) -> None:
        """An error inside a 200, before the first token, is treated as one with a status."""
        self._handler.refused(classify_in_band(error, detail, self._handler.backend.target.model))

    def _failed_unbegun(self, reader: StreamReader) -> None:
        """An event stream failed of which the client has got nothing."""
        handler = self._handler
        if reader.error is None:
            handler.failed(unusable(reader.fault))
        elif handler.machine.phase < Phase.COMMIT:
            self._refused_inside(reader.error, reader.fault)
        else:
            handler.failed(classify_in_band(reader.error, reader.fault, handler.backend.target.model))


def counted(reader: StreamReader) -> tuple[int, int]:
    """Returns the tokens of the prompt and of the answer: the upstream's own numbers, or what came."""
    return reader.usage or (0, reader.tokens())


def unusable(fault: str) -> Failure:
    """The failure of a stream that is no answer. One that only cannot be rebuilt is no evidence against the server."""
    if fault == UNKNOWN_FORM:
        return Failure(Outcome.UNSUPPORTED, fault, 502)
    return Failure(Outcome.INVALID_RESPONSE, fault, 200)


def _excerpt(body: bytes) -> bytes:
    """The beginning of what came instead of an answer, for `/-/state`; nothing of what may hold an answer's text."""
    return b"" if any(part in body for part in _PARTS_OF_ANSWERS) else body[:ERROR_BODY_BYTES]
