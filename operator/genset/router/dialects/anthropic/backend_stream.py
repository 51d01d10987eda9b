"""Translates the event stream of Anthropic's Messages API into OpenAI's chunks, whatever pieces its bytes come in.

A stream that breaks off stays one that breaks off: only an event with a `stop_reason` makes a finish_reason, and what is wrong
with a stream is told as an error inside it, behind all that was good. Events, blocks and deltas of types that are unknown are no
error: within a version of the API new ones may come. Source: platform.claude.com/docs/en/api/versioning, read on 28 Nov 2026.

For a client that speaks the Messages API itself each event is recorded on a tape, and each chunk says up to which event it goes.
What OpenAI's form has nothing like makes a chunk all the same. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genset.router.dialects.anthropic.backend_answer import (
    answer_of,
    error_in,
    explanation_of,
    finish_of,
    redacted,
    refusal_error,
    signed,
)
from genset.router.dialects.anthropic.words import (
    JSON_DELTA,
    REDACTED,
    REFUSAL,
    SIGNATURE_DELTA,
    TEXT,
    TEXT_DELTA,
    THINKING,
    THINKING_DELTA,
    TOOL_USE,
    merged_usage,
    openai_usage,
)
from genset.router.dialects.native import framed
from genset.router.dialects.openai.events import DONE
from genset.router.dialects.sse import Beginning, EventCutter, NoEventError, event_of, whole_answer
from genset.router.dialects.tape import BEYOND, NUMBER, Tape
from genset.router.dialects.tolerant import dumps


class _Block:
    """A _Block is one content block of the stream. `call`: which call of a tool it is, counted from 0; -1 for none."""

    __slots__ = ("call", "given", "signature", "thinking", "told")

    def __init__(self, call: int = -1, given: Any = None) -> None:
        self.call = call
        self.given = given  # what a call held from the beginning
        self.told = False  # something of its arguments was sent
        self.thinking: list[str] = []
        self.signature = ""


class BackendStream:
    """A BackendStream makes the events of one answer. It is a `StreamTranslator`."""

    __slots__ = (
        "_beginning",
        "_blocks",
        "_calls",
        "_cutter",
        "_details",
        "_failed",
        "_finished",
        "_head",
        "_said",
        "_started",
        "_tape",
        "_usage",
    )

    def __init__(self, created: int, tape: Tape | None = None) -> None:
        self._head: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": created, "model": ""}
        self._cutter = EventCutter()
        self._beginning = Beginning()
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._details = 0  # entries of reasoning_details so far
        self._usage: dict[str, Any] = {}
        self._started = False
        self._said = False  # a part of the answer was sent
        self._finished = False
        self._failed = False
        self._tape = tape

    def used(self) -> dict[str, Any] | None:
        return openai_usage(self._usage) if self._usage else None

    def feed(self, data: bytes) -> bytes:
        data = self._beginning.take(data)
        if not data:
            return b""
        try:
            events = self._cutter.feed(data)
        except NoEventError as problem:
            return self._fail(str(problem))
        return b"".join([self._one(event) for event in events])

    def end(self) -> bytes:
        if self._beginning.held is not None:
            return whole_answer(answer_of, self._beginning.body(), self._head["created"], self._tape)
        out = b"".join([self._one(event) for event in self._cutter.end()])
        if self._finished and not self._failed and self._usage:
            return out + self._told_usage()
        return out

    def _one(self, data: bytes) -> bytes:
        """Takes one event, and returns what it makes."""
        if self._failed:
            return b""
        try:
            said = event_of(data)
            if said is None:
                return b""
            return self._event(said) if self._tape is None else self._passed(said, data, self._tape)
        except NoEventError as problem:
            return self._fail(str(problem))

    def _fail(self, fault: str) -> bytes:
        self._failed = True
        return b"" if self._finished else _sse({"error": {"message": fault, "type": "invalid_response", "code": None}})

    def _passed(self, said: dict[str, Any], data: bytes, tape: Tape) -> bytes:
        """Takes one event that goes on to the client as it is."""
        out = framed(said.get("type"), data)
        if out:
            self._head[NUMBER] = tape.record(out, said)
        return self._event(said) or (self._chunk(_beyond(said)) if out and not self._failed else b"")

    # Events

    def _event(self, said: dict[str, Any]) -> bytes:
        kind = said.get("type")
        if kind == "content_block_delta":
            return self._delta(said)
        if kind == "content_block_start":
            return self._open_block(said)
        if kind == "content_block_stop":
            block = self._blocks.pop(_index(said), None)
            return self._close_block(block) if block is not None else b""
        if kind == "message_start":
            return self._start(_part(said, "message"))
        if kind == "message_delta":
            return self._finish(said)
        if kind == "message_stop":
            return self._stop()
        if kind == "error" or (said.get("error") and kind is None):
            self._failed = True
            return _sse({"error": error_in(said)})
        return b""  # ping, and whatever comes next year

    def _start(self, message: Mapping[str, Any]) -> bytes:
        if self._started:
            return self._fail("began a second message in one answer")
        self._started = True
        for key in ("id", "model"):
            value = message.get(key)
            if isinstance(value, str):
                self._head[key] = value
        self._usage = merged_usage(self._usage, _part(message, "usage"))
        return self._chunk({"role": "assistant", "content": ""})

    def _open_block(self, said: dict[str, Any]) -> bytes:
        held, index = _part(said, "content_block"), _index(said)
        kind = held.get("type")
        if kind == TOOL_USE:
            self._blocks[index] = block = _Block(self._calls, held.get("input"))
            self._calls += 1
            self._said = True
            function = {"name": _text(held, "name"), "arguments": ""}
            call = {"index": block.call, "id": _text(held, "id"), "type": "function", "function": function}
            return self._chunk({"tool_calls": [call]})
        if kind == REDACTED:
            self._details += 1
            return self._chunk({"reasoning_details": [redacted(held.get("data"), self._details - 1)]})
        if kind not in (TEXT, THINKING):
            return b""
        self._blocks[index] = block = _Block()
        key = "text" if kind == TEXT else "thinking"
        block.signature = _text(held, "signature")
        return self._text(block, key, _text(held, key))

    def _delta(self, said: dict[str, Any]) -> bytes:
        delta, block = _part(said, "delta"), self._blocks.get(_index(said))
        kind = delta.get("type")
        if block is None:  # one that is left out; but no text may be lost because its beginning was
            if self._tape is not None:
                return b""
            if kind not in (TEXT_DELTA, THINKING_DELTA):
                return self._fail("sent a part of a call that it had not begun") if kind == JSON_DELTA else b""
            self._blocks[_index(said)] = block = _Block()
        if kind == TEXT_DELTA:
            return self._text(block, "text", _text(delta, "text"))
        if kind == THINKING_DELTA:
            return self._text(block, "thinking", _text(delta, "thinking"))
        if kind == SIGNATURE_DELTA:
            block.signature = _text(delta, "signature")
        elif kind == JSON_DELTA and block.call >= 0:
            piece = _text(delta, "partial_json")
            if piece:
                block.told = True
                return self._arguments(block, piece)
        return b""

    def _text(self, block: _Block, key: str, text: str) -> bytes:
        if not text:
            return b""
        if key == "thinking":
            block.thinking.append(text)
            return self._chunk({"reasoning_content": text})
        self._said = True
        return self._chunk({"content": text})

    def _arguments(self, block: _Block, piece: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": block.call, "function": {"arguments": piece}}]})

    def _close_block(self, block: _Block) -> bytes:
        if block.call >= 0 and not block.told:
            return self._arguments(block, dumps(block.given if isinstance(block.given, dict) else {}).decode())
        if block.signature:
            self._details += 1
            detail = signed("".join(block.thinking), block.signature, self._details - 1)
            return self._chunk({"reasoning_details": [detail]})
        return b""

    def _finish(self, said: dict[str, Any]) -> bytes:
        self._usage = merged_usage(self._usage, _part(said, "usage"))
        delta = _part(said, "delta")
        reason = delta.get("stop_reason")
        if not reason or self._finished:  # "", 0 and false are none, as null is
            return b""
        if reason == REFUSAL and not self._said and self._tape is None:
            self._failed = True
            return _sse({"error": refusal_error(dict(delta))})
        finish = finish_of(reason, calls=self._calls > 0)
        if not finish and self._tape is not None:
            finish = "stop"  # the client knows what it means, e.g. that a tool at Anthropic pauses
        if not finish:
            return self._fail(f"ended with stop_reason {str(reason)[:64]}")
        self._finished = True
        refusal = self._chunk({"refusal": explanation_of(dict(delta))}) if reason == REFUSAL else b""
        return refusal + self._chunk({}, finish)

    def _stop(self) -> bytes:
        if not self._finished:
            return self._fail("ended without a stop_reason")
        self._failed = True  # nothing may follow
        return self._told_usage() + DONE

    # Chunks

    def _told_usage(self) -> bytes:
        return _sse({**self._head, "choices": [], "usage": openai_usage(self._usage)})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _sse({**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _sse(chunk: dict[str, Any]) -> bytes:
    return b"data: " + dumps(chunk) + b"\n\n"


def _beyond(said: dict[str, Any]) -> dict[str, Any]:
    """Returns the delta of an event that OpenAI's form has nothing like. The block of a tool that runs at Anthropic is a part of
    the answer."""
    held = _part(said, "content_block").get("type")
    known = held is None or held in (TEXT, THINKING)
    return {} if known else {BEYOND: str(held)[:64]}


def _part(said: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = said.get(key)
    return found if isinstance(found, dict) else {}


def _text(said: Mapping[str, Any], key: str) -> str:
    found = said.get(key)
    return found if isinstance(found, str) else ""


def _index(said: Mapping[str, Any]) -> int:
    found = said.get("index")
    return found if isinstance(found, int) else 0
