"""Reads a stream that goes on to the client: holds it back until it is an answer, then lets whole events pass.

Everything up to the first token is held back (PRECOMMIT); from then on whole events pass whose outside can be JSON (COMMIT). Such
an event costs a few byte searches and no parse: only what `is_suspicious` finds in it sends it through JSON. Pure.
"""

from __future__ import annotations

from typing import Any, Final, final

import orjson

from genset.router.dialects.openai.events import DATA, is_ordinary, is_suspicious
from genset.router.dialects.openai.kept import FOLD_BYTES, Kept
from genset.router.dialects.openai.shortcuts.frame import COUNTS, FINISH, OPENING, Framed
from genset.router.dialects.openai.shortcuts.frames import Frames
from genset.router.dialects.openai.shortcuts.template import is_plain, learn
from genset.router.dialects.openai.stream_reader import HOLD_BYTES, NO_TOKEN, RUNNING, StreamReader
from genset.router.dialects.openai.transcript import Transcript
from genset.router.framing import SIZES

FOLD_TEXTS: Final = 128  # pieces of text kept apart

_LEAST_EVENT: Final = len(DATA) + 3
# How a chunk of a given length, its own framing included, must begin if it holds one event: its size in hexadecimal.
_SIZE_LINES: Final = {len(line) + size + 2: line for line, size in SIZES.items() if size >= _LEAST_EVENT}
_CLOSE: Final = ord("}")
_NEWLINE: Final = ord("\n")


