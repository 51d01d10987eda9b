"""ScriptedClaude is Anthropic's Messages API on command: it checks each request as the API would, and plays its streams.

It stands in for a paid API. What it takes is decided by the types that Anthropic publishes with its own client, without a field
more, and by rules of the API that no type can say, each with the words of the real refusal. Its streams are written byte for
byte as the API writes them, padding and all (tests/lib/streaming/fixtures of anthropic-sdk-python, rewritten).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from anthropic.types import ContentBlockParam
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from pydantic import ConfigDict, TypeAdapter, ValidationError

from testbed.upstream.scripted import Received
from testbed.upstream.steps import Status, Step
from testbed.upstream.wire import stream_of

_EXACT = ConfigDict(extra="forbid")
_REQUEST: TypeAdapter[Any] = TypeAdapter(list[MessageCreateParamsNonStreaming], config=_EXACT)
_BLOCK: TypeAdapter[Any] = TypeAdapter(list[ContentBlockParam], config=_EXACT)
_PREFILL = re.compile(r"claude-(haiku|sonnet|opus)-4-5")
_OLDER_MODELS = re.compile(r"claude-(haiku|sonnet|opus)-4-[56]")
_ALWAYS = re.compile(r"claude-((sonnet|opus)-5-5|fable|mythos)")
_UNFORCED = re.compile(r"claude-((sonnet|opus)-5-5|(fable|mythos)-5-1)")
_SAMPLING = ("temperature", "top_p", "top_k")
_APART = ("stream", *_SAMPLING)
_ID = re.compile(r"[a-zA-Z0-9_-]+")
VERSIONS = ("2023-06-01", "2026-10-21")
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nrequest-id: req_011\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def mistake_in(body: Any, headers: Mapping[str, str]) -> str:
    """Returns the words with which the API refuses a request; "" if it takes it."""
    version = headers.get("anthropic-version", "")
    if version not in VERSIONS:
        return "anthropic-version: header is required"
    if not isinstance(body, dict):
        return "The request body is not valid JSON"
    if wrong := _by_types(body):
        return wrong
    return _of_turns(body["messages"], body) or _of_model(body, version)


def _by_types(body: dict[str, Any]) -> str:
    try:  # the types are those of the newest version of the API, which has no sampling
        consumed(_REQUEST.validate_python([{key: value for key, value in body.items() if key not in _APART}]))
        for message in body["messages"]:
            if isinstance(message["content"], list):
                consumed(_BLOCK.validate_python(message["content"]))
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"
    return ""


def consumed(value: Any) -> Any:
    """Validates what pydantic validates only when it is looked at."""
    if isinstance(value, dict):
        return {key: consumed(held) for key, held in value.items()}
    if isinstance(value, str | bytes | int | float | type(None)):
        return value
    return [consumed(held) for held in value]


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _of_turns(messages: list[dict[str, Any]], body: dict[str, Any]) -> str:
    if not messages:
        return "messages: at least one message is required"
    if messages[0]["role"] != "user":
        return 'messages: first message must use the "user" role'
    asked: set[str] = set()
    ids: set[str] = set()
    for number, message in enumerate(messages):
        blocks = _blocks(message)
        if not blocks:
            return f"messages.{number}: all messages must have non-empty content"
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            return f"messages.{number}: text content blocks must contain non-whitespace text"
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if asked - set(results):
            return (
                f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: {asked}"
            )
        if set(results) - asked:
            return f"messages.{number}.content: unexpected `tool_use_id` found in `tool_result` blocks: {results}"
        if any(block["type"] != "tool_result" for block in blocks[: len(results)]):
            return f"messages.{number}: `tool_result` blocks must come first"
        asked = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if any(not _ID.fullmatch(one) for one in asked):
            return f"messages.{number}: tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        if asked & ids:
            return f"messages.{number}: `tool_use` ids must be unique"
        ids |= asked
        if message["role"] != "user" and any(block["type"] in ("image", "document") for block in blocks):
            return f"messages.{number}: {message['role']} messages may not hold images or documents"
    return f"messages: `tool_use` ids were found without `tool_result` blocks: {asked}" if asked else ""


def _of_model(body: dict[str, Any], version: str) -> str:
    model, thinking = body["model"], (body.get("thinking") or {}).get("type")
    sampling = [key for key in _SAMPLING if key in body]
    if sampling and (version == VERSIONS[1] or ("claude" in model and not _OLDER_MODELS.search(model))):
        return f"{sampling[0]}: is not supported in this version or on this model"
    if "temperature" in sampling and "top_p" in sampling:
        return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    if sampling and not 0 <= body.get("temperature", 0) <= 1:
        return "temperature: range: 0..1"
    if body["messages"][-1]["role"] == "assistant":
        if not _PREFILL.search(model):
            return (
                "This model does not support assistant message prefill. The conversation must end with a user message."
            )
        last = _blocks(body["messages"][-1])[-1]
        if last["type"] == "text" and last["text"] != last["text"].rstrip():
            return "messages: final assistant content cannot end with trailing whitespace"
        if thinking == "enabled" or "format" in body.get("output_config", {}):
            return "messages: prefill is not compatible with thinking or output formats"
    choice = (body.get("tool_choice") or {}).get("type")
    if choice in ("any", "tool") and (_UNFORCED.search(model) or thinking in ("enabled", "adaptive")):
        return "Thinking may not be enabled when tool_choice forces tool use."
    if choice and not body.get("tools"):
        return "tool_choice: tool_choice may only be specified while providing tools"
    if thinking in ("enabled", "disabled") and _ALWAYS.search(model):
        return f"thinking.type: {thinking} is not supported on this model"
    if thinking == "enabled" and body["thinking"]["budget_tokens"] >= body["max_tokens"]:
        return "`max_tokens` must be greater than `thinking.budget_tokens`."
    if body["max_tokens"] < 1 or body["max_tokens"] > (64_000 if _PREFILL.search(model) else 128_000):
        return f"max_tokens: {body['max_tokens']} > 64000, which is the maximum allowed number of output tokens for {model}"
    if thinking == "enabled" and _lacks_thoughts(body["messages"]):
        return (
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is "
            "enabled, a final `assistant` message must start with a thinking block"
        )
    if any(not one.strip() for one in body.get("stop_sequences", ())):
        return "stop_sequences: each stop sequence must contain non-whitespace"
    return ""


def _lacks_thoughts(messages: list[dict[str, Any]]) -> bool:
    """Returns whether the model is to go on from results of calls that have no thoughts."""
    if len(messages) < 2 or _blocks(messages[-1])[0]["type"] != "tool_result":
        return False
    return _blocks(messages[-2])[0]["type"] not in ("thinking", "redacted_thinking")


# Answers


@dataclass(frozen=True)
class Told:
    """What the model says: thoughts (with a signature), texts, calls of tools as (id, name, JSON in pieces)."""

    texts: tuple[str, ...] = ()
    thoughts: tuple[str, ...] = ()
    signature: str = "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"
    calls: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    stop_reason: str = "end_turn"
    stop_details: dict[str, Any] | None = None
    model: str = "claude-opus-5"
    usage: dict[str, Any] = field(
        default_factory=lambda: {
            "input_tokens": 377,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 100,
            "output_tokens": 1,
        }
    )
    output_tokens: int = 65

    def blocks(self) -> list[dict[str, Any]]:
        """Returns the content of the whole answer."""
        found: list[dict[str, Any]] = []
        if self.thoughts:
            found.append({"type": "thinking", "thinking": "".join(self.thoughts), "signature": self.signature})
        if self.texts:
            found.append({"type": "text", "text": "".join(self.texts)})
        for identity, name, pieces in self.calls:
            given = json.loads("".join(pieces) or "{}")
            found.append({"type": "tool_use", "id": identity, "name": name, "input": given})
        return found

    def message(self) -> dict[str, Any]:
        """Returns the whole answer."""
        return {
            **self._head(),
            "content": self.blocks(),
            "stop_reason": self.stop_reason,
            "stop_details": self.stop_details,
            "usage": {**self.usage, "output_tokens": self.output_tokens},
        }

    def events(self) -> tuple[bytes, ...]:
        """Returns the answer as a stream, event by event."""
        return tuple(self._events())

    def _head(self) -> dict[str, Any]:
        return {
            "id": "msg_4QpJur2dWWDjF6C758FbBw5vm12BaVipnK",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": self.model,
            "stop_reason": None,
            "stop_sequence": None,
        }

    def _events(self) -> Iterable[bytes]:
        yield event("message_start", {"message": {**self._head(), "usage": self.usage}})
        index = 0
        if self.thoughts:
            yield _start(index, {"type": "thinking", "thinking": "", "signature": ""})
            for text in self.thoughts:
                yield _delta(index, {"type": "thinking_delta", "thinking": text})
            yield _delta(index, {"type": "signature_delta", "signature": self.signature})
            yield event("content_block_stop", {"index": index})
            index += 1
        if self.texts:
            yield _start(index, {"type": "text", "text": ""})
            yield b'event: ping\ndata: {"type": "ping"}\n\n'
            for text in self.texts:
                yield _delta(index, {"type": "text_delta", "text": text})
            yield event("content_block_stop", {"index": index})
            index += 1
        for identity, name, pieces in self.calls:
            yield _start(index, {"type": "tool_use", "id": identity, "name": name, "input": {}})
            yield _delta(index, {"type": "input_json_delta", "partial_json": ""})
            for piece in pieces:
                yield _delta(index, {"type": "input_json_delta", "partial_json": piece})
            yield event("content_block_stop", {"index": index})
            index += 1
        end = {"stop_reason": self.stop_reason, "stop_sequence": None, "stop_details": self.stop_details}
        yield event("message_delta", {"delta": end, "usage": {"output_tokens": self.output_tokens}})
        yield event("message_stop", {})


def event(kind: str, data: Mapping[str, Any]) -> bytes:
    """Returns one event as the API writes it: its JSON is padded in front of the last brace."""
    text = json.dumps({"type": kind, **data}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {text[:-1]}{' ' * (len(text) % 7)}}}\n\n".encode()


def error_event(kind: str = "overloaded_error", message: str = "Overloaded") -> bytes:
    return event("error", {"error": {"type": kind, "message": message}, "request_id": "req_011"})


def refused(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None, **details: Any) -> Status:
    """Returns an answer with an error's status."""
    error: dict[str, Any] = {"type": kind, "message": message}
    if details:
        error["details"] = details
    body = {"type": "error", "error": error, "request_id": "req_011"}
    return Status(status, body, {"request-id": "req_011", **(headers or {})})


