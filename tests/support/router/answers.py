"""These chunks are as servers stream them; beside them is the whole answer that is rebuilt from them."""

from __future__ import annotations

from typing import Any

import orjson

from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.rebuild import Rebuild

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def rebuilt(api: Api, *events: Any) -> Any:
    reader = Rebuild(api)
    for event in events:
        reader.feed(b"data: " + orjson.dumps(event) + b"\n\n")
    reader.feed(b"data: [DONE]\n\n")
    return orjson.loads(reader.answer())


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**base, "choices": list(choices), **more}


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "logprobs": None, "finish_reason": finish}


def call(
    index: int | None, identity: str | None = None, name: str | None = None, arguments: str = ""
) -> dict[str, Any]:
    entry: dict[str, Any] = {"function": {"arguments": arguments}}
    if index is not None:
        entry["index"] = index
    if identity is not None:
        entry |= {"id": identity, "type": "function"}
    if name is not None:
        entry["function"] = {"name": name, "arguments": arguments}
    return entry


def whole_call(identity: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}
