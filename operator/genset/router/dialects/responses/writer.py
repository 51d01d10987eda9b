"""Writes the answers that clients of the Responses API get: events item by item, or a whole response. Pure.

Sources: the types of the openai package 3.57.0, and what its stream helper refuses: an id that changes, an `output_index` twice,
a delta before the item and the part that it belongs to are opened, an end with items that are not closed. Codex 0.171 builds its
answer from `response.output_item.done` alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final, final

from genset.router.dialects.client import ClientWriter, Told
from genset.router.dialects.openai import blocks as parts
from genset.router.dialects.openai.blocks import BlockChange, Blocks, blocks_of
from genset.router.dialects.openai.chunks import Chunks
from genset.router.dialects.openai.events import counts_of
from genset.router.dialects.responses.items_out import COMPLETED, IN_PROGRESS, INCOMPLETE, Output
from genset.router.dialects.responses.passing import Passing
from genset.router.dialects.responses.tools import Tools
from genset.router.dialects.tape import NUMBER, Tape
from genset.router.dialects.tolerant import dumps
from genset.router.errors import ErrorAnswer, ErrorKind

FAILED: Final = "failed"
#: finish_reason -> why an answer is not complete. Any other one completes it.
_REASONS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
#: Codes of ours that clients of this API act on.
_CODES: Final = {"context_length_exceeded": "context_length_exceeded", "upstream_rate_limited": "rate_limit_exceeded"}
#: Fields of the request that the response repeats -> what they are if the request does not say.
_REPEATED: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "user": None,
}


@final
class ResponseWriter(ClientWriter):
    """A response writer answers one request of the Responses API. `asked` is the request; `now` are seconds since 1970."""

    __slots__ = (
        "_blocks",
        "_chunks",
        "_ended",
        "_identity",
        "_model",
        "_number",
        "_outputs",
        "_passing",
        "_prompt_tokens",
        "_renames",
        "_repeated",
        "_tools",
        "dropped",
        "marked",
    )

    def __init__(
        self, asked: dict[str, Any], tools: Tools, dropped: tuple[str, ...], now: float, *, marked: bool = False
    ) -> None:
        self._identity = uuid.uuid4().hex
        self._model = str(asked.get("model"))
        self._tools = tools
        self._repeated = {**_repeated(asked), "created_at": int(now)}
        self._prompt_tokens = 0
        self._chunks = Chunks()
        self._blocks = Blocks()
        self._outputs: list[Output] = []  # the last one is open
        self._number = -1  # of the last event
        self._ended = False
        self._renames = False
        self._passing: Passing | None = None  # of a request that a server of this API may answer itself
        self.dropped = dropped
        self.marked = marked

    def tells_asked_model(self) -> None:
        self._renames = True

    def passes(self, tape: Tape | None) -> None:
        passing = self._passing
        if passing is not None:
            if passing.begun and passing.tape is not None:
                self._take_over(passing)
            passing.tape = tape

    def may_go_on(self) -> bool:
        return self._passing is None or self._passing.tape is None or self._passing.writable

    def expects(self, prompt_tokens: int, *, passes: bool) -> None:
        self._prompt_tokens = prompt_tokens
        self._passing = Passing() if passes else None

    # Streams

    def events(self, data: bytes) -> bytes:
        out: list[bytes] = []
        passing = self._passing
        for chunk in self._chunks.feed(data):
            number = chunk.get(NUMBER)
            tape = passing.tape if passing is not None else None
            if passing is not None and tape is not None:
                if isinstance(number, int):
                    self._blocks.add(chunk)
                    passing.take(tape.until(number), out, self._model if self._renames else "")
                    continue
                self.passes(None)  # the router itself writes the end
            changes = self._blocks.add(chunk)
            if changes:
                self._start(out)
            for change in changes:
                self._change(change, out, COMPLETED)
        if passing is not None and passing.tape is not None and passing.begun:
            if self._chunks.done:
                passing.take(passing.tape.rest(), out, self._model if self._renames else "")
        elif self._chunks.done and not self._ended:
            self._start(out)
            self._end(out)
        return b"".join(out)

    def sign_of_life(self) -> bytes:
        out: list[bytes] = []
        if self._passing is not None and self._number < 0:
            return b": waiting\n"  # whoever answers may have ids of its own
        if not self._start(out):
            self._event(out, "response.in_progress", response=self._response(IN_PROGRESS))
        return b"".join(out)

    def broken(self, kind: ErrorKind, message: str, attempts: Sequence[str], *, partial: bool) -> bytes:
        out: list[bytes] = []
        self.passes(None)
        self._start(out)
        response = self._response(FAILED)
        response["error"] = {"code": _CODES.get(kind.code, "server_error"), "message": message}
        told = {"code": kind.word, "partial": partial, "attempts": list(attempts)}
        self._event(out, "response.failed", response=response, genset=told)
        return b"".join(out)

    def _take_over(self, passing: Passing) -> None:
        """Goes on in a response that its own server has begun, under its ids and numbers."""
        self._number = passing.number()
        self._repeated = {**self._repeated, **passing.response()}
        text = self._blocks.resume(parts.TEXT if passing.open is not None else None)
        if text is not None and passing.open is not None:
            output = Output(text, len(passing.items), self._identity, self._tools)
            output.goes_on(passing.open)
            self._outputs = [output]

    def _start(self, out: list[bytes]) -> bool:
        """Tells that there is a response, if nothing has told of it so far. Returns whether it did."""
        if self._number >= 0:
            return False
        response = self._response(IN_PROGRESS)
        self._event(out, "response.created", response=response)
        self._event(out, "response.in_progress", response=response)
        return True

    def _change(self, change: BlockChange, out: list[bytes], status: str) -> None:
        if change.what == parts.OPEN:
            before = len(self._passing.items) if self._passing is not None else 0
            output = Output(change.block, before + len(self._outputs), self._identity, self._tools)
            self._outputs.append(output)
            self._event(out, "response.output_item.added", output_index=output.index, item=output.opened())
            if change.block.kind in _PARTS:
                self._of(out, "response.content_part.added", output, content_index=0, part=output.part("", []))
            return
        output = self._outputs[-1]
        if change.what == parts.MORE:
            self._more(change, output, out)
        else:
            self._close(output, out)
            item = output.whole(status)
            self._event(out, "response.output_item.done", output_index=output.index, item=item)

    def _more(self, change: BlockChange, output: Output, out: list[bytes]) -> None:
        kind = change.block.kind
        if kind == parts.TEXT:
            logprobs = change.block.take_logprobs()
            self._of(out, "response.output_text.delta", output, content_index=0, delta=change.text, logprobs=logprobs)
        elif kind == parts.REFUSAL:
            self._of(out, "response.refusal.delta", output, content_index=0, delta=change.text)
        elif kind == parts.THINKING:
            self._of(out, "response.reasoning_text.delta", output, content_index=0, delta=change.text)
        elif kind == parts.CALL and not output.custom:  # free text is known once its JSON is whole
            self._of(out, "response.function_call_arguments.delta", output, delta=change.text)

    def _close(self, output: Output, out: list[bytes]) -> None:
        kind, text = output.block.kind, output.text
        if kind == parts.CALL:
            if output.custom:
                self._of(out, "response.custom_tool_call_input.delta", output, delta=text)
                self._of(out, "response.custom_tool_call_input.done", output, input=text)
            else:
                _, name = self._tools.names_of(output.block.name)
                self._of(out, "response.function_call_arguments.done", output, name=name, arguments=text)
            return
        if kind not in _PARTS:
            return
        if kind == parts.TEXT:
            logprobs = output.block.logprobs
            self._of(out, "response.output_text.done", output, content_index=0, text=text, logprobs=logprobs)
        elif kind == parts.REFUSAL:
            self._of(out, "response.refusal.done", output, content_index=0, refusal=text)
        else:
            self._of(out, "response.reasoning_text.done", output, content_index=0, text=text)
        part = output.part(text, output.block.logprobs)
        self._of(out, "response.content_part.done", output, content_index=0, part=part)

    def _end(self, out: list[bytes]) -> None:
        self._ended = True
        status = _status(self._blocks)
        for change in self._blocks.end():
            self._change(change, out, status)
        before = self._passing.items if self._passing is not None else []
        items = [*before, *(output.whole(COMPLETED) for output in self._outputs)]
        if items and status == INCOMPLETE:
            items[-1]["status"] = INCOMPLETE
        self._event(out, f"response.{status}", response=self._finished(self._blocks, items))

    def _event(self, out: list[bytes], kind: str, **more: Any) -> None:
        self._number += 1
        data = dumps({"type": kind, "sequence_number": self._number, **more})
        out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))

    def _of(self, out: list[bytes], kind: str, output: Output, **more: Any) -> None:
        self._event(out, kind, item_id=output.identity, output_index=output.index, **more)

    # Whole answers

    def whole(self, body: bytes) -> bytes:
        passing = self._passing
        passed = passing.tape.whole() if passing is not None and passing.tape is not None else None
        if passed is not None:
            return dumps({**passed, "model": self._model} if self._renames else passed)
        blocks, found = blocks_of(body)
        items = [Output(block, n, self._identity, self._tools).whole(COMPLETED) for n, block in enumerate(found)]
        if items and _status(blocks) == INCOMPLETE:
            items[-1]["status"] = INCOMPLETE
        return dumps(self._finished(blocks, items))

    def error(self, answer: ErrorAnswer, identity: bytes, room: tuple[int, int] | None) -> Told:
        return Told(answer.status, answer.body())

    def _finished(self, blocks: Blocks, items: list[dict[str, Any]]) -> dict[str, Any]:
        status = _status(blocks)
        response = self._response(status)
        response["model"] = self._name(blocks)
        response["output"] = items
        response["usage"] = _usage(blocks.usage or {"prompt_tokens": self._prompt_tokens})
        if status == COMPLETED:
            response["completed_at"] = response["created_at"]
        else:
            response["incomplete_details"] = {"reason": _REASONS[blocks.finish]}
        return response

    def _name(self, blocks: Blocks) -> str:
        return self._model if self._renames else blocks.model or self._model

    def _response(self, status: str) -> dict[str, Any]:
        """Returns the response as far as it is known before its end."""
        return {
            "id": f"resp_{self._identity}",
            "object": "response",
            "completed_at": None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self._name(self._blocks),
            "output": [],
            "previous_response_id": None,
            "service_tier": "default",
            "store": False,
            "truncation": "disabled",
            "usage": None,
            **self._repeated,
        }


_PARTS: Final = (parts.TEXT, parts.REFUSAL, parts.THINKING)  # blocks whose item has parts


def _status(blocks: Blocks) -> str:
    return INCOMPLETE if blocks.finish in _REASONS else COMPLETED


def _repeated(asked: dict[str, Any]) -> dict[str, Any]:
    """Returns what the response repeats of its request."""
    repeated = {key: asked[key] if asked.get(key) is not None else usual for key, usual in _REPEATED.items()}
    text, reasoning = asked.get("text"), asked.get("reasoning")
    repeated["text"] = {"format": {"type": "text"}, **(text if isinstance(text, dict) else {})}
    repeated["reasoning"] = {"effort": None, "summary": None, **(reasoning if isinstance(reasoning, dict) else {})}
    for key in ("presence_penalty", "frequency_penalty"):
        repeated[key] = 0.0
    return repeated


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Returns a usage with all five of its counts, which clients read without a look."""
    prompt, made = counts_of(usage)
    read, told = _details(usage, "prompt_tokens_details"), _details(usage, "completion_tokens_details")
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": _count(read, "cached_tokens"),
            "cache_write_tokens": _count(read, "cache_write_tokens"),
        },
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": _count(told, "reasoning_tokens")},
        "total_tokens": prompt + made,
    }


def _details(usage: dict[str, Any], key: str) -> dict[str, Any]:
    value = usage.get(key)
    return value if isinstance(value, dict) else {}


def _count(usage: dict[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
