"""Reads an upstream's event stream: which whole events there are, and what they mean for the answer.

This is what two readers have in common: `forward`, whose events go on to the client, and `rebuild`, whose events the client
never sees. Bytes in, bytes out; any cutting of the same bytes into pieces yields the same output, which a property test holds.
Pure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, final

import orjson

from genset.router.dialects.openai.choices import Choices
from genset.router.dialects.openai.event_buffer import EventBuffer
from genset.router.dialects.openai.events import (
    DATA,
    DONE,
    BadEventError,
    counts_of,
    fields_of,
    holds_content,
    is_whole,
)
from genset.router.dialects.openai.in_band import INSIDE, as_error, error_in, error_of, listed_in, told_by
from genset.router.dialects.openai.shortcuts.frame import OPENING, UNKNOWN, Framed
from genset.router.dialects.openai.shortcuts.frames import Frames
from genset.router.dialects.openai.shortcuts.likeness import Likeness
from genset.router.dialects.openai.shortcuts.template import Template
from genset.router.dialects.plain_text import is_page
from genset.router.dialects.tolerant import loads_slowly

HOLD_BYTES: Final = 4 * 1024 * 1024  # held back before the first token: the ids of a long prompt, many empty deltas
EVENT_BYTES: Final = 16 * 1024 * 1024  # longest single event: an image in a delta, not a runaway
NO_JSON: Final = "sent an event that is no JSON"
CUT: Final = "ended inside an event"
IN_BAND: Final = f"{INSIDE} the stream"
NO_TOKEN: Final = "sent no token in its first 4 MiB"

_WORDS_BYTES: Final = 64 * 1024  # of an error that is no JSON object
_loads: Final = orjson.loads

_END_MARK: Final = DONE[:-2]
_CLOSE: Final = ord("}")
_NEWLINE: Final = ord("\n")


@final
class Ending:
    """An Ending says whether a stream runs on, is complete, or must not go on.

    `done`: the stream has ended, and its answer is complete; `marked`: it ended with [DONE]. `failed`: the stream must not go on;
    `fault` says why, in words, and `error` is the error object that the upstream sent inside the stream, if it sent one.
    """

    __slots__ = ("done", "error", "failed", "fault", "marked")

    def __init__(
        self, *, done: bool = False, marked: bool = False, fault: str = "", error: dict[str, Any] | None = None
    ) -> None:
        self.done = done
        self.marked = marked
        self.failed = bool(fault)
        self.fault = fault
        self.error = error


RUNNING: Final = Ending()
ENDED: Final = Ending(done=True)
MARKED: Final = Ending(done=True, marked=True)


class StreamReader(ABC):
    """A StreamReader is fed the bytes of one upstream stream, and knows after each `feed` how far its answer is.

    `opened`: the first token was seen (COMMIT). `usage`: tokens of the prompt and of the completion, if the server told them;
    `usage_object`: the object that did.
    `read` counts the events that were read one by one: once the answer is finished, all of them are.
    """

    __slots__ = (
        "_buffer",
        "_choices",
        "_ending",
        "_likeness",
        "_template",
        "_told",
        "opened",
        "read",
        "usage",
        "usage_object",
    )

    def __init__(
        self,
        *,
        choices: int = 1,
        bad_finishes: frozenset[str] = frozenset(),
        frames: Frames | None = None,
        shortcuts: bool = True,
    ) -> None:
        """`choices` that the request asked for; `bad_finishes`: finish_reasons by which the provider says that it broke off.

        `frames` of the backend's earlier answers, if this one may be like them. `shortcuts`: whether what is alike may be read
        without a parse, by these frames and by a template.
        """
        self._buffer = EventBuffer()
        self._choices = Choices(choices, bad_finishes)
        self._likeness = Likeness(frames if choices == 1 else None, shortcuts)
        self._template: Template | None = None  # of events that may be read without a parse
        self._told: dict[str, Any] | None = None  # an error that is none yet: the reason, if the stream ends too early
        self._ending = RUNNING
        self.read = 0
        self.opened = False
        self.usage: tuple[int, int] | None = None
        self.usage_object: dict[str, Any] | None = None

    @property
    def finished(self) -> bool:
        """Returns whether every choice has its finish_reason and nothing came behind it: complete, if the stream ends here."""
        return self._choices.finished

    @property
    def wrote_on(self) -> bool:
        """Returns whether something of the answer has come after a finish_reason."""
        return self._choices.wrote_on

    @property
    def done(self) -> bool:
        """Returns whether the stream has ended, and every choice that it brought has had its finish_reason."""
        return self._ending.done

    @property
    def marked(self) -> bool:
        """Returns whether [DONE] came, and went on as it was sent."""
        return self._ending.marked

    @property
    def failed(self) -> bool:
        """Returns whether the stream must not go on; `fault` says why."""
        return self._ending.failed

    @property
    def fault(self) -> str:
        """Returns why the stream must not go on, in words; "" while it may."""
        return self._ending.fault

    @property
    def error(self) -> dict[str, Any] | None:
        """The error object that the upstream sent inside its stream, if that is why it failed."""
        return self._ending.error

    @property
    def is_cut(self) -> bool:
        """Returns whether a finished answer ends inside an event that is more of it, as far as the server's ways tell."""
        return self._choices.wrote_on and self._buffer.size > 0

    def feed(self, data: bytes) -> bytes:
        """Returns whole events that may go on now; b"" while they are held back, or if none is complete."""
        if self._ending is not RUNNING:
            return b""
        block = self._buffer.take(data)
        if self._buffer.size > EVENT_BYTES:
            self._fail("sent an event without end")
        if not block:
            return b""
        out = self._events(block)
        if out and self.opened:
            self._keep(out)
        return out

    def end(self, verified: bool = True) -> bytes:
        """Takes the end of the body, and returns what may still go on; afterwards the stream is `done` or has `failed`.

        `verified`: the body ended by its own framing, and not only with its connection. Then a server that gave fewer choices
        than it was asked for meant that.
        """
        out = b""
        if self._ending is RUNNING and self._buffer.size:
            rest = self._buffer.rest()
            # Some servers leave out the blank line after the last event. A cut event never parses.
            if rest and is_whole(rest):
                out = self._one(rest)
                if out and self.opened:
                    self._keep(out)
            elif rest and self.wrote_on:
                self._fail(CUT)
        if self._ending is RUNNING:
            choices = self._choices
            if choices.finished or (verified and choices.all_at_rest) or self._finished_late():
                choices.finish()
                self._ending = ENDED
            else:
                self._ended_early()
        return out

    def _one(self, event: bytes) -> bytes:
        """Takes one event, by the frame of earlier answers or by itself, and returns what may go on of it."""
        if event == _END_MARK:
            return self._end_mark(event)
        likeness = self._likeness
        framed = likeness.framed
        try:
            if framed is not None:
                part = framed.part(event)
                if part != UNKNOWN:
                    self.read += 1
                    return self._known(framed, part, event)
                self._leave(framed)
                if self._ending is not RUNNING:  # a text that was taken for known is none
                    return b""
            elif likeness.begins(event):
                return self._begun(event)
            return self._unknown(event)
        except BadEventError as bad:
            return self._fail(bad.fault, bad.error)

    def _begun(self, event: bytes) -> bytes:
        """Takes the first event of an answer that begins like earlier ones."""
        framed = self._likeness.framed
        assert framed is not None
        self._template = framed.template
        self._choices.open_first()
        return self._known(framed, OPENING, event)

    def _leave(self, framed: Framed) -> None:
        """Takes note that the answer is unlike earlier ones after all."""
        self._likeness.leave()

    def _unknown(self, event: bytes) -> bytes:
        """Takes one event through the whole check. Raises BadEventError."""
        if event.startswith(DATA) and event[-1] == _CLOSE and _NEWLINE not in event:  # almost always
            return self._object(event[6:], event, False)
        body, named_error = fields_of(event)
        if not body:
            return b""  # keeps the upstream connection alive, not the client's: openai-python fails on empty data
        if body == b"[DONE]":
            return self._end_mark(event)
        if body[:1] != b"{" or body[-1:] != b"}":
            raise _no_object(body, named_error)
        return self._object(body, event, named_error)

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
                return self._fail(IN_BAND, error)
        return self._chunk(chunk, event)

    def _take_usage(self, chunk: dict[str, Any]) -> None:
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = counts_of(usage)
            self.usage_object = usage

    def _end_mark(self, event: bytes) -> bytes:
        """Takes [DONE]: the server's own word for the end, which is believed if its choices have had a finish_reason."""
        choices, likeness = self._choices, self._likeness
        if not (choices.finished or choices.all_closed or self._finished_late()):
            return self._ended_early()
        choices.finish()
        self._ending = MARKED
        framed = likeness.framed
        if framed is not None:
            if framed.complete:
                likeness.complete()
            else:
                self._leave(framed)
        return event + b"\n\n"

    def _ended_early(self) -> bytes:
        return self._fail("ended without a finish_reason", self._told)

    def _fail(self, fault: str, error: dict[str, Any] | None = None) -> bytes:
        """Ends the stream: nothing of it may go on. Returns what goes on."""
        self._ending = Ending(fault=fault, error=error or self._ending.error)
        return b""

    @abstractmethod
    def tokens(self) -> int:
        """Returns the tokens of the answer so far, as far as one can tell."""

    @abstractmethod
    def _events(self, data: bytes) -> bytes:
        """Takes whole events, each with its blank line, and returns what may go on of them."""

    @abstractmethod
    def _chunk(self, chunk: dict[str, Any], event: bytes) -> bytes:
        """Takes one event that is JSON and no error, and returns what may go on of it. Raises BadEventError."""

    @abstractmethod
    def _known(self, framed: Framed, part: int, event: bytes) -> bytes:
        """Takes one event that the frame knows as this part of the answer, and returns what may go on of it."""

    @abstractmethod
    def _keep(self, block: bytes) -> None:
        """Takes events that go on, once the answer has begun."""

    def _finished_late(self) -> bool:
        """Returns whether the last event holds a finish_reason that was overlooked."""
        return False


def _no_object(body: bytes, named_error: bool) -> BadEventError:
    """Returns what is wrong with an event whose data is no JSON object.

    It is an error if it is called one, or is a list of errors. Anything else but a page may be a damaged part of an answer.
    """
    error = None
    if named_error or is_page(body):
        error = error_of(body[:_WORDS_BYTES])
    elif len(body) <= _WORDS_BYTES:
        error = listed_in(body)
        named_error = error is not None
    return BadEventError(IN_BAND if named_error else "sent an event that is no JSON object", error)
