"""Translates what a server of the Responses API answers into OpenAI's chat, whatever pieces its bytes come in.

A stream that breaks off stays one that breaks off: only `response.completed` and `response.incomplete` finish an answer. Events
that are unknown are no error. For a client that speaks the API itself each event is recorded on a tape (see `dialects/tape`).
Source: the types of the openai package 3.57.0. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from genset.router.dialects.native import framed
from genset.router.dialects.openai.events import DONE
from genset.router.dialects.responses.words import FINISH_OF, REASONING_FORMAT, error_in, openai_usage
from genset.router.dialects.sse import Beginning, EventCutter, NoEventError, event_of, whole_answer
from genset.router.dialects.tape import BEYOND, NUMBER, Tape
from genset.router.dialects.tolerant import dumps, loads

_TEXTS = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning_content",
    "response.reasoning_text.delta": "reasoning_content",
}
_PLAIN = ("message", "reasoning", "function_call")  # items that chat has something like


@final
class ResponseStream:
    """A response stream makes the events of one answer. It is a `StreamTranslator`."""

    __slots__ = ("_beginning", "_calls", "_cutter", "_ended", "_head", "_said", "_tape")

    def __init__(self, created: int, tape: Tape | None = None) -> None:
        self._head: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": created, "model": ""}
        self._cutter = EventCutter()
        self._beginning = Beginning()
        self._calls: dict[
            Any, tuple[int, bool]
        ] = {}  # by output_index: the call's number, and whether its arguments came
        self._said = False  # a text was sent
        self._ended = False
        self._tape = tape

    def used(self) -> dict[str, Any] | None:
        return None

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
        return b"".join([self._one(event) for event in self._cutter.end()])

    def _one(self, data: bytes) -> bytes:
        if self._ended:
            return b""
        try:
            said = event_of(data)
        except NoEventError as problem:
            return self._fail(str(problem))
        if said is None:
            return b""
        if self._tape is None:
            return self._event(said)
        out = framed(said.get("type"), data)
        if out:
            self._head[NUMBER] = self._tape.record(out, said)
        return self._event(said) or (self._chunk(_beyond(said)) if out and not self._ended else b"")

    def _fail(self, fault: str) -> bytes:
        self._ended = True
        return _sse({"error": {"message": fault, "type": "invalid_response", "code": None}})

    def _event(self, said: dict[str, Any]) -> bytes:
        kind = said.get("type")
        if kind in _TEXTS:
            return self._text(_TEXTS[kind], said)
        if kind == "response.function_call_arguments.delta":
            return self._arguments(said, said.get("delta"), more=True)
        if kind == "response.function_call_arguments.done":  # all that LM Studio tells of them (BerriAI/litellm#25321)
            return self._arguments(said, said.get("arguments"), more=False)
        if kind == "response.output_item.added":
            return self._open(said)
        if kind == "response.output_item.done":
            return self._close(said)
        if kind == "response.created":
            return self._begin(_part(said, "response"))
        if kind in ("response.completed", "response.incomplete"):
            return self._finish(_part(said, "response"))
        if kind in ("error", "response.failed"):
            self._ended = True
            failed = _part(said, "response")  # a gateway may tell the error beside it (openai/codex#24973)
            return _sse({"error": error_in(failed if failed.get("error") else said)})
        return b""

    def _begin(self, response: Mapping[str, Any]) -> bytes:
        for key in ("id", "model"):
            if isinstance(response.get(key), str):
                self._head[key] = response[key]
        return self._chunk({"role": "assistant", "content": ""})

    def _text(self, key: str, said: Mapping[str, Any]) -> bytes:
        text = said.get("delta")
        if not isinstance(text, str) or not text:
            return b""
        self._said = self._said or key == "content"
        logprobs = said.get("logprobs")
        return self._chunk({key: text}, logprobs={"content": logprobs} if logprobs else None)

    def _open(self, said: Mapping[str, Any]) -> bytes:
        item = _part(said, "item")
        if item.get("type") != "function_call":
            return b""
        number = len(self._calls)
        self._calls[said.get("output_index")] = (number, False)
        function = {"name": item.get("name") or "", "arguments": ""}
        call = {"index": number, "id": item.get("call_id") or "", "type": "function", "function": function}
        return self._chunk({"tool_calls": [call]})

    def _arguments(self, said: Mapping[str, Any], piece: Any, *, more: bool) -> bytes:
        known = self._calls.get(said.get("output_index"))
        if known is None:
            return self._fail("sent a part of a call that it had not begun") if more and self._tape is None else b""
        if not isinstance(piece, str) or not piece or (known[1] and not more):
            return b""
        self._calls[said.get("output_index")] = (known[0], True)
        return self._chunk({"tool_calls": [{"index": known[0], "function": {"arguments": piece}}]})

    def _close(self, said: Mapping[str, Any]) -> bytes:
        """Takes an item that is whole, and tells of it what no delta has told."""
        item = _part(said, "item")
        kind = item.get("type")
        if kind == "function_call":
            begun = b"" if said.get("output_index") in self._calls else self._open(said)
            return begun + self._arguments(said, item.get("arguments") or "{}", more=False)
        if kind == "reasoning" and item.get("encrypted_content"):
            return self._chunk({"reasoning_details": [_sealed(item)]})
        if kind == "message" and not self._said:
            text, _ = _texts(item)
            return self._text("content", {"delta": text})
        return b""

    def _finish(self, response: Mapping[str, Any]) -> bytes:
        finish = finish_of(response, calls=bool(self._calls))
        self._ended = True
        usage = _sse({**self._head, "choices": [], "usage": openai_usage(response.get("usage"))})
        return self._chunk({}, finish) + usage + DONE

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _sse({**self._head, "choices": [{**choice, "logprobs": logprobs} if logprobs else choice]})


def answer_of(body: bytes, created: int, tape: Tape | None = None) -> bytes:
    """Returns a whole response as a chat.completion; an error of OpenAI's form if it is none. Raises ValueError.

    `created` is the time now, in seconds since 1970. `tape`: keeps the answer for a client that gets it as it is.
    """
    said = loads(body)
    if not isinstance(said, dict):
        raise ValueError("it is no JSON object")
    if said.get("error") or said.get("status") == "failed":
        return dumps({"error": error_in(said)})
    output = said.get("output")
    if not isinstance(output, list) or said.get("status") not in ("completed", "incomplete"):
        raise ValueError(f"it has no output, or is {str(said.get('status'))[:64]}")
    if tape is not None:
        tape.keep_whole(said)
    message = _message(output)
    choice = {"index": 0, "message": message, "logprobs": None}
    return dumps({
        "id": said.get("id") or "",
        "object": "chat.completion",
        "created": created,
        "model": said.get("model") or "",
        "choices": [{**choice, "finish_reason": finish_of(said, calls="tool_calls" in message)}],
        "usage": openai_usage(said.get("usage")),
    })  # fmt: skip


def finish_of(response: Mapping[str, Any], *, calls: bool) -> str:
    """Returns the finish_reason of a response. `calls`: it calls tools."""
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    if isinstance(reason, str) and response.get("status") != "completed":
        return FINISH_OF.get(reason, "length")
    return "tool_calls" if calls else "stop"


def _message(output: list[Any]) -> dict[str, Any]:
    texts, refusals, thoughts = [], [], []
    calls: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    for item in output:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "message":
            text, refusal = _texts(item)
            texts.append(text)
            refusals.append(refusal)
        elif kind == "function_call":
            function = {"name": item.get("name") or "", "arguments": item.get("arguments") or "{}"}
            calls.append({"id": item.get("call_id") or "", "type": "function", "function": function})
        elif kind == "reasoning":
            thoughts += [part.get("text") or "" for part in _list(item, "summary") + _list(item, "content")]
            if item.get("encrypted_content"):
                details.append(_sealed(item))
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) or None,
        "refusal": "".join(refusals) or None,
    }
    if any(thoughts):
        message["reasoning_content"] = "\n".join(thoughts)
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    return message


def _texts(item: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the text and the refusal of a message."""
    parts = _list(item, "content")
    return "".join(part.get("text") or "" for part in parts), "".join(part.get("refusal") or "" for part in parts)


def _sealed(item: Mapping[str, Any]) -> dict[str, Any]:
    data = {"type": "reasoning.encrypted", "data": item.get("encrypted_content"), "format": REASONING_FORMAT}
    return {**data, "id": item.get("id"), "index": 0}


def _beyond(said: dict[str, Any]) -> dict[str, Any]:
    """Returns the delta of an event that chat has nothing like. An item of a tool that runs at OpenAI is a part of the answer."""
    kind = _part(said, "item").get("type")
    return {} if kind is None or kind in _PLAIN else {BEYOND: str(kind)[:64]}


def _list(holder: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = holder.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _part(said: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = said.get(key)
    return found if isinstance(found, dict) else {}


def _sse(chunk: dict[str, Any]) -> bytes:
    return b"data: " + dumps(chunk) + b"\n\n"