@final
class Forward(StreamReader):
    """A Forward is a StreamReader whose `feed` returns what the client gets, byte for byte.

    `told_usage`: the event with the usage is among what the client got.
    """

    __slots__ = ("_fast", "_hide_usage", "_kept", "told_usage")

    def __init__(
        self,
        *,
        hide_usage: bool,
        choices: int = 1,
        bad_finishes: frozenset[str] = frozenset(),
        frames: Frames | None = None,
        shortcuts: bool = True,
    ) -> None:
        """`hide_usage`: the client did not ask for the event with the usage. The others are those of StreamReader."""
        super().__init__(choices=choices, bad_finishes=bad_finishes, frames=frames, shortcuts=shortcuts)
        self._hide_usage = hide_usage
        self._fast = False  # ordinary events of the only choice pass without a parse
        self._kept = Kept()  # the texts of the template are newer
        self.told_usage = False

    def passes(self, data: bytes) -> bool:
        """Returns whether these bytes are whole HTTP/1.1 chunks (RFC 9112, 7.1), each with one ordinary event and nothing else.

        Then they may go on to the client as they are: no parse, no copy, no new chunk around them. False changes nothing, and the
        bytes take the way through the HTTP parser and `feed`, which decide the same with more care.
        """
        if not self._fast or self._buffer.size:
            return False
        size = len(data)
        line = _SIZE_LINES.get(size)
        if line is None or not data.startswith(line):
            return self._several_pass(data)
        start, template = len(line), self._template
        if template is not None:
            begin = start + len(template.prefix)
            end = size - len(template.end_of_chunk)
            # Compiled, a slice is compared in a quarter of the time that `startswith` takes from a position on.
            if begin < end and data[start:begin] == template.prefix and data.endswith(template.end_of_chunk):
                text = data[begin:end]
                if is_plain(text):
                    texts = template.texts
                    texts.append(text)
                    if len(texts) >= FOLD_TEXTS:
                        self.fold()
                    return True
        event = data[start:-2]
        if not data.endswith(b"\r\n") or not is_ordinary(event):
            return False
        self._keep(event)
        if self._likeness.is_due():
            self._learn(event)
        return True

    def _several_pass(self, data: bytes) -> bool:
        """Returns whether these bytes are several such chunks, all with events like the template."""
        template = self._template
        if template is None or not data:
            return False
        prefix, suffix = template.prefix, template.end_of_chunk
        texts = []
        position, size = 0, len(data)
        while position < size:
            start = data.find(_NEWLINE, position, position + 8) + 1
            length = SIZES.get(data[position:start]) if start else None
            if length is None:
                return False
            begin = start + len(prefix)
            end = start + length + 2 - len(suffix)
            if begin >= end or data[start:begin] != prefix or data[end : end + len(suffix)] != suffix:
                return False
            text = data[begin:end]
            if not is_plain(text):
                return False
            texts.append(text)
            position = end + len(suffix)
        template.texts += texts
        if len(template.texts) >= FOLD_TEXTS:
            self.fold()
        return True

    def _learn(self, event: bytes) -> None:
        """Takes a template from an event that was unlike the last one."""
        try:
            template = learn(event, orjson.loads(event[5:]))
        except orjson.JSONDecodeError:
            return
        if template is not None:
            assert self._template is None or not self._template.texts, "nobody would ask the old one for its texts"
            self._template = template

    def _events(self, data: bytes) -> bytes:
        size = len(data)
        out: list[bytes] | None = None
        start = position = 0
        while position < size:
            if data[position] == _NEWLINE:  # more than one blank line between events
                if out is None:
                    out = self._kept.pending = []
                out.append(data[start:position])
                start = position = position + 1
                continue
            if self._fast and self._template is not None:
                end, count, _ = self._template.run(data, position)
                if count:
                    position = end
                    continue
            end = data.find(b"\n", position)
            if data[end + 1] != _NEWLINE:  # an event of several lines
                end = data.find(b"\n\n", position)
            elif (
                self._fast
                and data[end - 1] == _CLOSE
                and data[position : position + len(DATA)] == DATA
                and not is_suspicious(data, position, end)
            ):
                position = end + 2
                continue
            if out is None:
                out = self._kept.pending = []
            out.append(data[start:position])
            out.append(self._one(data[position:end]))
            start = position = end + 2
            if self._ending is not RUNNING:
                start = size  # what comes behind the end goes nowhere
                break
        if out is None:
            return data
        if start < size:
            out.append(data[start:size])
        self._kept.pending = None
        return b"".join(out)

    def _chunk(self, chunk: dict[str, Any], event: bytes) -> bytes:
        choices = chunk.get("choices")
        choices = choices if isinstance(choices, list) else []
        self._take_usage(chunk)
        if not choices and isinstance(chunk.get("usage"), dict):
            if self._hide_usage:
                return b""
            self.told_usage = True
        closing, token = self._choices.take(choices)
        if self._choices.any_closed:  # a server that writes on is read as before
            self._fast = self.opened and self._choices.is_single and not self._choices.finished
        opens = (closing or token) and not self.opened
        out = self._release(event, closing or token)
        if opens and self._fast and self._likeness.shortcuts and _NEWLINE not in event:
            self._template = learn(event + b"\n\n", chunk)
        return out

    def _known(self, framed: Framed, part: int, event: bytes) -> bytes:
        if part == FINISH:
            self._choices.close_first()
            self._fast = False
        elif part == COUNTS:
            self.usage, self.usage_object = framed.usage, framed.usage_object
            if self._hide_usage:
                return b""
            self.told_usage = True
        return self._release(event, part != OPENING)

    def _release(self, event: bytes, token: bool) -> bytes:
        """Returns what may go on: nothing before the first token, and then all that was held back."""
        whole = event + b"\n\n"
        if self.opened:
            return whole
        kept = self._kept
        kept.hold(whole)
        if not token:
            if kept.held_size > HOLD_BYTES:
                self._fail(NO_TOKEN)
            return b""
        self.opened = True
        self._fast = self._choices.is_single and not self._choices.finished
        return kept.release()

    def _end_mark(self, event: bytes) -> bytes:
        out = super()._end_mark(event)
        if self._ending.done:
            self._fast = (
                False  # nothing passes behind the end, also of a server that has written on behind a finish_reason
            )
            self._likeness.learn(b"")
        return out

    def _fail(self, fault: str, error: dict[str, Any] | None = None) -> bytes:
        self._fast = False
        return super()._fail(fault, error)

    def _finished_late(self) -> bool:
        """Returns whether the last event holds a finish_reason behind one that is none, which `is_suspicious` did not see."""
        if not self.opened or not self._choices.is_single:
            return False
        return self._kept.finishes(texts_follow=self._texts_are_newest())

    def tokens(self) -> int:
        return self.fold().tokens

    def fold(self) -> Transcript:
        """Returns everything forwarded so far, as text."""
        transcript = self._kept.fold()
        template = self._template
        if template is not None and template.texts:
            self._likeness.helped()
            transcript.add_run(template.key, template.texts)
            template.texts.clear()
        return transcript

    def let_go(self) -> None:
        """Counts the events that were forwarded, because a splice keeps their text."""
        self._kept.let_go()

    def _texts_are_newest(self) -> bool:
        return self._template is not None and bool(self._template.texts)

    def _keep(self, block: bytes) -> None:
        if self._texts_are_newest():
            self.fold()
        kept = self._kept
        kept.add(block)
        if kept.size >= FOLD_BYTES:
            self.fold()
