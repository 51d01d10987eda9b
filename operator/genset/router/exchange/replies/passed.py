"""A reply whose body is no JSON and no stream of tokens: sound, pictures, subtitles. It goes to the client as it comes."""

from __future__ import annotations

import re
from typing import Any, Final, final

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.dialects.openai.in_band import INSIDE
from genset.router.dialects.openai.passed_body import BodyKind, PassedEvents, fault_of_json, kind_of
from genset.router.dialects.openai.transcript import Transcript
from genset.router.dialects.openai.whole_answer import CUT, page_words
from genset.router.exchange.handler import ReplyHandler
from genset.router.exchange.replies.base import Reply
from genset.router.machine.classify import ERROR_BODY_BYTES, WORDS_CHARACTERS, classify_in_band
from genset.router.machine.decisions import FAILED_INSIDE, INTERRUPTED, Phase

_JSON: Final = b"application/json"
_UNKNOWN: Final = b"application/octet-stream"
_EVENTS: Final = b"text/event-stream"
NO_ANSWER: Final = "sent a page in place of an answer"
#: What a body may be called on its way to a client. A page of another origin is none of it.
_TYPE: Final = re.compile(
    rb"(?:audio/[\w.+-]{1,64}|image/(?!svg)[\w.+-]{1,64}|video/[\w.+-]{1,64}|text/(?:plain|vtt|event-stream)|"
    rb"application/(?:x-subrip|octet-stream|ogg))(?:\s*;\s*[\w-]{1,32}=\"?[\w.-]{1,64}\"?)*",
    re.IGNORECASE,
)


@final
class PassedReply(Reply):
    """A passed reply commits with the first byte of its body: until then another backend may be asked.

    JSON is read before it goes on, because an error may be inside a 200, and of events the first one.
    """

    __slots__ = ("_events", "_kind", "_text")

    def __init__(self, handler: ReplyHandler) -> None:
        super().__init__(handler)
        self._kind: int = BodyKind.UNKNOWN
        self._events: PassedEvents | None = None
        self._text = False  # it only began like JSON

    def transcript(self) -> Transcript | None:
        sent = Transcript()
        sent.add_special("no_text")
        return sent

    @property
    def is_passed(self) -> bool:
        return True

    @property
    def _type(self) -> bytes:
        return self.headers.get(b"content-type", b"")

    def _read(self, data: bytes) -> None:
        if not 200 <= self.status < 300:
            self._collect(data)
            return
        if self._kind == BodyKind.UNKNOWN:
            data = self._begun(data, whole=False)
        if self._kind == BodyKind.EVENTS:
            self._read_events(data)
        elif self._kind == BodyKind.PASSES:
            self._pass(data)
        elif data:
            self._collect(data)

    def _begun(self, data: bytes, *, whole: bool) -> bytes:
        """Returns all bytes so far, once they show what the body is; what was read is kept before that."""
        data = b"".join((*self._collected, data))
        self._collected.clear()
        self._kind = kind_of(data, self._type, whole=whole)
        if self._kind == BodyKind.UNKNOWN:
            self._collected.append(data)
            return b""
        if self._kind == BodyKind.EVENTS:
            self._events = PassedEvents()
        return data

    def _read_events(self, data: bytes) -> None:
        events = self._events
        assert events is not None
        events.feed(data)
        if self._handler.machine.phase >= Phase.COMMIT:
            self._pass(data)
        elif events.error is None and not events.begun:
            self._collect(data)
            return
        elif events.error is None:
            data = b"".join((*self._collected, data))
            self._collected.clear()
            self._pass(data)
        if events.error is not None:
            self._failed_inside(events.error)

    def _failed_inside(self, error: dict[str, Any]) -> None:
        """An event tells of an error; the client has got it, if it has anything."""
        handler, told = self._handler, f"{INSIDE} the stream"
        if handler.machine.phase < Phase.COMMIT:
            self._refused_inside(error, told)
        else:
            handler.broke(classify_in_band(error, told, handler.backend.target.model), FAILED_INSIDE)

    def _pass(self, data: bytes) -> None:
        if not data:
            return
        handler = self._handler
        now = handler.shared.now()
        if handler.machine.phase >= Phase.COMMIT:
            handler.machine.went_on(now)
            handler.client_answer.send_events(data)
            return
        told = _EVENTS if self._kind == BodyKind.EVENTS else self._type
        handler.client_answer.pass_body(told if _TYPE.fullmatch(told) else _UNKNOWN)
        handler.commit(self.headers, data, None, now)

    def _ended(self, verified: bool) -> None:
        handler = self._handler
        if self._kind == BodyKind.UNKNOWN and (data := self._begun(b"", whole=True)):
            self._read(data)
            if not handler.listens_to(self):
                return
        events = self._events
        if events is not None:
            events.end()
            if self._collected and events.error is None:
                self._pass(b"".join(self._collected))
                self._collected.clear()
            if events.error is not None:
                self._failed_inside(events.error)
                return
        if self._kind in (BodyKind.JSON, BodyKind.PAGE):
            self._judge()
            if not self._text or not handler.listens_to(self):
                return
        if handler.machine.phase < Phase.COMMIT:
            told = f"answered {self.status} without a body"
            handler.failed(Failure(Outcome.INVALID_RESPONSE, told, self.status))
        elif events is not None and events.cut:
            self._cut("ended its stream before its last event")
        elif verified or (events is not None and events.ended):
            handler.stream_done(add_done=False)
        else:  # nobody knows whether this was all of it
            self._cut("ended its answer with its connection, without a length")

    def _judge(self) -> None:
        handler, body = self._handler, b"".join(self._collected)
        self._collected.clear()
        fault: dict[str, Any] | str | None = NO_ANSWER
        if self._kind == BodyKind.JSON:
            try:
                fault = fault_of_json(handler.request.api, body)
            except ValueError:
                if not self._type.lower().startswith(_JSON):
                    self._text = True
                    self._kind = BodyKind.PASSES
                    self._pass(body)
                    return
                fault = CUT
        if isinstance(fault, dict):
            self._refused_inside(fault, f"{INSIDE} a 200")
        elif fault is not None:
            words = page_words(body)[:WORDS_CHARACTERS]
            handler.failed(
                Failure(Outcome.INVALID_RESPONSE, fault, self.status, body=body[:ERROR_BODY_BYTES], words=words)
            )
        else:
            self._take_whole(body)

    def _lost(self, detail: str) -> None:
        if self._handler.machine.phase < Phase.COMMIT:
            super()._lost(detail)
        elif self._events is not None and self._events.ended:
            self._handler.stream_done(add_done=False)
        else:
            self._cut(f"{detail} inside its answer")

    def _unreadable(self, failure: Failure) -> None:
        if self._handler.machine.phase >= Phase.COMMIT:
            self._handler.broke(failure, INTERRUPTED)
        else:
            super()._unreadable(failure)

    def _cut(self, detail: str) -> None:
        self._handler.broke(Failure(Outcome.INTERRUPTED, detail, self.status), INTERRUPTED)
