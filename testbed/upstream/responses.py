"""ScriptedResponses is OpenAI's Responses API on command: it checks each request by OpenAI's own types, and plays streams.

It stands in for a paid API. A field that the types do not know is refused, as the API refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import ConfigDict, TypeAdapter, ValidationError

from testbed.upstream.claude import consumed
from testbed.upstream.scripted import Received
from testbed.upstream.steps import Status, Step
from testbed.upstream.wire import stream_of

_REQUEST: TypeAdapter[Any] = TypeAdapter(list[ResponseCreateParamsNonStreaming], config=ConfigDict(extra="forbid"))


_GIVEN: dict[str, dict[str, Any]] = {"message": {"id": "msg_", "status": "completed"}, "reasoning": {"id": "rs_"}}


def _with_ids(given: Any) -> Any:
    """Returns the input with ids of what an answer was made of: the types demand them, the API does not (Codex sends none)."""
    if not isinstance(given, list):
        return given
    said = ({"type": "message", **i} if isinstance(i, dict) and i.get("role") == "assistant" else i for i in given)
    kinds = ("assistant", None)
    return [
        {**_GIVEN[i["type"]], **i} if isinstance(i, dict) and i.get("type") in _GIVEN and i.get("role") in kinds
        and isinstance(i.get("content"), list | None) else i
        for i in said
    ]  # fmt: skip


def unknown_in(given: Any) -> str:
    """Returns the words for thoughts without a seal that this API has not written; "" if there are none (openclaw#21782)."""
    for item in given if isinstance(given, list) else ():
        if item.get("type") == "reasoning" and not item.get("encrypted_content") and item.get("id") != "rs_1":
            return f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
        if len(item.get("call_id") or "") > 64:
            return "Invalid 'input[0].call_id': string too long. Expected a string with maximum length 64."
    return ""


def mistake_in(body: Any) -> str:
    """Returns the words with which the API refuses a request; "" if it takes it."""
    if unknown := unknown_in(body.get("input")):
        return unknown
    asked = {**body, "input": _with_ids(body.get("input"))} if "input" in body else body
    try:
        consumed(_REQUEST.validate_python([{key: value for key, value in asked.items() if key != "stream"}]))
    except ValidationError as error:
        first = error.errors()[0]
        return f"Unknown or wrong parameter: {'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"
    if body.get("max_output_tokens", 16) < 16:
        return "Invalid 'max_output_tokens': integer below minimum value."
    return ""


@dataclass(frozen=True)
class Said:
    """What the model says: thoughts (sealed if `seal`), texts, calls as (id, name, arguments in pieces), a search before all."""

    texts: tuple[str, ...] = ()
    thoughts: tuple[str, ...] = ()
    seal: str = ""
    calls: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    searched: bool = False
    incomplete: str = ""
    usage: Mapping[str, Any] = field(
        default_factory=lambda: {
            "input_tokens": 30, "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 0},
            "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 37,
        }
    )  # fmt: skip

    def items(self) -> list[dict[str, Any]]:
        """Returns the items of the whole answer."""
        items: list[dict[str, Any]] = []
        if self.searched:
            action = {"type": "search", "query": "five"}
            items.append({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action})
        if self.thoughts:
            summary = [{"type": "summary_text", "text": "".join(self.thoughts)}]
            items.append(
                {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": self.seal or None}
            )
        if self.texts:
            part = {"type": "output_text", "text": "".join(self.texts), "annotations": [], "logprobs": []}
            items.append(
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
            )
        for identity, name, pieces in self.calls:
            call = {"type": "function_call", "id": f"fc_{identity}", "call_id": identity, "name": name}
            items.append({**call, "arguments": "".join(pieces), "status": "completed"})
        return items

    def response(self, status: str = "") -> dict[str, Any]:
        """Returns the whole response; as it is at its beginning, if a status is given."""
        ended = not status
        response = {
            "id": "resp_up", "object": "response", "created_at": 1_700_000_000, "model": "gpt-6-2026", "store": False,
            "status": status or ("incomplete" if self.incomplete else "completed"), "error": None, "metadata": {},
            "incomplete_details": {"reason": self.incomplete} if self.incomplete and ended else None,
            "instructions": None, "output": self.items() if ended else [], "parallel_tool_calls": True, "temperature": 1.0,
            "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": self.usage if ended else None,
        }  # fmt: skip
        Response.model_validate(response)
        return response

    def events(self) -> tuple[bytes, ...]:
        """Returns the answer as a stream, event by event."""
        return tuple(
            event({"type": kind, "sequence_number": number, **data})
            for number, (kind, data) in enumerate(self._events())
        )

    def _events(self) -> Iterable[tuple[str, dict[str, Any]]]:
        yield "response.created", {"response": self.response("in_progress")}
        yield "response.in_progress", {"response": self.response("in_progress")}
        for index, item in enumerate(self.items()):
            place = {"output_index": index}
            opened = {key: value for key, value in item.items() if key != "encrypted_content"}
            empty = {"status": "in_progress"} if "status" in item else {}
            bare = {"summary": []} if "summary" in item else {"content": []} if "content" in item else {}
            bare |= {"arguments": ""} if "arguments" in item else {}
            yield "response.output_item.added", {**place, "item": {**opened, **empty, **bare}}
            yield from self._of(item, {**place, "item_id": item["id"]})
            yield "response.output_item.done", {**place, "item": item}
        yield f"response.{'incomplete' if self.incomplete else 'completed'}", {"response": self.response()}

    def _of(self, item: dict[str, Any], place: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
        if item["type"] == "reasoning":
            for text in self.thoughts:
                yield "response.reasoning_summary_text.delta", {**place, "summary_index": 0, "delta": text}
        elif item["type"] == "message":
            part = item["content"][0]
            place = {**place, "content_index": 0}
            yield "response.content_part.added", {**place, "part": {**part, "text": ""}}
            for text in self.texts:
                yield "response.output_text.delta", {**place, "delta": text, "logprobs": [], "obfuscation": "xY"}
            yield "response.output_text.done", {**place, "text": part["text"], "logprobs": []}
            yield "response.content_part.done", {**place, "part": part}
        elif item["type"] == "function_call":
            for piece in next(pieces for identity, _, pieces in self.calls if identity == item["call_id"]):
                yield "response.function_call_arguments.delta", {**place, "delta": piece}
            yield (
                "response.function_call_arguments.done",
                {**place, "arguments": item["arguments"], "name": item["name"]},
            )


def event(data: Mapping[str, Any]) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


@dataclass
class ScriptedResponses:
    """A ScriptedResponses is what a ScriptedUpstream asks for its steps (`choose`); see `ScriptedClaude`."""

    said: Said = field(default_factory=lambda: Said(texts=("Hello", " there")))
    steps: list[Step] = field(default_factory=list)
    cut: int | None = None
    how: str = "fin"
    mistakes: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def choose(self, received: Received) -> Step | None:
        """Returns the step for a request."""
        if received.method != "POST":
            return None
        if not received.path.endswith("/v1/responses"):
            self.mistakes.append(received.path)
            return Status(404, {"error": {"message": "Not found"}})
        if wrong := mistake_in(received.json):
            self.mistakes.append(wrong)
            return Status(
                400, {"error": {"message": wrong, "type": "invalid_request_error", "code": "unknown_parameter"}}
            )
        self.bodies.append(received.json)
        if self.steps:
            return self.steps.pop(0)
        if not received.json.get("stream"):
            return Status(200, self.said.response())
        return self.stream(self.said.events())

    def stream(self, events: tuple[bytes, ...]) -> Step:
        """Returns a stream of these events, each a chunk, which breaks if it was told to."""
        return stream_of(events, self.cut, self.how)
