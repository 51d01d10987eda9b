"""Translates a whole answer, and an error, of Anthropic's Messages API into OpenAI's form. Pure."""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.anthropic.words import (
    FINISH_OF,
    REASONING_FORMAT,
    REDACTED,
    REFUSAL,
    TEXT,
    THINKING,
    TOOL_USE,
    openai_usage,
)
from genset.router.dialects.tape import Tape
from genset.router.dialects.tolerant import dumps, loads

FILTERED: Final = "content_filter"  # as `code` of an error, and as finish_reason


def answer_of(body: bytes, created: int, tape: Tape | None = None) -> bytes:
    """Returns the whole answer as a chat.completion; an error of OpenAI's form if it is none. Raises ValueError.

    `created` is the time now, in seconds since 1970. `tape`: keeps the answer for a client that gets it as it is.
    """
    said = loads(body)
    if not isinstance(said, dict):
        raise ValueError("it is no JSON object")
    if said.get("type") == "error" or (said.get("error") and "content" not in said):
        return dumps({"error": error_in(said)})
    content, reason = said.get("content"), said.get("stop_reason")
    if not isinstance(content, list):
        raise ValueError("it has no content")
    message, calls = _message(content)
    if not reason:
        raise ValueError("it has no stop_reason, so it is cut")
    if tape is not None:
        tape.keep_whole(said)
        reason = reason if finish_of(reason, calls=False) else "end_turn"  # the client knows what it means
    elif reason == REFUSAL and not (message["content"] or calls):
        return dumps({"error": refusal_error(said)})
    finish = finish_of(reason, calls=bool(calls))
    if not finish:
        raise ValueError(f"it ended with stop_reason {str(reason)[:64]}")
    if reason == REFUSAL:
        message["refusal"] = explanation_of(said)
    usage = said.get("usage")
    return dumps({
        "id": said.get("id") or "",
        "object": "chat.completion",
        "created": created,
        "model": said.get("model") or "",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": openai_usage(usage if isinstance(usage, dict) else {}),
    })  # fmt: skip


def finish_of(reason: Any, *, calls: bool) -> str:
    """Returns the finish_reason for a stop_reason; "" if that is no end of an answer. `calls`: the answer calls tools."""
    finish = FINISH_OF.get(reason, "") if isinstance(reason, str) else ""
    return "tool_calls" if calls and finish == "stop" else finish


def refusal_error(said: dict[str, Any]) -> dict[str, Any]:
    """Returns the error that a refusal without a word of an answer is."""
    return {"message": explanation_of(said), "type": REFUSAL, "param": None, "code": FILTERED}


def explanation_of(said: dict[str, Any]) -> str:
    """Returns why the model refused, in words for people. `said` may hold `stop_details`."""
    details = said.get("stop_details")
    details = details if isinstance(details, dict) else {}
    explanation, category = details.get("explanation"), details.get("category")
    if isinstance(explanation, str) and explanation:
        return explanation
    return f"The model refused to answer ({category})." if isinstance(category, str) else "The model refused to answer."


def error_in(said: dict[str, Any]) -> dict[str, Any]:
    """Returns an error of Anthropic's in OpenAI's form; what names the reason stays."""
    error = said.get("error")
    if not isinstance(error, dict):
        return {"message": error if isinstance(error, str) else "", "type": "api_error", "param": None, "code": None}
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    return {**error, "param": error.get("param"), "code": error.get("code") or code or error.get("type")}


def error_of(body: bytes) -> bytes:
    """Returns the body of an answer with an error's status in OpenAI's form; as it is, if it is not of Anthropic's."""
    try:
        said = loads(body)
    except ValueError:
        return body
    if not isinstance(said, dict) or not isinstance(said.get("error"), dict):
        return body
    return dumps({"error": error_in(said)})


def signed(text: str, signature: str, index: int) -> dict[str, Any]:
    """Returns signed thinking as an entry of `reasoning_details`."""
    return {"type": "reasoning.text", "text": text, "signature": signature, "format": REASONING_FORMAT, "index": index}


def redacted(data: Any, index: int) -> dict[str, Any]:
    """Returns thinking that nobody may read as an entry of `reasoning_details`."""
    return {"type": "reasoning.encrypted", "data": data, "format": REASONING_FORMAT, "index": index}


def _message(content: list[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the message that the blocks make, and the calls of tools in it."""
    texts: list[str] = []
    thoughts: list[str] = []
    details: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in content:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == TEXT and isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif kind == THINKING:
            thought, signature = block.get("thinking"), block.get("signature")
            if isinstance(thought, str) and thought:
                thoughts.append(thought)
            if isinstance(signature, str) and signature:
                details.append(signed(thought if isinstance(thought, str) else "", signature, len(details)))
        elif kind == REDACTED:
            details.append(redacted(block.get("data"), len(details)))
        elif kind == TOOL_USE:
            function = {"name": block.get("name") or "", "arguments": dumps(block.get("input") or {}).decode()}
            calls.append({"id": block.get("id") or "", "type": "function", "function": function})
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None, "refusal": None}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    return message, calls
