"""Reads a stream that goes on to the client: holds it back until it is an answer, then lets whole events pass.

Everything up to the first token is held back (PRECOMMIT); then only whole events pass whose frame can be JSON (COMMIT).
After the first token an event costs a few byte searches and no parse: what `is_suspicious` finds in it is all that sends
an event through JSON. Pure.
"""

from __future__ import annotations

from typing import Any, Final, final

import orjson

from genset.router.dialects.openai.events import DATA, is_ordinary, is_suspicious
from genset.router.dialects.openai.shortcuts.frame import COUNTS, FINISH, OPENING
from genset.router.dialects.openai.shortcuts.frames import Frames
from genset.router.dialects.openai.shortcuts.template import is_plain, learn
from genset.router.dialects.openai.stream_reader import HOLD_BYTES, NO_TOKEN, ONLY, StreamReader
from genset.router.dialects.openai.transcript import Transcript

FOLD_BYTES: Final = 16 * 1024  # of forwarded events kept as they are; then they become text, a twentieth of their size
FOLD_TEXTS: Final = 128  # pieces of text kept apart

_LEAST_EVENT: Final = len(DATA) + 3
# How a chunk of a given length (frame and all) must begin if it holds one event: its size in hexadecimal, as servers write it.
_SIZE_LINES: Final = {len(b"%x" % size) + 2 + size + 2: b"%x\r\n" % size for size in range(_LEAST_EVENT, 4096)}
_SIZES: Final = {b"%x\r\n" % size: size for size in range(_LEAST_EVENT, 4096)}
_CLOSE: Final = ord("}")
_NEWLINE: Final = ord("\n")


