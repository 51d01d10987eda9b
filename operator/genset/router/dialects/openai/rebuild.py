"""Reads a stream that the client never sees, and rebuilds the whole answer from it in the same pass. Pure.

Says what StreamReader says of a stream (opened, finished, done, failed), by the same rules; but as nothing is forwarded,
every event is understood: parsed once, or, where it is like the one before it but for its text, not at all.
"""

from __future__ import annotations

from typing import Any, Final, final

import orjson

from genset.router.dialects.openai.aggregate import UNKNOWN_FORM, Aggregator, CannotRebuildError
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.events import event_end, index_of
from genset.router.dialects.openai.shortcuts.frame import FINISH, OPENING, TEXT
from genset.router.dialects.openai.shortcuts.frames import Frames
from genset.router.dialects.openai.shortcuts.template import decode, is_exact, learn
from genset.router.dialects.openai.stream_reader import NO_JSON, ONLY, StreamReader
from genset.router.dialects.openai.transcript import payload_of
from genset.router.dialects.tolerant import has_long_number, loads_slowly

_NEWLINE: Final = ord("\n")
_TOKEN: Final = b"token"  # stands for events that let the answer begin; nothing is forwarded


@final
class Rebuild(StreamReader):
    """A StreamReader whose `feed` tells by a value that is true that tokens came; `answer` as the Aggregator's."""

    __slots__ = ("_aggregator", "_api", "_index", "_key", "_raw", "_tokens", "_unread")

    def __init__(
        self,
        api: Api,
        *,
        choices: int = 1,
        bad_finishes: frozenset[str] = frozenset(),
        frames: Frames | None = None,
        shortcuts: bool = True,
    ) -> None:
        super().__init__(choices=choices, bad_finishes=bad_finishes, frames=frames, shortcuts=shortcuts)
        self._api = api
        self._aggregator: Aggregator | None = None  # few answers leave the frame of earlier ones
        self._raw: list[bytes] = []  # texts of events that were alike, as they stood in their JSON
        self._key = ""  # of these texts
        self._index = 0  # of their choice
        self._tokens = 0
        self._unread: list[bytes] = []  # events that the frame knew: the aggregator has not seen them

    def answer(self) -> bytes:
        """The body of the whole answer. Raises CannotRebuildError."""
        if self._framed is not None:
            if self._framed.complete:
                return self._framed.answer(b"".join(self._raw))
            self._leave_frame()
        self._flush()
        if self.failed and not self.finished:  # what comes behind a finished answer is no part of it
            raise CannotRebuildError(self.fault)
        answer = self._aggregated().answer()
        if self._course is not None and self._frames is not None:
            self._frames.learn(self._course, answer)
        return answer

    def tokens(self) -> int:
        return self._tokens

    def end(self, verified: bool = True) -> bytes:
        if self._framed is None:
            self._flush()
        return super().end(verified)

    def _events(self, data: bytes) -> bytes:
        progress = False  # comments are none
        position, size = 0, len(data)
        while position < size:
            if self._template is not None:
                end, count, texts = self._template.run(data, position)
                if count:
                    position, progress, self.opened = end, True, True
                    self._tokens += count
                    self._raw.append(texts)
                    continue
            if data[position] == _NEWLINE:  # more than one blank line between events
                position += 1
                continue
            end = event_end(data, position)
            event = data[position:end]
            position = end + 2
            if self._raw and self._framed is None:
                self._flush()
                if self.failed:
                    break
            if self._one(event):
                progress = True
            if self.failed or self.done:
                break
        return _TOKEN if progress and self.opened else b""

    def _aggregated(self) -> Aggregator:
        if self._aggregator is None:
            self._aggregator = Aggregator(self._api)
        return self._aggregator

    def _known(self, part: int, event: bytes) -> bytes:
        framed = self._framed
        assert framed is not None
        if part == OPENING:
            self._key, self._index = framed.template.key, 0
        elif part == TEXT:
            self.opened = True
            self._tokens += 1
            self._raw.append(framed.text)
            return _TOKEN
        elif part == FINISH:
            if not self._raw or not is_exact(self._raw):
                self._leave_frame()
                return b"" if self.failed else self._event(event)
            self._closed = ONLY
            self.finished = True
            self._template = None
        else:
            self.usage = framed.usage
        self._unread.append(event)
        return _TOKEN

    def _leave_frame(self) -> None:
        super()._leave_frame()
        for event in self._unread:
            self._aggregated().add(orjson.loads(event[6:]))
            self._flush()  # the texts came after the opening, which is the first of them
        self._unread.clear()

    def _chunk(self, chunk: dict[str, Any], event: bytes) -> bytes:
        self._template = None  # what is like an older event may still differ from the last one
        choices = chunk.get("choices")
        self._take_usage(chunk)
        closing, token = self._take_choices(choices if isinstance(choices, list) else [])
        if self.failed:
            return b""
        opened = self.opened = self.opened or closing or token
        if has_long_number(event):
            chunk = _exact(event, chunk)
        if not self._aggregated().add(chunk):
            return self._fail(UNKNOWN_FORM)
        if opened and choices:
            self._tokens += token
            if not closing and self._shortcuts:
                self._alike(event, chunk)
        return _TOKEN if opened else b""

    def _alike(self, event: bytes, chunk: dict[str, Any]) -> None:
        """What the following events may have in common with this one; ever more rarely looked for while none has."""
        self._unlike += 1
        if self._unlike & (self._unlike - 1) or _NEWLINE in event:
            return
        template = learn(event + b"\n\n", chunk)
        if template is not None:
            self._template, self._key = template, template.key
            self._index = index_of(chunk["choices"][0]) or 0

    def _flush(self) -> None:
        """Puts the texts of events that were alike into the answer."""
        raw = self._raw
        if not raw:
            return
        self._unlike = 0
        text = decode(raw)
        raw.clear()
        if text is None:
            self._fail(NO_JSON)
            self.finished = False  # this was a part of the answer
        else:
            self._aggregated().add_text(self._index, self._key, text)

    def _keep(self, block: bytes) -> None:
        """Nothing is forwarded."""


def _exact(event: bytes, chunk: dict[str, Any]) -> dict[str, Any]:
    """The chunk with its integers as they were sent, where a double would say something else."""
    try:
        exact: dict[str, Any] = loads_slowly(payload_of(event))
    except ValueError:  # nested deeper than Python's own reader goes
        return chunk
    return exact