def _start(index: int, block: dict[str, Any]) -> bytes:
    return event("content_block_start", {"index": index, "content_block": block})


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return event("content_block_delta", {"index": index, "delta": delta})


@dataclass
class ScriptedClaude:
    """A ScriptedClaude is what a ScriptedUpstream asks for its steps (`choose`).

    `told` is what it answers; `steps` come first, one for each request. `cut`: events of the stream after which `how` happens.
    `mistakes` are the refusals that requests have met: a test that expects none asserts that it is empty.
    """

    told: Told = field(default_factory=lambda: Told(texts=("Hello", " there")))
    steps: list[Step] = field(default_factory=list)
    cut: int | None = None
    how: str = "fin"
    key: str = ""
    mistakes: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def choose(self, received: Received) -> Step | None:
        """Returns the step for a request."""
        if received.method != "POST":
            return None
        if self.key and received.headers.get("x-api-key") != self.key:
            return refused(401, "authentication_error", "invalid x-api-key")
        if not received.path.endswith("/v1/messages"):
            self.mistakes.append(received.path)
            return refused(404, "not_found_error", "Not found")
        if wrong := mistake_in(received.json, received.headers):
            self.mistakes.append(wrong)
            return refused(400, "invalid_request_error", wrong)
        if "x-request-id" in received.headers:
            self.bodies.append(received.json)
            if self.steps:
                return self.steps.pop(0)
        if not received.json.get("stream"):
            return Status(200, self.told.message(), {"request-id": "req_011"})
        return self.stream(self.told.events())

    def stream(self, events: tuple[bytes, ...]) -> Step:
        """Returns a stream of these events, each a chunk, which breaks if it was told to."""
        return stream_of(events, self.cut, self.how, HEAD)
