"""Reads an upstream's event stream: which whole events there are, and what they mean for the answer.

Pure: bytes in, bytes out. What both readers have in common, the one whose events go on to the client (`forward`) and
the one that the client never sees (`rebuild`): lines and events out of any pieces, every form an event may have, the
finish, the end, an error inside the stream, garbage.

Any cutting of the same bytes into chunks yields the same output (a property test holds this).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

import orjson

from genset.router.dialects.openai.events import (
    BYTE_ORDER_MARK,
    DATA,
    DONE,
    counts_of,
    has_token,
    holds_content,
    index_of,
    is_whole,
)
from genset.router.dialects.openai.in_band import INSIDE, as_error, error_in, error_of, listed_in, told_by
from genset.router.dialects.openai.shortcuts.frame import OPENING, UNKNOWN, Framed
from genset.router.dialects.openai.shortcuts.frames import LEARNED_EVENTS, Frames
from genset.router.dialects.openai.shortcuts.template import Template
from genset.router.dialects.plain_text import is_page
from genset.router.dialects.tolerant import loads_slowly

HOLD_BYTES: Final = 4 * 1024 * 1024  # held back before the first token: the ids of a long prompt, many empty deltas
EVENT_BYTES: Final = 16 * 1024 * 1024  # longest single event: an image in a delta, not a runaway
MOST_LINES: Final = 65_536  # of a single event: a line by itself takes twenty times its bytes
NO_JSON: Final = "sent an event that is no JSON"
CUT: Final = "ended inside an event"
IN_BAND: Final = f"{INSIDE} the stream"
NO_TOKEN: Final = "sent no token in its first 4 MiB"

ONLY: Final = frozenset({0})  # index of the choice where there is but one
_NONE: Final[frozenset[int]] = frozenset()
_WORDS_BYTES: Final = 64 * 1024  # of an error that is no JSON object
_loads: Final = orjson.loads

_END: Final = DONE[:-2]
_CLOSE: Final = ord("}")
# Looked for as numbers: `b"x" in data` takes ten times as long as `ord("x") in data` (it tries the number first, too).
_NEWLINE: Final = ord("\n")
_RETURN: Final = ord("\r")


class StreamReader(ABC):
    """One upstream stream. `frames`: of the backend's earlier answers, where this one may be like them. `shortcuts`: whether
    what is alike may be read without a parse, by these frames and by a template.

    Read after each `feed`: `opened` (the first token was seen: commit), `finished` (every choice has its
    finish_reason, and nothing of the answer came after it: the answer is complete if the stream ends here), `done`
    ([DONE] came, and every choice has had its finish_reason), `failed` (the stream must not go on; `fault` says why,
    `error` holds an error object the upstream sent in-band). `read` counts the events that were read one by one: once
    the answer is finished, all of them are. `wrote_on`: something of the answer has come after a finish_reason. `marked`:
    [DONE] came, and went on as it was sent.
    """

    __slots__ = (
        "_bad_finishes",
        "_begun",
        "_choices",
        "_closed",
        "_course",
        "_framed",
        "_frames",
        "_returned",
        "_seen",
        "_shortcuts",
        "_tail",
        "_tail_bytes",
        "_template",
        "_told",
        "_unlike",
        "_written_on",
        "done",
        "error",
        "failed",
        "fault",
        "finished",
        "marked",
        "opened",
        "read",
        "usage",
        "wrote_on",
    )

    def __init__(
        self,
        *,
        choices: int = 1,
        bad_finishes: frozenset[str] = frozenset(),
        frames: Frames | None = None,
        shortcuts: bool = True,
    ) -> None:
        self._choices = choices
        self._bad_finishes = bad_finishes  # finish_reasons by which a provider says that it broke off
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._returned = False  # the last byte was a CR: an LF at the beginning of the next belongs to it
        self._seen = _NONE  # choices that have come
        self._closed = _NONE  # and those that have had a finish_reason
        self._written_on = _NONE  # and of these, those that have gone on since
        self._shortcuts = shortcuts
        self._frames = frames if shortcuts and choices == 1 else None
        self._begun = False  # an event has come
        self._framed: Framed | None = None  # while every event is like that of an earlier answer
        self._course: list[bytes] | None = None  # events that were read one by one, where a frame is to be learned
        self._template: Template | None = None
        self._told: dict[str, Any] | None = (
            None  # what an event said that was none of the answer's: the reason if it ends so
        )
        self._unlike = 0  # events that were not like the template, since the last that was
        self.read = 0
        self.opened = False
        self.wrote_on = False
        self.finished = False
        self.done = False
        self.marked = False
        self.failed = False
        self.fault = ""
        self.error: dict[str, Any] | None = None
        self.usage: tuple[int, int] | None = None

    def feed(self, data: bytes) -> bytes:
        """Whole events that may be forwarded now; empty while held back, or when none is complete."""
        if self.failed or self.done:
            return b""
        if self._returned:
            self._returned = False
            data = data.removeprefix(b"\n")
        if _RETURN in data:
            # CRLF and lone CR end a line too. A raw CR cannot stand inside JSON, so this changes no payload.
            self._returned = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._tail:
            if _NEWLINE not in data:
                return self._stash(data)
            data = b"".join((*self._tail, data))
            self._tail.clear()
            self._tail_bytes = 0
        return self._whole(data)

    def end(self, verified: bool = True) -> bytes:
        """The body ended cleanly. Returns what may still be forwarded; afterwards `done` or `failed` is set.

        `verified`: and not only with its connection. Then a server that gave fewer choices than asked for meant that.
        """
        out = b""
        if not (self.failed or self.done) and self._tail:
            rest = b"".join(self._tail).strip(b"\n").removeprefix(BYTE_ORDER_MARK)
            self._tail.clear()
            # Some servers leave out the blank line after the last event. A cut event never parses.
            if rest and is_whole(rest):
                out = self._one(rest)
                if out and self.opened:
                    self._keep(out)
            elif rest and self.wrote_on:
                self._fail(CUT)
        if not (self.failed or self.done):
            if self.finished or (verified and self._all_closed()) or self._finished_late():
                self.finished = self.done = True
            else:
                self._ended_early()
        return out

    @property
    def is_cut(self) -> bool:
        """Whether a finished answer ends inside an event that is more of it, as far as the server's ways tell."""
        return self.wrote_on and bool(self._tail)

    def _stash(self, data: bytes) -> bytes:
        self._tail.append(data)
        self._tail_bytes += len(data)
        if self._tail_bytes > EVENT_BYTES:
            self._fail("sent an event without end")
        return b""

    def _whole(self, data: bytes) -> bytes:
        cut = data.rfind(b"\n\n")
        if cut < 0:
            return self._stash(data) if data else b""
        cut += 2
        if cut != len(data):
            self._stash(data[cut:])
            data = data[:cut]
        data = self._events(data)
        if data and self.opened:
            self._keep(data)
        return data

    def _one(self, event: bytes) -> bytes:
        """One event, known by the frame of earlier answers or by itself. What it returns may go on."""
        framed = self._framed
        if framed is not None:
            if event == _END:
                return self._end_mark(event)
            part = framed.part(event)
            if part != UNKNOWN:
                self.read += 1
                return self._known(part, event)
            self._leave_frame()
            if self.failed:  # a text that was taken for known is none
                return b""
        elif not self._begun:
            self._begun = True
            event = event.removeprefix(BYTE_ORDER_MARK)
            if self._frames is not None and self._begins_framed(self._frames, event):
                return self._known(OPENING, event)
        if self._course is not None and event != _END:
            self._course.append(event)
            if len(self._course) > LEARNED_EVENTS:
                self._course = None  # longer than a frame
        return self._event(event)

    def _begins_framed(self, frames: Frames, event: bytes) -> bool:
        framed = self._framed = frames.begin(event)
        if framed is None:
            if frames.curious:
                frames.curious = False
                self._course = []
            return False
        self._template = framed.template
        self._seen = ONLY
        return True

    def _leave_frame(self) -> None:
        """The answer is unlike earlier ones after all."""
        self._framed = None
        if self._frames is not None:
            self._frames.unlike()

    def _event(self, event: bytes) -> bytes:
        """One event through the whole check."""
        if event == _END:
            return self._end_mark(event)
        if event.startswith(DATA) and event[-1] == _CLOSE and _NEWLINE not in event:  # almost always
            return self._object(event[6:], event, False)
        if event.count(b"\n") > MOST_LINES:
            return self._fail("sent an event of too many lines")
        payload: list[bytes] = []
        named_error = False
        for line in event.split(b"\n"):  # fields of other names are ignored, as comments are (WHATWG HTML, 9.2.6)
            if line.startswith(b"data:"):
                payload.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(b"event:"):
                named_error = line[6:].strip() == b"error"
            elif line.startswith(b"error:"):  # llama.cpp before 2025
                payload.append(line[6:].strip())
                named_error = True
            elif not line.startswith(b":") and _is_damaged(line):
                return self._fail("sent a line that is no event")
        body = b"\n".join(payload).strip()
        if not body:
            return b""  # keeps the upstream connection alive, not the client's: openai-python fails on empty data
        if body == b"[DONE]":
            return self._end_mark(event)
        if body[:1] != b"{" or body[-1:] != b"}":
            return self._no_object(body, named_error)
        return self._object(body, event, named_error)

    def _no_object(self, body: bytes, named_error: bool) -> bytes:
        """An error if it is called one, or is a list of errors. Of anything else only a page can be no part of an answer."""
        if named_error or is_page(body):
            self.error = error_of(body[:_WORDS_BYTES])
        elif len(body) <= _WORDS_BYTES:
            self.error = listed_in(body)
            named_error = self.error is not None
        return self._fail(IN_BAND if named_error else "sent an event that is no JSON object")

    def _object(self, body: bytes, event: bytes, named_error: bool) -> bytes:
        try:
            chunk = _loads(body)
        except orjson.JSONDecodeError:
            try:
                chunk = loads_slowly(body)
            except ValueError:
                return self._fail(NO_JSON)
        self.read += 1
        choices = chunk.get("choices")
        if named_error or not choices or (chunk.get("error") and not holds_content(choices)):
            error = error_in(chunk)
            if error is None and named_error:
                error = as_error(chunk)
            elif error is None and "choices" not in chunk and "id" not in chunk:
                self._told = told_by(chunk) or self._told
            if error is not None:
                self.error = error
                return self._fail(IN_BAND)
        return self._chunk(chunk, event)

    def _take_usage(self, chunk: dict[str, Any]) -> None:
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = counts_of(usage)

    def _take_choices(self, choices: list[Any]) -> tuple[bool, bool]:
        """Whether one of them finishes, and whether one brings a part of the answer. `failed`, where one is bad.

        A finish_reason of "", 0 or false is none. What comes after a real one opens the answer again: servers have put
        "stop" into every event, or a tool call behind it.
        """
        closing = token = False
        for choice in choices:
            if not isinstance(choice, dict):
                self._fail("sent a choice that is no object")
                return closing, token
            index = choice.get("index") or 0
            if not isinstance(index, int):
                index = index_of(choice)
                if index is None:
                    self._fail("sent a choice whose index is no number")
                    return closing, token
            if index not in self._seen:
                self._seen |= {index}
            if has_token(choice):
                token = True
                if index in self._closed:
                    self.wrote_on = True
                    self._written_on |= {index}
            reason = choice.get("finish_reason")
            if reason:
                if isinstance(reason, str) and reason in self._bad_finishes:
                    said = error_in({"error": choice.get("error")})  # OpenRouter
                    self.error = said or {"message": f"finish_reason {reason}", "code": reason}
                    self._fail(f"gave up with finish_reason {reason}")
                    return closing, token
                self._closed |= {index}
                self._written_on -= {index}
                closing = True
        if self._closed:
            self.finished = len(self._closed) >= self._choices and self._seen <= self._closed and not self._written_on
        return closing, token

    def _all_closed(self) -> bool:
        """Whether each choice that has come is finished, however many were asked for."""
        return bool(self._closed) and self._seen <= self._closed and not self._written_on

    def _end_mark(self, event: bytes) -> bytes:
        """[DONE]: the server's own word for the end, which is believed of choices that have had a finish_reason."""
        if self.finished or (self._closed and self._seen <= self._closed) or self._finished_late():
            self.finished = self.done = self.marked = True
            if self._framed is not None and self._frames is not None:
                if self._framed.complete:
                    self._frames.alike()
                else:
                    self._leave_frame()
            return event + b"\n\n"
        return self._ended_early()

    def _ended_early(self) -> bytes:
        self.error = self._told
        return self._fail("ended without a finish_reason")

    def _fail(self, fault: str) -> bytes:
        self.failed = True
        self.fault = fault
        return b""

    @abstractmethod
    def tokens(self) -> int:
        """Of the answer so far, as far as one can tell."""

    @abstractmethod
    def _events(self, data: bytes) -> bytes:
        """Whole events, each with its blank line."""

    @abstractmethod
    def _chunk(self, chunk: dict[str, Any], event: bytes) -> bytes:
        """One event that is JSON and no error."""

    @abstractmethod
    def _known(self, part: int, event: bytes) -> bytes:
        """One event that the frame knows."""

    @abstractmethod
    def _keep(self, block: bytes) -> None:
        """Events that go on, once the answer has begun."""

    def _finished_late(self) -> bool:
        """Whether the last event holds a finish_reason that was overlooked."""
        return False


def _is_damaged(line: bytes) -> bool:
    """Whether a line that is no known field was one with data before its name was damaged on its way.

    Any other line is ignored, whatever stands in it (WHATWG HTML, 9.2.6). One that holds what JSON is made of, under a
    name that nobody would choose, may have been a part of the answer.
    """
    if not (b"{" in line or b"}" in line or b'"' in line):
        return False
    try:
        return not line.partition(b":")[0].decode().isprintable()
    except UnicodeDecodeError:
        return True
