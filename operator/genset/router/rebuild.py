"""Reads a stream that the client never sees, and rebuilds the whole answer from it in the same pass. Pure.

Says what StreamReader says of a stream (opened, finished, done, failed), by the same rules; but as nothing is forwarded,
every event is understood: parsed once, or, where it is like the one before it but for its text, not at all.
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.aggregate import Aggregator, CannotRebuildError
from genset.router.events import DONE, count_of, event_end, has_token
from genset.router.sse import HOLD_BYTES, NO_JSON, StreamReader
from genset.router.template import decode, learn
from genset.router.transcript import Transcript
from genset.router.wire.payload import Api

_NEWLINE: Final = ord("\n")
_TOKEN: Final = b"token"  # stands for events that let the answer begin; nothing is forwarded


class Rebuild(StreamReader):
    """A StreamReader whose `feed` tells by a value that is true that tokens came; `answer` as the Aggregator's."""

    __slots__ = ("_aggregator", "_index", "_key", "_raw")

    def __init__(self, api: Api, *, choices: int = 1, bad_finishes: frozenset[str] = frozenset()) -> None:
        super().__init__(hide_usage=False, choices=choices, bad_finishes=bad_finishes)
        self._aggregator = Aggregator(api)
        self._raw: list[bytes] = []  # texts of events that were alike, as they stood in their JSON
        self._key = ""  # of these texts
        self._index = 0  # of their choice

    def answer(self, usage: dict[str, int] | None = None) -> bytes:
        """The body of the whole answer. `usage` stands in for one that never came. Raises CannotRebuildError."""
        self._flush()
        if self.failed:
            raise CannotRebuildError(self.fault)
        return self._aggregator.answer(usage)

    def end(self) -> bytes:
        self._flush()
        return super().end()

    def fold(self) -> Transcript:
        """Only its count of tokens: for booking."""
        self._flush()
        return self.transcript

    def _events(self, data: bytes) -> bytes:
        progress = False  # comments are none
        position, size = 0, len(data)
        while position < size:
            if self._template is not None:
                end, count, texts = self._template.run(data, position)
                if count:
                    position, progress = end, True
                    self.transcript.tokens += count
                    self._raw.append(texts)
                    continue
            if data[position] == _NEWLINE:  # more than one blank line between events
                position += 1
                continue
            event = data[position : event_end(data, position)]
            position += len(event) + 2
            if self._raw:
                self._flush()
            if self._event(event):
                progress = True
            if self.failed or self.done:
                break
        return _TOKEN if progress and self.opened else b""

    def _chunk(self, chunk: dict[str, Any], event: bytes) -> bytes:
        self._template = None  # what is like an older event may still differ from the last one
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = (count_of(usage.get("prompt_tokens")), count_of(usage.get("completion_tokens")))
        opened, closing, token = self.opened, False, False
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                return self._fail("sent a choice that is no object")
            index = choice.get("index", 0)
            if not isinstance(index, int):
                return self._fail("sent a choice whose index is no number")
            self._seen.add(index)
            reason = choice.get("finish_reason")
            if reason is not None:
                if isinstance(reason, str) and reason in self._bad_finishes:
                    self.error = {"message": f"finish_reason {reason}", "code": reason}
                    return self._fail(f"gave up with finish_reason {reason}")
                self._closed.add(index)
                opened = closing = True
            if not token and has_token(choice):
                opened = token = True
        if closing and len(self._closed) >= self._choices and self._seen <= self._closed:
            self.finished = True
        if not opened:
            self.held_bytes += len(event)
            if self.held_bytes > HOLD_BYTES:
                return self._fail("sent no token in its first 256 KiB")
        self.opened = opened
        if not self._aggregator.add(chunk):
            return self._fail("sent an event of an unknown form")
        if opened and choices:
            self.transcript.tokens += token
            if not closing:
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
            self._index = chunk["choices"][0].get("index", 0)

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
        else:
            self._aggregator.add_text(self._index, self._key, text)

    def _end_mark(self) -> bytes:
        if self.finished or (self._closed and self._seen <= self._closed):
            self.finished = self.done = True
            return DONE
        return self._fail("ended without a finish_reason")

    def _finished_late(self) -> bool:
        return False  # every finish_reason was understood

    def _keep(self, block: bytes) -> None:
        """Nothing was forwarded."""
