"""These are the words of Anthropic's Messages API that both directions of its dialect need: reasons, usage, errors, events.

Source: the types of the anthropic package 2.14.0, and platform.claude.com/docs/en/api/errors, read on 28 Nov 2026. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from genset.pricing.used import special_ways
from genset.router.dialects.openai.events import counts_of
from genset.router.dialects.tolerant import dumps

# Types of content blocks.
TEXT: Final = "text"
IMAGE: Final = "image"
DOCUMENT: Final = "document"
THINKING: Final = "thinking"
REDACTED: Final = "redacted_thinking"
TOOL_USE: Final = "tool_use"
TOOL_RESULT: Final = "tool_result"

# Types of the deltas of a stream.
TEXT_DELTA: Final = "text_delta"
THINKING_DELTA: Final = "thinking_delta"
SIGNATURE_DELTA: Final = "signature_delta"
JSON_DELTA: Final = "input_json_delta"

#: The `format` of `reasoning_details` that hold Anthropic's signed thinking; the name is OpenRouter's.
REASONING_FORMAT: Final = "anthropic-claude-v1"
#: How the system block begins that Claude Code changes with each request: it would end every prefix cache.
BILLING_HEADER: Final = "x-anthropic-billing-header:"

REFUSAL: Final = "refusal"
#: stop_reason -> finish_reason. `pause_turn` is missing: only tools that run at Anthropic pause.
FINISH_OF: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    REFUSAL: "content_filter",
}
#: finish_reason -> stop_reason. Any other finish_reason is no end of an answer.
STOP_OF: Final[Mapping[str, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": REFUSAL,
}

#: HTTP status -> `error.type`.
ERROR_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    451: "permission_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
#: `error.type` -> the HTTP status that it stands for inside a stream, where there is none.
ERROR_STATUSES: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def error_type(status: int) -> str:
    """Returns the `error.type` of an answer with this HTTP status."""
    return ERROR_TYPES.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")


def event(kind: str, data: Mapping[str, Any]) -> bytes:
    """Returns one event of a stream. Anthropic's own clients drop events without an `event:` line."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), dumps(data))


def openai_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Returns Anthropic's usage in OpenAI's form: there the prompt's tokens count what was read from and written to a cache."""
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    prompt, made = _count(usage, "input_tokens") + read + written, _count(usage, "output_tokens")
    told: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
    if read or written:
        parts: dict[str, Any] = {"cached_tokens": read, "cache_write_tokens": written}
        told["prompt_tokens_details"] = parts
        kept = usage.get("cache_creation")
        if isinstance(kept, dict) and (hour := _count(kept, "ephemeral_1h_input_tokens")):
            parts["cache_write_tokens_details"] = {"ttl_1h": hour}
    details = usage.get("output_tokens_details")
    if isinstance(details, dict) and (thought := _count(details, "thinking_tokens")):
        told["completion_tokens_details"] = {"reasoning_tokens": thought}
    told.update(special_ways(usage))
    if isinstance(usage.get("iterations"), list):  # what is in none of the numbers above: see `pricing.used`
        told["iterations"] = usage["iterations"]
    tools = usage.get("server_tool_use")
    if isinstance(tools, dict) and any(tools.values()):
        told["server_tool_use"] = tools
    return told


def anthropic_usage(usage: dict[str, Any]) -> dict[str, int]:
    """Returns OpenAI's usage in Anthropic's form, the four counts that each answer has."""
    details = usage.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    read, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    prompt, completion = counts_of(usage)
    return {
        "input_tokens": max(0, prompt - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": completion,
    }


def merged_usage(before: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the usage of a stream after one more event with counts.

    They are totals, so the last one counts, and what an event leaves out stays. An event with the tokens of the prompt
    counts the prompt anew: servers behind Anthropic's format split it only at the end (maximhq/bifrost#5355).
    """
    kept = {key: value for key, value in before.items() if value is not None}
    said = {key: value for key, value in told.items() if value is not None}
    if "input_tokens" in said:
        for key in ("cache_read_input_tokens", "cache_creation_input_tokens"):
            kept.pop(key, None)
    return {**kept, **said}


def _count(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
