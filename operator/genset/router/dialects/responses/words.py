"""These are the words of OpenAI's Responses API that both directions of its dialect need. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

WIRE: Final = "responses"
PATH: Final = "/responses"
#: The `format` of `reasoning_details` that hold OpenAI's sealed thinking; the name is OpenRouter's.
REASONING_FORMAT: Final = "openai-responses-v1"
ENCRYPTED: Final = "reasoning.encrypted_content"
LOGPROBS: Final = "message.output_text.logprobs"
#: incomplete_details.reason -> finish_reason.
FINISH_OF: Final[Mapping[str, str]] = {"max_output_tokens": "length", "content_filter": "content_filter"}


def openai_usage(usage: Any) -> dict[str, Any]:
    """Returns the usage of a response in the form of chat."""
    usage = usage if isinstance(usage, dict) else {}
    prompt, made = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    told: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
    read, thought = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    if isinstance(read, dict):
        told["prompt_tokens_details"] = {"cached_tokens": _count(read, "cached_tokens")}
        if written := _count(read, "cache_write_tokens"):
            told["prompt_tokens_details"]["cache_write_tokens"] = written
    if isinstance(thought, dict):
        told["completion_tokens_details"] = {"reasoning_tokens": _count(thought, "reasoning_tokens")}
    return told


def error_in(said: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the error of an event or a response in OpenAI's shape: flat, nested, or that of a response that failed."""
    held = said.get("error")
    found = held if isinstance(held, dict) else said
    message, code = found.get("message"), found.get("code")
    kind = found.get("type")
    return {
        "message": message if isinstance(message, str) else "",
        "type": kind if isinstance(kind, str) and kind != "error" else "server_error",
        "param": found.get("param"),
        "code": code if isinstance(code, str) else None,
    }


def _count(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