@final
class Forward(StreamReader):
    """`feed` returns what the client gets. `hide_usage`: it did not ask for the event with the usage.
    `told_usage`: that event is among what it gets."""

    __slots__ = (
        "_fast",
        "_held",
        "_hide_usage",
        "_pending",
        "_texts",
        "_transcript",
        "held_bytes",
        "kept",
        "kept_bytes",
        "told_usage",
    )

    def __init__(
        self,
        *,
        hide_usage: bool,
        choices: int = 1,
        bad_finishes: frozenset[str] = frozenset(),
        frames: Frames | None = None,
        shortcuts: bool = True,
    ) -> None:
        super().__init__(choices=choices, bad_finishes=bad_finishes, frames=frames, shortcuts=shortcuts)
        self._hide_usage = hide_usage
        self._held: list[bytes] = []
        self.held_bytes = 0
        self._pending: list[bytes] | None = None  # what the block in work has let through so far
        self._fast = False
        self._texts: list[bytes] = []  # newer than `kept`: of forwarded events that were like the template
        self._transcript: Transcript | None = None
        self.kept: list[bytes] = []  # forwarded events that are not in the transcript yet
        self.kept_bytes = 0
        self.told_usage = False

    def passes(self, data: bytes) -> bool:
        """Whether these bytes are whole HTTP/1.1 chunks (RFC 9112, 7.1), each with one ordinary event and nothing else.

        Then they may go on to the client as they are: no parse, no copy, no new frame. False changes nothing, and the
        bytes take the way through the HTTP parser and `feed`, which decide the same with more care.
        """
        if not self._fast or self._tail:
            return False
        size = len(data)
        line = _SIZE_LINES.get(size)
        if line is None or not data.startswith(line):
            return self._several_pass(data)
        start, template = len(line), self._template
        if template is not None and data.startswith(template.prefix, start) and data.endswith(template.end_of_chunk):
            start += len(template.prefix)
            end = size - len(template.end_of_chunk)
            if start < end and is_plain(text := data[start:end]):
                self._unlike = 0
                self._texts.append(text)
                if len(self._texts) >= FOLD_TEXTS:
                    self.fold()
                return True
        event = data[len(line) : -2]
        if not data.endswith(b"\r\n") or not is_ordinary(event):
            return False
        self._keep(event)
        if self._shortcuts:
            self._learn(event)
        return True

    def _several_pass(self, data: bytes) -> bool:
        """The same for chunks that came together, all like the template."""
        if self._template is None or not data:
            return False
        prefix, suffix = self._template.prefix, self._template.end_of_chunk
        texts = []
        position, size = 0, len(data)
        while position < size:
            start = data.find(_NEWLINE, position, position + 8) + 1
            length = _SIZES.get(data[position:start]) if start else None
            if length is None:
                return False
            begin = start + len(prefix)
            end = start + length + 2 - len(suffix)
            if begin >= end or not data.startswith(prefix, start) or not data.startswith(suffix, end):
                return False
            text = data[begin:end]
            if not is_plain(text):
                return False
            texts.append(text)
            position = end + len(suffix)
        self._unlike = 0
        self._texts += texts
        if len(self._texts) >= FOLD_TEXTS:
            self.fold()
        return True

    def _learn(self, event: bytes) -> None:
        """A template from an event that was unlike the last one; ever more rarely while none is like it."""
        self._unlike += 1
        if self._unlike & (self._unlike - 1) == 0:
            try:
                template = learn(event, orjson.loads(event[5:]))
            except orjson.JSONDecodeError:
                return
            if template is not None:
                assert not self._texts, "they would be taken for the new one's"
                self._template = template

    def _events(self, data: bytes) -> bytes:
        size = len(data)
        out: list[bytes] | None = None
        start = position = 0
        while position < size:
            if data[position] == _NEWLINE:  # more than one blank line between events
                out = self._pending = [] if out is None else out
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
                and data.startswith(DATA, position)
                and not is_suspicious(data, position, end)
            ):
                position = end + 2
                continue
            out = self._pending = [] if out is None else out
            out.append(data[start:position])
            out.append(self._one(data[position:end]))
            if self.failed or self.done:
                self._pending = None
                return b"".join(out)
            start = position = end + 2
        if out is None:
            return data
        if start < size:
            out.append(data[start:size])
        self._pending = None
        return b"".join(out)

    def _chunk(self, chunk: dict[str, Any], event: bytes) -> bytes:
        choices = chunk.get("choices")
        choices = choices if isinstance(choices, list) else []
        self._take_usage(chunk)
        if not choices and isinstance(chunk.get("usage"), dict):
            if self._hide_usage:
                return b""
            self.told_usage = True
        closing, token = self._take_choices(choices)
        if self.failed:
            return b""
        if self._closed:  # a server that writes on is read as before
            self._fast = self.opened and self._choices == 1 and not self.finished
        opens = (closing or token) and not self.opened
        out = self._release(event, closing or token)
        if opens and self._fast and self._shortcuts and _NEWLINE not in event:
            self._template = learn(event + b"\n\n", chunk)
        return out

    def _known(self, part: int, event: bytes) -> bytes:
        if part == FINISH:
            self._closed = ONLY
            self.finished = True
            self._fast = False
        elif part == COUNTS:
            assert self._framed is not None
            self.usage = self._framed.usage
            if self._hide_usage:
                return b""
            self.told_usage = True
        return self._release(event, part != OPENING)

    def _release(self, event: bytes, token: bool) -> bytes:
        """What may go on: nothing before the first token, and then all that was held back."""
        whole = event + b"\n\n"
        if self.opened:
            return whole
        self._held.append(whole)
        self.held_bytes += len(whole)
        if not token:
            if self.held_bytes > HOLD_BYTES:
                self._fail(NO_TOKEN)
            return b""
        self.opened = True
        self._fast = self._choices == 1 and not self.finished
        held = b"".join(self._held)
        self._held.clear()
        return held

    def _end_mark(self, event: bytes) -> bytes:
        out = super()._end_mark(event)
        if self.done and self._course is not None and self._frames is not None:
            self._frames.learn(self._course, b"")
        return out

    def _fail(self, fault: str) -> bytes:
        self._fast = False
        return super()._fail(fault)

    def _finished_late(self) -> bool:
        """The exact look at the last forwarded event, for a finish_reason behind another one of the same event."""
        if not self.opened or self._choices != 1:
            return False
        pending = b"".join(self._pending or ())
        if not pending and self._texts:
            return False  # the last event was like others that finished nothing
        last = (pending or (self.kept[-1] if self.kept else b"")).rstrip(b"\n").rsplit(b"\n\n", 1)[-1]
        if not last:
            return self._transcript is not None and self._transcript.finished
        try:
            chunk = orjson.loads(last[5:])
            return any(choice.get("finish_reason") for choice in chunk["choices"])
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return False

    def tokens(self) -> int:
        return self.fold().tokens

    def fold(self) -> Transcript:
        """Everything forwarded so far, as text."""
        transcript = self._written()
        for block in self.kept:
            transcript.add(block)
        self.kept.clear()
        self.kept_bytes = 0
        if self._texts and self._template is not None:
            transcript.add_run(self._template.key, self._texts)
            self._texts.clear()
        return transcript

    def let_go(self) -> None:
        """Counts the events that were forwarded, where a splice keeps their text."""
        self._written().tokens += len(self.kept)
        self.kept.clear()
        self.kept_bytes = 0

    def _written(self) -> Transcript:
        if self._transcript is None:  # of most answers nobody asks for it
            self._transcript = Transcript()
        return self._transcript

    def _keep(self, block: bytes) -> None:
        if self._texts:
            self.fold()
        self.kept.append(block)
        self.kept_bytes += len(block)
        if self.kept_bytes >= FOLD_BYTES:
            self.fold()
