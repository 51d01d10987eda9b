"""Translates a request of the Messages API into one of OpenAI's chat.

Every field acts, is refused with a remedy, or is named among what was left out. Source: the types of the anthropic package
2.14.0, and what Claude Code 2.1.197 sends. Pure.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from genset.router.dialects.anthropic.client_messages import messages_of, system_content
from genset.router.dialects.client import RefusedRequest
from genset.router.dialects.marks import CACHE
from genset.router.dialects.turns import in_turns

#: Fields that are read below, or that say nothing to a backend that is not Anthropic's.
_READ: Final = frozenset((
    "model", "messages", "system", "max_tokens", "stream", "stop_sequences", "temperature", "top_p", "top_k", "tools",
    "tool_choice", "thinking", "output_config", "output_format", "metadata", "cache_control", "user_profile_id",
))  # fmt: skip
#: Fields without which the answer would not be the one that was asked for -> why they cannot be served, and what to do. A
#: request with a thread holds only the newest messages of a conversation.
_ELSEWHERE: Final = "runs at Anthropic, and no backend of this router offers it; leave it out"
_REFUSED: Final = {
    "mcp_servers": _ELSEWHERE,
    "container": _ELSEWHERE,
    "compaction": "asks for a block that only Anthropic makes and reads; shorten the conversation yourself, and leave it out",
    "thread": "continues what Anthropic keeps, and this router keeps no conversation; send all messages, and leave it out",
}
_PASSED: Final = ("temperature", "top_p", "top_k")
_EFFORTS: Final = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_NAMED: Final = "output"  # the name of a schema, which only OpenAI's form has
#: Fields of a tool that only tell Anthropic how to offer it.
_OF_TOOLS: Final = (
    "input_examples", "defer_loading", "eager_input_streaming", "allowed_callers",
)  # fmt: skip


def chat_of(body: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the request in OpenAI's form, and the fields that were left out. Raises RefusedRequest."""
    dropped = [
        key for key in body if key not in _READ and key not in _REFUSED and body[key] not in (None, "auto", [], {})
    ]
    for key, why in _REFUSED.items():
        if body.get(key):
            raise RefusedRequest(key, f"{key} {why}")
    chat: dict[str, Any] = {"model": body.get("model"), "messages": _messages(body)}
    chat["max_tokens"] = _max_tokens(body.get("max_tokens"))
    if body.get("stream") is True:
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}  # each message ends with its usage
    elif body.get("stream") not in (None, False):
        raise RefusedRequest("stream", "stream is neither true nor false; send one of them")
    for key in _PASSED:
        if body.get(key) is not None:
            chat[key] = body[key]
    _stop(chat, body.get("stop_sequences"))
    _tools(chat, body, dropped)
    _think(chat, body)
    _form(chat, body)
    if isinstance(body.get(CACHE), dict):
        chat[CACHE] = body[CACHE]
    metadata = body.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if isinstance(user, str) and user:  # Claude Code puts account, device and session into it
        chat["user"] = hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()
    return chat, tuple(dropped)


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages, system = messages_of(body.get("messages")), system_content(body.get("system"))
    return in_turns([{"role": "system", "content": system}, *messages] if system else messages)


def _max_tokens(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RefusedRequest("max_tokens", "max_tokens is missing or no number above 0; say how long the answer may be")
    return value


def _stop(chat: dict[str, Any], value: Any) -> None:
    if value is None or value == []:
        return
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise RefusedRequest("stop_sequences", "stop_sequences is no list of texts; send one")
    chat["stop"] = value


# Tools


def _tools(chat: dict[str, Any], body: dict[str, Any], dropped: list[str]) -> None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools is not None and not isinstance(tools, list):
        raise RefusedRequest("tools", "tools is no list; send a list of tools")
    if tools:
        chat["tools"] = [_tool(tool, f"tools.{number}", dropped) for number, tool in enumerate(tools)]
    if choice is None or not tools:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool" and isinstance(choice.get("name"), str):
        chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif kind in ("auto", "any", "none"):
        chat["tool_choice"] = "required" if kind == "any" else kind
    else:
        raise RefusedRequest(
            "tool_choice", "tool_choice.type is not auto, any, none, or tool with a name; use one of these"
        )
    if choice.get("disable_parallel_tool_use") is True:
        chat["parallel_tool_calls"] = False


def _tool(tool: Any, place: str, dropped: list[str]) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise RefusedRequest(place, f"{place} is no object; send a tool with name and input_schema")
    kind, name, schema = tool.get("type"), tool.get("name"), tool.get("input_schema")
    if kind not in (None, "custom"):
        raise RefusedRequest(
            place,
            f"{place}: {str(kind)[:64]} is a tool of Anthropic's own, and no backend of this router offers it; define it "
            "with name, description and input_schema, or leave it out",
        )
    if not isinstance(name, str) or not name:
        raise RefusedRequest(f"{place}.name", f"{place}.name is missing; name the tool")
    if not isinstance(schema, dict):
        raise RefusedRequest(
            f"{place}.input_schema", f"{place}.input_schema is no JSON schema; send that of the tool's input"
        )
    function: dict[str, Any] = {"name": name, "parameters": schema}
    for key in ("description", "strict"):
        if tool.get(key) is not None:
            function[key] = tool[key]
    dropped += [f"{place}.{key}" for key in _OF_TOOLS if tool.get(key)]
    made: dict[str, Any] = {"type": "function", "function": function}
    if isinstance(tool.get(CACHE), dict):
        made[CACHE] = tool[CACHE]
    return made


# How it answers


def _think(chat: dict[str, Any], body: dict[str, Any]) -> None:
    thinking, output = body.get("thinking"), body.get("output_config")
    effort = output.get("effort") if isinstance(output, dict) else None
    if effort is not None and (not isinstance(effort, str) or effort not in _EFFORTS):
        raise RefusedRequest(
            "output_config.effort", f"output_config.effort is not one of {', '.join(_EFFORTS)}; use one of these"
        )
    if isinstance(effort, str):
        chat["reasoning_effort"] = _EFFORTS[effort]
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "disabled":
        chat.pop("reasoning_effort", None)
        chat["chat_template_kwargs"] = {"enable_thinking": False}
    elif kind == "enabled":
        budget = thinking.get("budget_tokens")
        if budget is None:  # as Claude Code asks models that it does not know (experientiallabs/experiential#905)
            return
        if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
            raise RefusedRequest(
                "thinking.budget_tokens", "thinking.budget_tokens is no number above 0; say how long to think"
            )
        chat.setdefault("reasoning_effort", _effort_of(budget))
    elif kind != "adaptive":
        raise RefusedRequest("thinking.type", "thinking.type is not adaptive, enabled or disabled; use one of these")


def _effort_of(budget: int) -> str:
    return "low" if budget < 4_096 else "medium" if budget < 16_384 else "high"


def _form(chat: dict[str, Any], body: dict[str, Any]) -> None:
    output = body.get("output_config")
    if output is not None and not isinstance(output, dict):
        raise RefusedRequest("output_config", "output_config is no object; send one with effort or format")
    form = (output or {}).get("format") or body.get("output_format")
    if form is None:
        return
    schema = form.get("schema") if isinstance(form, dict) and form.get("type") == "json_schema" else None
    if not isinstance(schema, dict):
        raise RefusedRequest(
            "output_config.format", "output_config.format has no json_schema with its schema; send one"
        )
    chat["response_format"] = {"type": "json_schema", "json_schema": {"name": _NAMED, "schema": schema, "strict": True}}
