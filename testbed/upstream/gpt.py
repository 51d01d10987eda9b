"""ScriptedGpt is OpenAI's chat API on command: it checks each request by OpenAI's own types, and answers with texts or a call.

It stands in for a paid API. What it takes is decided by the types that OpenAI publishes with its own client, without a field
more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from openai.types.chat import ChatCompletionMessageParam
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import ConfigDict, TypeAdapter, ValidationError

from testbed.upstream.claude import consumed
from testbed.upstream.scripted import Received
from testbed.upstream.steps import Status, Step, error_body
from testbed.upstream.wire import CREATED, event, stream_of, usage

_EXACT = ConfigDict(extra="forbid")
_REQUEST: TypeAdapter[Any] = TypeAdapter(list[CompletionCreateParamsNonStreaming], config=_EXACT)
_MESSAGES: TypeAdapter[Any] = TypeAdapter(list[ChatCompletionMessageParam], config=_EXACT)
_APART = ("stream", "messages")
_BASE = {"id": "chatcmpl-011", "created": CREATED, "model": "gpt-6"}
PIECE = 5  # characters of a streamed text or of arguments in one chunk


def mistake_in(body: Any) -> str:
    """Returns the words with which the API refuses a request; "" if it takes it."""
    try:
        consumed(_REQUEST.validate_python([{**{k: v for k, v in body.items() if k not in _APART}, "messages": []}]))
        consumed(_MESSAGES.validate_python(body["messages"]))
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"
    asked: set[str] = set()
    for number, message in enumerate(body["messages"]):
        if message["role"] == "tool":
            if message["tool_call_id"] not in asked:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            asked.discard(message["tool_call_id"])
        elif asked:
            return f"messages.{number}: an assistant message with 'tool_calls' must be followed by tool messages"
        asked |= {call["id"] for call in message.get("tool_calls") or ()}
    return ""


@dataclass
class ScriptedGpt:
    """A ScriptedGpt is what a ScriptedUpstream asks for its steps (`choose`).

    It says `text`; `form` if a form of the answer, or a call, is demanded; calls the first tool with `arguments` if a message
    holds `wish`, and says `done` once a result holds `proof`. `mistakes` are the refusals that requests have met.
    """

    text: str
    form: str
    wish: str
    arguments: dict[str, Any]
    proof: str
    done: str
    cut: int | None = None  # events of a stream after which the connection closes
    mistakes: list[str] = field(default_factory=list)

    def choose(self, received: Received) -> Step | None:
        """Returns the step for a request."""
        body = received.json
        if received.method != "POST":
            return None
        if wrong := mistake_in(body):
            self.mistakes.append(wrong)
            return Status(400, error_body(wrong, "invalid_request_error"))
        message = self._message(body)
        reason = "tool_calls" if "tool_calls" in message else "stop"
        if not body.get("stream"):
            whole = {**_BASE, "object": "chat.completion", "usage": usage(7)}
            return Status(200, {**whole, "choices": [{"index": 0, "message": message, "finish_reason": reason}]})
        counted = bool((body.get("stream_options") or {}).get("include_usage"))
        events = list(_events(message, reason, counted=counted))
        return stream_of(events, self.cut if self.cut is not None and self.cut < len(events) else None)

    def _message(self, body: dict[str, Any]) -> dict[str, Any]:
        said = {"role": "assistant", "content": self.text}
        results = [message for message in body["messages"] if message["role"] == "tool"]
        if any(self.proof in json.dumps(message) for message in results):
            return {**said, "content": self.done}
        wished = self.wish in json.dumps(body["messages"])
        if body.get("tools") and (wished or body.get("tool_choice") not in (None, "auto", "none")):
            name = body["tools"][0]["function"]["name"]
            function = {"name": name, "arguments": json.dumps(self.arguments) if wished else self.form}
            return {**said, "content": None, "tool_calls": [{"id": "call_7", "type": "function", "function": function}]}
        if (body.get("response_format") or {}).get("type") == "json_schema":
            return {**said, "content": self.form}
        return said


def _events(message: dict[str, Any], reason: str, *, counted: bool) -> Iterable[bytes]:
    """Returns the answer as a stream, event by event, as OpenAI writes it: padded, with a usage of null until the last one."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        held = {"usage": None} if counted else {}
        return event({**_BASE, "object": "chat.completion.chunk", "choices": [choice], **held, "obfuscation": "aGk"})

    yield chunk({"role": "assistant", "content": None, "refusal": None})
    for call in message.get("tool_calls", ()):
        opened = {**call, "index": 0, "function": {**call["function"], "arguments": ""}}
        yield chunk({"tool_calls": [opened]})
        for piece in _pieces(call["function"]["arguments"]):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    for piece in _pieces(message["content"] or ""):
        yield chunk({"content": piece})
    yield chunk({}, reason)
    if counted:
        yield event({**_BASE, "object": "chat.completion.chunk", "choices": [], "usage": usage(7)})
    yield b"data: [DONE]\n\n"


def _pieces(text: str) -> list[str]:
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
