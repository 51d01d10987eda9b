"""Writes the answers that clients of the Messages API get: events one block after the other, or a whole message. Pure.

Sources: the types of the anthropic package 2.14.0 and what its clients refuse (tests/router/test_messages_clients.py):
each event has its `event:` line, `message_start` and `message_delta` have a usage, a delta follows the start of its block.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final, final

from genset.router.dialects.anthropic.client_errors import broken, told
from genset.router.dialects.anthropic.words import (
    JSON_DELTA,
    REDACTED,
    REFUSAL,
    SIGNATURE_DELTA,
    STOP_OF,
    TEXT,
    TEXT_DELTA,
    THINKING,
    THINKING_DELTA,
    TOOL_USE,
    anthropic_usage,
    event,
)
from genset.router.dialects.call_seals import sealed_id
from genset.router.dialects.client import ClientWriter, Told
from genset.router.dialects.native import data_in
from genset.router.dialects.openai import blocks as parts
from genset.router.dialects.openai.blocks import Block, BlockChange, Blocks, blocks_of
from genset.router.dialects.openai.chunks import Chunks
from genset.router.dialects.tape import NUMBER, Tape
from genset.router.dialects.tolerant import dumps, loads
from genset.router.errors import ErrorAnswer, ErrorKind

_PING: Final = event("ping", {"type": "ping"})
_END: Final = event("message_stop", {"type": "message_stop"})
#: How events begin that a server of this API sends.
_BEGINS: Final = b"event: message_start\n"
_ENDS: Final = b"event: message_stop\n"
_STARTS: Final = b"event: content_block_start\n"
_STOPS: Final = b"event: content_block_stop\n"
#: Types of blocks that another server may write on in -> what they are in OpenAI's form.
_KINDS: Final = {TEXT: parts.TEXT, THINKING: parts.THINKING}
_DELTAS: Final = {
    parts.TEXT: (TEXT_DELTA, "text"),
    parts.REFUSAL: (TEXT_DELTA, "text"),
    parts.THINKING: (THINKING_DELTA, "thinking"),
    parts.CALL: (JSON_DELTA, "partial_json"),
}


@final
class MessageWriter(ClientWriter):
    """A message writer answers one request of the Messages API. `model` is what was asked for."""

    __slots__ = (
        "_blocks",
        "_chunks",
        "_ended",
        "_identity",
        "_index",
        "_model",
        "_open",
        "_prompt_tokens",
        "_renames",
        "_started",
        "_stopped",
        "_tape",
        "dropped",
        "marked",
    )

    def __init__(self, model: str, dropped: tuple[str, ...] = ()) -> None:
        self._identity = uuid.uuid4().hex
        self._model = model
        self._prompt_tokens = 0
        self._chunks = Chunks()
        self._blocks = Blocks()
        self._index = -1  # of the block that is open
        self._started = False
        self._ended = False
        self._tape: Tape | None = None  # of an attempt at a server that speaks this API itself
        self._open = ""  # type of the block that such a server has opened
        self._stopped = False  # such a server has sent the last event
        self._renames = False
        self.dropped = dropped
        self.marked = True

    def tells_asked_model(self) -> None:
        self._renames = True

    def passes(self, tape: Tape | None) -> None:
        if self._tape is not None and self._started:  # it broke off: another server writes on in the same message
            self._blocks.resume(_KINDS.get(self._open))
        self._tape = tape

    def may_go_on(self) -> bool:
        return True

    def expects(self, prompt_tokens: int, *, passes: bool) -> None:
        self._prompt_tokens = prompt_tokens

    # Streams

    def events(self, data: bytes) -> bytes:
        out: list[bytes] = []
        for chunk in self._chunks.feed(data):
            number = chunk.get(NUMBER)
            if self._tape is not None and not isinstance(number, int):
                self.passes(None)  # the router itself writes the end
            changes = self._blocks.add(chunk)
            if self._tape is not None and isinstance(number, int):
                self._pass(self._tape.until(number), out)
                continue
            if changes:
                self._start(out)
            for change in changes:
                self._change(change, out)
        if self._chunks.done and not self._ended:
            if self._tape is not None and self._started:
                self._pass(self._tape.rest(), out)
                self._end_passed(out)
            else:
                self._start(out)
                self._end(out)
        return b"".join(out)

    def sign_of_life(self) -> bytes:
        return _PING

    def broken(self, kind: ErrorKind, message: str, attempts: Sequence[str], *, partial: bool) -> bytes:
        return broken(kind, message, attempts, self._identity.encode(), partial=partial)

    def _pass(self, events: list[bytes], out: list[bytes]) -> None:
        """Passes a server's own events on, and keeps in mind what they leave open."""
        for raw in events:
            if self._renames and raw.startswith(_BEGINS):
                said = loads(data_in(raw))
                said["message"]["model"] = self._model
                out.append(event("message_start", said))
            else:
                out.append(raw)
            if raw.startswith(_STARTS):
                self._index += 1
                self._open = str(loads(data_in(raw)).get("content_block", {}).get("type"))
            elif raw.startswith(_STOPS):
                self._open = ""
            elif raw.startswith(_BEGINS):
                self._started = True
            elif raw.startswith(_ENDS):
                self._stopped = True

    def _end_passed(self, out: list[bytes]) -> None:
        """Ends what a server has finished and not ended."""
        self._ended = True
        if not self._stopped:
            if self._open:
                out.append(self._event("stop"))
            out.append(_END)

    def _start(self, out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        usage = anthropic_usage({"prompt_tokens": self._prompt_tokens})
        message = self._message(self._blocks, [], None, usage)
        out.append(event("message_start", {"type": "message_start", "message": message}))

    def _change(self, change: BlockChange, out: list[bytes]) -> None:
        block = change.block
        if change.what == parts.OPEN:
            self._index += 1
            out.append(self._event("start", content_block=_opened(block, self._index, self._identity)))
        elif change.what == parts.MORE:
            if block.kind != parts.ENCRYPTED:  # it is whole from its beginning
                kind, key = _DELTAS[block.kind]
                out.append(self._event("delta", delta={"type": kind, key: change.text}))
        else:
            if block.signature:
                out.append(self._event("delta", delta={"type": SIGNATURE_DELTA, "signature": block.signature}))
            out.append(self._event("stop"))

    def _event(self, what: str, **more: Any) -> bytes:
        kind = f"content_block_{what}"
        return event(kind, {"type": kind, "index": self._index, **more})

    def _end(self, out: list[bytes]) -> None:
        self._ended = True
        blocks = self._blocks
        for change in blocks.end():
            self._change(change, out)
        if not blocks.opened:  # strict clients look at the first block of every answer
            self._index += 1
            out.append(self._event("start", content_block={"type": TEXT, "text": ""}))
            out.append(self._event("stop"))
        delta: dict[str, Any] = _stop(blocks)
        usage = self._usage(blocks)
        out.append(event("message_delta", {"type": "message_delta", "delta": delta, "usage": usage}))
        out.append(_END)

    # Whole answers

    def whole(self, body: bytes) -> bytes:
        passed = self._tape.whole() if self._tape is not None else None
        if passed is not None:
            return dumps({**passed, "model": self._model} if self._renames else passed)
        blocks, found = blocks_of(body)
        content = [_whole(block, index, self._identity) for index, block in enumerate(found)]
        content = content or [{"type": TEXT, "text": ""}]
        message = self._message(blocks, content, None, self._usage(blocks))
        return dumps({**message, **_stop(blocks)})

    def error(self, answer: ErrorAnswer, identity: bytes, room: tuple[int, int] | None) -> Told:
        return told(answer, identity, room)

    def _usage(self, blocks: Blocks) -> dict[str, int]:
        """Returns what the upstream has counted; the estimate, if it has not."""
        return anthropic_usage(blocks.usage or {"prompt_tokens": self._prompt_tokens})

    def _message(
        self, blocks: Blocks, content: list[dict[str, Any]], stop: str | None, usage: dict[str, int]
    ) -> dict[str, Any]:
        return {
            "id": f"msg_{self._identity}",
            "type": "message",
            "role": "assistant",
            "content": content,
            "model": self._model if self._renames else blocks.model or self._model,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": usage,
        }


def _stop(blocks: Blocks) -> dict[str, Any]:
    """Returns why the answer ended. A call that was cut must not run, so that the limit counts more than the call."""
    reason = STOP_OF.get(blocks.finish, "end_turn")
    if reason == "end_turn" and blocks.calls:  # vLLM ends a call that was demanded with "stop"
        reason = TOOL_USE
    if reason == TOOL_USE and not blocks.calls:
        reason = "end_turn"
    if reason == "end_turn" and blocks.stop is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": blocks.stop}
    stop: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
    if reason == REFUSAL:
        stop["stop_details"] = {"type": REFUSAL, "category": None, "explanation": None}
    return stop


def _opened(block: Block, index: int, identity: str) -> dict[str, Any]:
    """Returns a block as it is before any of its deltas. Thinking that nobody has sealed keeps an empty signature."""
    if block.kind == parts.CALL:
        return {"type": TOOL_USE, "id": _call_id(block, index, identity), "name": block.name, "input": {}}
    if block.kind == parts.THINKING:
        return {"type": THINKING, "thinking": "", "signature": ""}
    if block.kind == parts.ENCRYPTED:
        return {"type": REDACTED, "data": block.text}
    return {"type": TEXT, "text": ""}


def _whole(block: Block, index: int, identity: str) -> dict[str, Any]:
    whole = _opened(block, index, identity)
    if block.kind == parts.CALL:
        whole["input"] = _input(block.text)
    elif block.kind == parts.THINKING:
        whole["thinking"] = block.text
        whole["signature"] = block.signature
    elif block.kind != parts.ENCRYPTED:
        whole["text"] = block.text
    return whole


def _input(arguments: str) -> dict[str, Any]:
    """Returns a call's arguments. Those that are no JSON object stay what they are, under a name that says so."""
    if not arguments.strip():
        return {}
    try:
        value = loads(arguments.encode("utf-8", "surrogatepass"))
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"invalid_json": arguments}


def _call_id(block: Block, index: int, identity: str) -> str:
    return sealed_id(block.identity or f"toolu_{identity[:20]}{index:04d}", block.seal)
