"""What replies have in common that were asked for as a stream: which bytes are one, and when it is good, bad or over."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.dialects.base import Dialect, StreamTranslator
from genset.router.dialects.openai.events import BYTE_ORDER_MARK, begins_stream
from genset.router.dialects.openai.stream_reader import StreamReader
from genset.router.dialects.sse import NoAnswerError
from genset.router.exchange.handler import ReplyHandler
from genset.router.exchange.replies.base import Reply, counted
from genset.router.machine.decisions import Phase


class Body:
    """What the body of a reply is, as far as its first bytes have told."""

    UNKNOWN: Final = 0
    STREAM: Final = 1
    OTHER: Final = 2  # an error, or a whole answer in place of a stream


class ReadingReply(Reply):
    """A reply whose body is read event by event.

    Its first bytes tell whether the body is an event stream, whatever its content type says: gateways send streams as
    text/plain, and errors as text/event-stream. A body that is none is collected, and may still be a whole answer.
    """

    __slots__ = ("_body", "_translator", "reader")

    def __init__(self, handler: ReplyHandler, reader: StreamReader) -> None:
        super().__init__(handler)
        self.reader = reader
        self._body = Body.OTHER
        self._translator: StreamTranslator | None = None

    @property
    def streams(self) -> bool:
        return True

    def tokens(self) -> tuple[int, int]:
        return counted(self.reader)

    def usage_object(self) -> dict[str, Any] | None:
        return self.reader.usage_object

    def prompt_usage(self) -> dict[str, Any] | None:
        return self._translator.used() if self._translator is not None else None

    def progress(self) -> int | None:
        return self.reader.tokens()

    def finish_is_over(self) -> None:
        self._done(add_done=True)

    # What the kinds do in their own way

    @abstractmethod
    def _take(self, out: bytes) -> bool:
        """Whole events have come. Returns False if the exchange has gone on to something else by that."""

    @abstractmethod
    def _done(self, *, add_done: bool) -> None:
        """The finish_reason has passed and nothing more will come. `add_done`: no [DONE] came for the client."""

    @abstractmethod
    def _cut(self, failure: Failure) -> None:
        """The answer ends before it is complete, at or after its first token."""

    @abstractmethod
    def _failed(self, reader: StreamReader) -> None:
        """The stream must not go on; the reader says why."""

    # The body

    def _begins(self, dialect: Dialect | None) -> None:
        self._body = Body.UNKNOWN
        self.alive = True
        if dialect is not None:
            self._translator = dialect.stream(self._handler.request.api, int(self._handler.shared.wall()))

    @property
    def as_sent(self) -> bool:
        """Returns whether the bytes of the body are those of its events."""
        return not self.coded and self._translator is None

    def _read(self, data: bytes) -> None:
        if self._translator is not None and 200 <= self.status < 300:
            data = self._translated(self._translator, data)
            if not data:
                return
        self._read_events(data)

    def _translated(self, translator: StreamTranslator, data: bytes | None) -> bytes:
        """What the next bytes of the body say, or its end (None); nothing if they are no answer, which has been told then."""
        try:
            out = translator.end() if data is None else translator.feed(data)
        except NoAnswerError as none:
            self._no_answer(none.body, str(none))
            return b""
        except ValueError as problem:
            self._unreadable(Failure(Outcome.INVALID_RESPONSE, f"sent no answer: {problem}", self.status))
            return b""
        if not out and data is not None:
            self._note_life()
        return out

    def _read_events(self, data: bytes) -> None:
        reader = self.reader
        if self._body == Body.UNKNOWN:
            data = self._begun(data)
            if not data:
                self._note_life()
                return
        if self._body != Body.STREAM:
            self._collect(data)
            return
        read = reader.read
        out = reader.feed(data)
        if out and not self._take(out):
            return
        if reader.failed:
            self._stream_failed()
            return
        handler = self._handler
        machine = handler.machine
        if not out:
            machine.alive(handler.shared.now())
        if reader.done:
            self._done(add_done=False)
        elif reader.finished:
            if out or reader.read != read:  # comments are no events: they do not extend the wait
                awaits_usage = reader.usage is None and handler.backend.target.provider.usage_option
                machine.finishing(handler.shared.now(), awaits_usage=awaits_usage, wrote_on=reader.wrote_on)
        elif machine.phase == Phase.FINISH:
            machine.writes_on(handler.shared.now())

    def _begun(self, data: bytes) -> bytes:
        """Returns all bytes of the body so far, once they show what it is; none before that."""
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
        self._body = Body.STREAM if said else Body.OTHER
        self._collected.clear()
        return data

    def _ended(self, verified: bool) -> None:
        if self._translator is not None:
            last = self._translated(self._translator, None)
            if last:
                self._read_events(last)
            if not self._handler.listens_to(self):
                return
        if self._body != Body.STREAM:
            self._whole(verified and not self.coded)
            return
        reader = self.reader
        out = reader.end(verified)
        if out and not self._take(out):
            return
        if reader.failed:
            self._stream_failed()
        else:
            self._done(add_done=not reader.marked)

    def _read_unrolled(self, stream: bytes) -> None:
        """A whole answer is read as the stream that it might have been."""
        self._collected.clear()
        self._body = Body.STREAM
        self._read_events(stream)

    def _note_life(self) -> None:
        self._handler.machine.alive(self._handler.shared.now())

    # Its end

    def _stream_failed(self) -> None:
        reader = self.reader
        # The answer itself is complete; but not that of a server which has written on behind a finish_reason, and now
        # tells of an error.
        if reader.finished and not (reader.wrote_on and reader.error is not None):
            self._done(add_done=True)
        else:
            self._failed(reader)

    def _lost(self, detail: str) -> None:
        phase = self._handler.machine.phase
        if phase == Phase.FINISH and not self.reader.is_cut:
            self._done(add_done=True)
        elif phase >= Phase.COMMIT:
            self._cut(Failure(Outcome.INTERRUPTED, detail))
        else:
            super()._lost(detail)

    def _unreadable(self, failure: Failure) -> None:
        phase = self._handler.machine.phase
        if phase == Phase.FINISH:
            self._done(add_done=True)
        elif phase == Phase.COMMIT:
            self._cut(failure)
        else:
            super()._unreadable(failure)
