"""Translates a request of the Responses API into one of OpenAI's chat.

The router keeps nothing between requests: `store` is accepted, because it is on by default, and the answer says that nothing was
stored; what needs a stored answer is refused. Source: the types of the openai package 3.57.0, and what Codex 0.171 sends. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.client import RefusedRequest
from genset.router.dialects.responses.items import InputItems
from genset.router.dialects.responses.tools import UNSUPPORTED, Tools
from genset.router.dialects.turns import in_turns

#: Fields that are read below. Any other is named among what was left out.
_READ: Final = frozenset((
    "model", "input", "instructions", "stream", "max_output_tokens", "temperature", "top_p", "tools", "tool_choice",
    "parallel_tool_calls", "text", "reasoning", "top_logprobs", "include", "user", "safety_identifier", "metadata", "store",
    "service_tier", "truncation", "max_tool_calls", "stream_options",
))  # fmt: skip
_NEEDS_STORE: Final = "this router keeps no answers; send the whole input, and leave it out"
#: Field -> why it cannot be served, and what to do.
_REFUSED: Final = {
    "previous_response_id": _NEEDS_STORE,
    "conversation": _NEEDS_STORE,
    "background": "this router keeps no answers; wait for the answer, or stream it, and leave it out",
    "background_options": "this router keeps no answers; leave it out",
    "prompt": "templates are stored at OpenAI; send their text in instructions and input",
    "context_management": "this router changes no conversation; shorten the input yourself, and leave it out",
    "moderation": "no backend of this router moderates an answer; ask for that apart, and leave it out",
}
_LOGPROBS: Final = "message.output_text.logprobs"
_EFFORTS: Final = {
    "none": "none",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
_PASSED: Final = ("temperature", "top_p", "parallel_tool_calls")


def chat_of(body: dict[str, Any]) -> tuple[dict[str, Any], Tools, tuple[str, ...], bool]:
    """Returns the request in OpenAI's chat, its tools, what was left out, and whether it has seals. Raises RefusedRequest."""
    for key, remedy in _REFUSED.items():
        if body.get(key):
            raise RefusedRequest(key, f"{key} is not supported: {remedy}", UNSUPPORTED)
    dropped = [key for key in body if key not in _READ and key not in _REFUSED and body[key] not in (None, [], {})]
    tools = Tools()
    tools.read(body.get("tools"))
    conversation = InputItems(tools)
    conversation.read(body.get("input"))
    chat: dict[str, Any] = {"model": body.get("model"), "messages": _messages(body, conversation)}
    choice = tools.choice(body.get("tool_choice"))
    if tools.functions:
        chat["tools"] = tools.functions
        if choice is not None:
            chat["tool_choice"] = choice
    _stream(chat, body.get("stream"))
    for key in _PASSED:
        if body.get(key) is not None and (tools.functions or key != "parallel_tool_calls"):
            chat[key] = body[key]
    _limit(chat, body.get("max_output_tokens"))
    _form(chat, body.get("text"))
    _think(chat, body.get("reasoning"))
    _logprobs(chat, body, dropped)
    user = body.get("safety_identifier") or body.get("user")
    if isinstance(user, str) and user:
        chat["user"] = user
    return chat, tools, (*dropped, *tools.dropped, *conversation.dropped), conversation.sealed


def _messages(body: dict[str, Any], conversation: InputItems) -> list[dict[str, Any]]:
    instructions = body.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise RefusedRequest("instructions", "instructions is no text; send one")
    first = [{"role": "system", "content": instructions}] if instructions else []
    return in_turns([*first, *conversation.messages])


def _stream(chat: dict[str, Any], value: Any) -> None:
    if value is True:
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}  # each response ends with its usage
    elif value not in (None, False):
        raise RefusedRequest("stream", "stream is neither true nor false; send one of them")


def _limit(chat: dict[str, Any], value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RefusedRequest("max_output_tokens", "max_output_tokens is no number above 0; send one, or leave it out")
    chat["max_tokens"] = value


def _form(chat: dict[str, Any], text: Any) -> None:
    if text is None:
        return
    if not isinstance(text, dict):
        raise RefusedRequest("text", "text is no object; send one with format or verbosity")
    if isinstance(text.get("verbosity"), str) and text["verbosity"] != "medium":
        chat["verbosity"] = text["verbosity"]
    form = text.get("format")
    kind = form.get("type") if isinstance(form, dict) else None
    if form is None or kind == "text":
        return
    if kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind == "json_schema" and isinstance(form, dict) and isinstance(form.get("schema"), dict):
        held = {key: form[key] for key in ("name", "description", "schema", "strict") if form.get(key) is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": "output", **held}}
    else:
        raise RefusedRequest(
            "text.format", "text.format is not text, json_object, or json_schema with its schema; use one of these"
        )


def _think(chat: dict[str, Any], reasoning: Any) -> None:
    if reasoning is None:
        return
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else reasoning
    if effort is None:
        return
    if not isinstance(effort, str) or effort not in _EFFORTS:
        raise RefusedRequest(
            "reasoning.effort", f"reasoning.effort is not one of {', '.join(_EFFORTS)}; use one of these"
        )
    if effort == "none":
        chat["chat_template_kwargs"] = {"enable_thinking": False}
    else:
        chat["reasoning_effort"] = _EFFORTS[effort]


def _logprobs(chat: dict[str, Any], body: dict[str, Any], dropped: list[str]) -> None:
    include = body.get("include")
    if include is not None and not isinstance(include, list):
        raise RefusedRequest("include", "include is no list; send a list of what the answer should hold")
    for entry in include or ():
        if entry == _LOGPROBS:
            chat["logprobs"] = True
        else:  # what only a provider's own answers hold
            dropped.append(f"include:{entry}")
    most = body.get("top_logprobs")
    if most is None or (most == 0 and "logprobs" not in chat):
        return
    if not isinstance(most, int) or isinstance(most, bool) or most < 0:
        raise RefusedRequest("top_logprobs", "top_logprobs is no number; send one from 0 to 20")
    chat["logprobs"] = True
    chat["top_logprobs"] = most
