"""Reads an upstream's event stream: which whole events may go on to the client, and what they mean.

Pure: bytes in, bytes out. It holds back everything up to the first token (PRECOMMIT), lets only whole events pass whose
frame can be JSON (COMMIT), and notices the finish, the end, an error inside the stream and garbage. After the first
token an event costs a few byte searches and no parse: `"finish_reason":` with a value other than null, and `"error"`
are the only marks that send an event through JSON. Neither mark can come from text inside a JSON string, where every
quote is escaped.

Any cutting of the same bytes into chunks yields the same output (a property test holds this).
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from genset.router.events import DATA, DONE, count_of, event_end, has_token, is_ordinary, is_suspicious, is_whole
from genset.router.template import Template, is_plain, learn
from genset.router.transcript import Transcript

HOLD_BYTES: Final = 256 * 1024  # held back before the first token; more is something other than an answer
EVENT_BYTES: Final = 16 * 1024 * 1024  # longest single event: an image in a delta, not a runaway
NO_JSON: Final = "sent an event that is no JSON"
FOLD_BYTES: Final = 16 * 1024  # of forwarded events kept as they are; then they become text, a twentieth of their size
FOLD_TEXTS: Final = 128  # pieces of text kept apart

_loads: Final = orjson.loads
_LEAST_EVENT: Final = len(DATA) + 3
# How a chunk of a given length (frame and all) must begin if it holds one event: its size in hexadecimal, as servers write it.
_SIZE_LINES: Final = {len(b"%x" % size) + 2 + size + 2: b"%x\r\n" % size for size in range(_LEAST_EVENT, 4096)}
_SIZES: Final = {b"%x\r\n" % size: size for size in range(_LEAST_EVENT, 4096)}

_CLOSE: Final = ord("}")
# Looked for as numbers: `b"x" in data` takes ten times as long as `ord("x") in data` (it tries the number first, too).
_NEWLINE: Final = ord("\n")
_RETURN: Final = ord("\r")
_QUIET_FIELDS: Final = (b":", b"id:", b"retry:", b"id", b"retry")


class StreamReader:
    """One upstream stream.

    Read after each `feed`: `opened` (the first token was seen: commit), `finished` (every choice has its
    finish_reason), `done` ([DONE] came after that), `failed` (the stream must not go on; `fault` says why, `error`
    holds an error object the upstream sent in-band).
    """

    __slots__ = (
        "_bad_finishes",
        "_choices",
        "_closed",
        "_fast",
        "_held",
        "_hide_usage",
        "_pending",
        "_seen",
        "_tail",
        "_tail_bytes",
        "_template",
        "_texts",
        "_unlike",
        "done",
        "error",
        "failed",
        "fault",
        "finished",
        "held_bytes",
        "kept",
        "kept_bytes",
        "opened",
        "transcript",
        "usage",
    )

    def __init__(
        self,
        *,
        hide_usage: bool,
        choices: int = 1,
        bad_finishes: frozenset[str] = frozenset(),
        transcript: Transcript | None = None,
    ) -> None:
        self._hide_usage = hide_usage
        self._choices = choices
        self._bad_finishes = bad_finishes  # finish_reasons by which a provider says that it broke off
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._held: list[bytes] = []
        self._pending: list[bytes] = []  # what the block in work has let through so far
        self._seen: set[int] = set()
        self._closed: set[int] = set()
        self._fast = False
        self._template: Template | None = None
        self._texts: list[bytes] = []  # newer than `kept`: of forwarded events that were like the template
        self._unlike = 0  # forwarded events that were not, since the last that was
        self.held_bytes = 0
        self.transcript = transcript or Transcript()
        self.kept: list[bytes] = []  # forwarded events that are not in the transcript yet
        self.kept_bytes = 0
        self.opened = False
        self.finished = False
        self.done = False
        self.failed = False
        self.fault = ""
        self.error: dict[str, Any] | None = None
        self.usage: tuple[int, int] | None = None

    def feed(self, data: bytes) -> bytes:
        """Whole events that may be forwarded now; empty while held back, or when none is complete."""
        if self.failed or self.done:
            return b""
        if self._tail:
            # After a CR that waits for its LF anything ends the line.
            if _NEWLINE not in data and _RETURN not in data and not self._tail[-1].endswith(b"\r"):
                return self._stash(data)
            data = b"".join((*self._tail, data))
            self._tail.clear()
            self._tail_bytes = 0
        if _RETURN in data:
            # CRLF and lone CR end a line too. A raw CR cannot stand inside JSON, so this changes no payload.
            keep = data.endswith(b"\r")  # the LF may be on its way
            if keep:
                data = data[:-1]
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            if keep:
                return self._whole(data, b"\r")
        return self._whole(data, b"")

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

    def end(self) -> bytes:
        """The body ended cleanly. Returns what may still be forwarded; afterwards `done` or `failed` is set."""
        out = b""
        if not (self.failed or self.done) and self._tail:
            rest = b"".join(self._tail).replace(b"\r", b"\n").strip(b"\n")
            self._tail.clear()
            # Some servers leave out the blank line after the last event. A cut event never parses.
            if rest and is_whole(rest):
                out = self._event(rest)
                if out and self.opened:
                    self._keep(out)
        if not (self.failed or self.done):
            if self.finished or self._finished_late():
                self.finished = self.done = True
            else:
                self._fail("ended without a finish_reason")
        return out

    def _stash(self, data: bytes) -> bytes:
        self._tail.append(data)
        self._tail_bytes += len(data)
        if self._tail_bytes > EVENT_BYTES:
            self._fail("sent an event without end")
        return b""

    def _whole(self, data: bytes, carriage_return: bytes) -> bytes:
        cut = data.rfind(b"\n\n")
        if cut < 0:
            return self._stash(data + carriage_return) if data or carriage_return else b""
        cut += 2
        if cut != len(data) or carriage_return:
            self._stash(data[cut:] + carriage_return)
            data = data[:cut]
        data = self._events(data)
        self._pending = []
        if data and self.opened:
            self._keep(data)
        return data

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
            if self._fast and data.startswith(DATA, position):
                end = data.find(b"\n", position)
                if data[end - 1] == _CLOSE and data[end + 1] == _NEWLINE and not is_suspicious(data, position, end):
                    position = end + 2
                    continue
            end = event_end(data, position)
            out = self._pending = [] if out is None else out
            out.append(data[start:position])
            out.append(self._event(data[position:end]))
            if self.failed or self.done:
                return b"".join(out)
            start = position = end + 2
        if out is None:
            return data
        if start < size:
            out.append(data[start:size])
        return b"".join(out)

    def _event(self, event: bytes) -> bytes:
        """One event through the whole check. What it returns, with the events held back before it, may go on."""
        if event == b"data: [DONE]":
            return self._end_mark()
        if event.startswith(DATA) and event[-1] == _CLOSE and _NEWLINE not in event:  # almost always
            return self._object(event[6:], event, False)
        payload: list[bytes] = []
        named_error = False
        for line in event.split(b"\n"):
            if line.startswith(b"data:"):
                payload.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(b"event:"):
                named_error = line[6:].strip() == b"error"
            elif line.startswith(b"error:"):  # llama.cpp before 2025
                payload.append(line[6:].strip())
                named_error = True
            elif not line.startswith(_QUIET_FIELDS):
                return self._fail("sent a line that is no event")
        if not payload:
            return b""  # comments keep the upstream connection alive, not the client's
        body = b"\n".join(payload).strip()
        if body == b"[DONE]":
            return self._end_mark()
        if body[:1] != b"{" or body[-1:] != b"}":
            return self._fail("sent an event that is no JSON object")
        return self._object(body, event, named_error)

    def _object(self, body: bytes, event: bytes, named_error: bool) -> bytes:
        try:
            chunk = _loads(body)
        except orjson.JSONDecodeError:
            return self._fail(NO_JSON)
        if named_error or chunk.get("error"):
            found = chunk.get("error") or chunk
            self.error = found if isinstance(found, dict) else {"message": str(found)}
            return self._fail("sent an error inside the stream")
        return self._chunk(chunk, event)

    def _chunk(self, chunk: dict[str, Any], event: bytes) -> bytes:
        choices = chunk.get("choices")
        choices = choices if isinstance(choices, list) else []
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = (count_of(usage.get("prompt_tokens")), count_of(usage.get("completion_tokens")))
            if not choices and self._hide_usage:
                return b""
        token = False
        for choice in choices:
            if not isinstance(choice, dict):
                return self._fail("sent a choice that is no object")
            reason = choice.get("finish_reason")
            index = choice.get("index", 0)
            if not isinstance(index, int):
                return self._fail("sent a choice whose index is no number")
            self._seen.add(index)
            if reason is not None:
                if isinstance(reason, str) and reason in self._bad_finishes:
                    self.error = {"message": f"finish_reason {reason}", "code": reason}
                    return self._fail(f"gave up with finish_reason {reason}")
                self._closed.add(index)
                token = True
            elif not token:
                token = has_token(choice)
        if len(self._closed) >= self._choices and self._seen <= self._closed:
            self.finished = True
            self._fast = False
        whole = event + b"\n\n"
        if self.opened:
            return whole
        self._held.append(whole)
        self.held_bytes += len(whole)
        if not token:
            if self.held_bytes > HOLD_BYTES:
                self._fail("sent no token in its first 256 KiB")
            return b""
        self.opened = True
        self._fast = self._choices == 1 and not self.finished
        if self._fast and _NEWLINE not in event:
            self._template = learn(whole, chunk)
        held = b"".join(self._held)
        self._held.clear()
        return held

    def _end_mark(self) -> bytes:
        if self.finished or (self._closed and self._seen <= self._closed) or self._finished_late():
            self.finished = self.done = True
            return DONE
        return self._fail("ended without a finish_reason")

    def _finished_late(self) -> bool:
        """The exact look at the last forwarded event, for servers that write `"finish_reason" : "stop"`."""
        if not self.opened or self._choices != 1:
            return False
        pending = b"".join(self._pending)
        if not pending and self._texts:
            return False  # the last event was like others that finished nothing
        last = (pending or (self.kept[-1] if self.kept else b"")).rstrip(b"\n").rsplit(b"\n\n", 1)[-1]
        if not last:
            return self.transcript.finished
        try:
            chunk = orjson.loads(last[5:])
            return any(choice.get("finish_reason") for choice in chunk["choices"])
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return False

    def fold(self) -> Transcript:
        """Everything forwarded so far, as text."""
        for block in self.kept:
            self.transcript.add(block)
        self.kept.clear()
        self.kept_bytes = 0
        if self._texts and self._template is not None:
            self.transcript.add_run(self._template.key, self._texts)
            self._texts.clear()
        return self.transcript

    def _keep(self, block: bytes) -> None:
        if self._texts:
            self.fold()
        self.kept.append(block)
        self.kept_bytes += len(block)
        if self.kept_bytes >= FOLD_BYTES:
            self.fold()

    def _fail(self, fault: str) -> bytes:
        self.failed = True
        self._fast = False
        self.fault = fault
        return b""
