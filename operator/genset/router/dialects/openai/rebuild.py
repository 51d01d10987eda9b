"""Reads a stream that the client never sees, and rebuilds the whole answer from it in the same pass.

It says of a stream what every StreamReader says, by the same rules; but as nothing is forwarded, every event is understood: it is
parsed once, or not at all if it is like the one before it but for its text. Pure.
"""

from __future__ import annotations

from typing import Any, Final, final

import orjson

from genset.router.dialects.openai.aggregate import UNKNOWN_FORM, Aggregator, CannotRebuildError
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.events import BadEventError, event_end
from genset.router.dialects.openai.shortcuts.frame import FINISH, OPENING, TEXT, Framed
from genset.router.dialects.openai.shortcuts.frames import Frames
from genset.router.dialects.openai.shortcuts.template import Template, decode, is_exact, learn
from genset.router.dialects.openai.stream_reader import NO_JSON, RUNNING, StreamReader
from genset.router.dialects.openai.transcript import payload_of
from genset.router.dialects.tolerant import has_long_number, loads_slowly

_NEWLINE: Final = ord("\n")
_TOKEN: Final = b"token"  # stands for events that let the answer begin; nothing is forwarded


@final
class Rebuild(StreamReader):
    """A Rebuild is a StreamReader that makes a whole answer of its stream.

    `feed` returns nothing that could go on: it is true if tokens came, and false if none did.
    """

    __slots__ = ("_aggregator", "_api", "_tokens")

    def __init__(
        self,
        api: Api,
        *,
        choices: int = 1,
        bad_finishes: frozenset[str] = frozenset(),
        frames: Frames | None = None,
        shortcuts: bool = True,
    ) -> None:
        """`api` that was asked; the others are those of StreamReader."""
        super().__init__(choices=choices, bad_finishes=bad_finishes, frames=frames, shortcuts=shortcuts)
        self._api = api
        self._aggregator: Aggregator | None = None  # few answers leave the frame of earlier ones
        self._tokens = 0

    def answer(self) -> bytes:
        """Returns the body of the whole answer. Raises CannotRebuildError."""
        framed = self._likeness.framed
        if framed is not None:
            if framed.complete:
                return framed.answer()
            self._leave(framed)
        self._flush(self._template)
        if self.failed and not self.finished:  # what comes behind a finished answer is no part of it
            raise CannotRebuildError(self.fault)
        answer = self._aggregated().answer()
        self._likeness.learn(answer)
        return answer

    def tokens(self) -> int:
        return self._tokens

    def end(self, verified: bool = True) -> bytes:
        if self._likeness.framed is None:
            self._flush(self._template)
        return super().end(verified)

    def _events(self, data: bytes) -> bytes:
        likeness = self._likeness
        progress = False  # comments are none
        position, size = 0, len(data)
        while position < size:
            template = self._template
            if template is not None:
                end, count, texts = template.run(data, position)
                if count:
                    position, progress, self.opened = end, True, True
                    self._tokens += count
                    template.texts.append(texts)
                    continue
            if data[position] == _NEWLINE:  # more than one blank line between events
                position += 1
                continue
            end = event_end(data, position)
            event = data[position:end]
            position = end + 2
            if likeness.framed is None:
                self._flush(template)
                if self._ending is not RUNNING:
                    break
            if self._one(event):
                progress = True
            if self._ending is not RUNNING:
                break
        return _TOKEN if progress and self.opened else b""

    def _aggregated(self) -> Aggregator:
        if self._aggregator is None:
            self._aggregator = Aggregator(self._api)
        return self._aggregator

    def _known(self, framed: Framed, part: int, event: bytes) -> bytes:
        if part == TEXT:
            self.opened = True
            self._tokens += 1
            framed.template.texts.append(framed.text)
        elif part == FINISH:
            if not framed.template.texts or not is_exact(framed.template.texts):
                self._leave(framed)
                return self._unknown(event) if self._ending is RUNNING else b""
            self._choices.close_first()
            self._template = None
        elif part != OPENING:
            self.usage, self.usage_object = framed.usage, framed.usage_object
        return _TOKEN

    def _leave(self, framed: Framed) -> None:
        """Takes note that the answer is unlike earlier ones, and aggregates the events that the frame knew of it."""
        super()._leave(framed)
        for event in framed.events(finished=self._choices.finished):
            self._aggregated().add(orjson.loads(event[6:]))
            self._flush(framed.template)  # the texts came after the opening, which is the first of them

    def _chunk(self, chunk: dict[str, Any], event: bytes) -> bytes:
        self._template = None  # what is like an older event may still differ from the last one
        choices = chunk.get("choices")
        self._take_usage(chunk)
        closing, token = self._choices.take(choices if isinstance(choices, list) else [])
        opened = self.opened = self.opened or closing or token
        if has_long_number(event):
            chunk = _exact(event, chunk)
        if not self._aggregated().add(chunk):
            raise BadEventError(UNKNOWN_FORM)
        if opened and choices:
            self._tokens += token
            if not closing and self._likeness.is_due() and _NEWLINE not in event:
                self._template = learn(event + b"\n\n", chunk)
        return _TOKEN if opened else b""

    def _flush(self, template: Template | None) -> None:
        """Puts the texts of events that were like the template into the answer."""
        if template is None or not template.texts:
            return
        self._likeness.helped()
        text = decode(template.texts)
        template.texts.clear()
        if text is None:
            self._fail(NO_JSON)
            self._choices.reopen()  # this was a part of the answer
        else:
            self._aggregated().add_text(template.index, template.key, text)

    def _keep(self, block: bytes) -> None:
        """Nothing is forwarded."""


def _exact(event: bytes, chunk: dict[str, Any]) -> dict[str, Any]:
    """Returns the chunk with integers beyond 64 bits as they were sent."""
    try:
        exact: dict[str, Any] = loads_slowly(payload_of(event))
    except ValueError:  # nested deeper than Python's own reader goes
        return chunk
    return exact
