"""Translates a request of OpenAI's chat into one of the Responses API.

Nothing is stored at the provider unless the client says so (`store`), because chat stores nothing. What only shapes the answer a
little is left out and named; what a client could not do without makes the request untranslatable. Source: the types of the
openai package 3.57.0, and OpenAI's guide "Migrate to the Responses API", read on 28 Nov 2026. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.base import Untranslatable
from genset.router.dialects.responses.words import ENCRYPTED, LOGPROBS, REASONING_FORMAT
from genset.router.dialects.tolerant import dumps

_LEAST_TOKENS: Final = 16  # of an answer: the API refuses a lower limit
_PASSED: Final = (
    "model", "stream", "temperature", "top_p", "user", "safety_identifier", "metadata", "service_tier", "prompt_cache_key",
    "prompt_cache_retention", "parallel_tool_calls", "top_logprobs",
)  # fmt: skip
_READ: Final = frozenset((
    *_PASSED, "messages", "stream_options", "max_tokens", "max_completion_tokens", "tools", "tool_choice", "response_format",
    "verbosity", "reasoning_effort", "logprobs", "store", "n", "modalities",
))  # fmt: skip
_BINDING: Final = ("stop", "audio", "functions", "function_call", "web_search_options", "prediction")
_PARTS: Final = {"text": "input_text", "image_url": "input_image", "file": "input_file"}


def translated(body: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the request in the form of the Responses API, and what was left out. Raises Untranslatable."""
    given = {key: value for key, value in body.items() if value is not None}
    for key in _BINDING:
        if given.get(key):
            raise Untranslatable(f"{key}: the Responses API has nothing like it")
    if given.get("n", 1) != 1 or given.get("modalities", ["text"]) != ["text"]:
        raise Untranslatable("n, modalities: the Responses API gives one answer, of text")
    made: dict[str, Any] = {key: given[key] for key in _PASSED if key in given}
    made["store"] = given.get("store") is True
    made["input"] = _input(given.get("messages"))
    limits = [given[key] for key in ("max_tokens", "max_completion_tokens") if isinstance(given.get(key), int)]
    if limits:
        made["max_output_tokens"] = max(_LEAST_TOKENS, min(limits))
    _tools(made, given)
    _text(made, given)
    include = [ENCRYPTED] if made.get("tools") else []  # thoughts have to come back with the results of their calls
    if given.get("logprobs"):
        include.append(LOGPROBS)
    if include:
        made["include"] = include
    effort = given.get("reasoning_effort")
    if effort is not None:
        made["reasoning"] = {"effort": effort, "summary": "auto"} if effort != "none" else {"effort": effort}
    return made, tuple(key for key in given if key not in _READ and given[key] not in (0, False, [], {}))


def _tools(made: dict[str, Any], given: dict[str, Any]) -> None:
    tools, choice = given.get("tools"), given.get("tool_choice")
    if tools:
        made["tools"] = [_tool(tool) for tool in tools] if isinstance(tools, list) else tools
    if choice is not None and tools:
        named = choice.get("function") if isinstance(choice, dict) else None
        if isinstance(choice, str):
            made["tool_choice"] = choice
        elif isinstance(named, dict):
            made["tool_choice"] = {"type": "function", "name": named.get("name")}
        else:
            raise Untranslatable("tool_choice: it names no function")


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    if not isinstance(function, dict):
        raise Untranslatable("tools: only functions are translated for the Responses API")
    held = {key: function[key] for key in ("name", "description", "parameters") if key in function}
    return {"type": "function", "strict": function.get("strict") is True, "parameters": {"type": "object"}, **held}


def _text(made: dict[str, Any], given: dict[str, Any]) -> None:
    text: dict[str, Any] = {}
    form = given.get("response_format")
    if isinstance(form, dict):
        held = form.get("json_schema")
        text["format"] = {"type": form.get("type"), **(held if isinstance(held, dict) else {})}
    if "verbosity" in given:
        text["verbosity"] = given["verbosity"]
    if text:
        made["text"] = text


# Messages


def _input(messages: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for number, message in enumerate(messages if isinstance(messages, list) else []):
        if not isinstance(message, dict):
            raise Untranslatable(f"messages[{number}] is no object")
        role, content = message.get("role"), message.get("content")
        if role == "tool":
            items.append(
                {"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": _output(content)}
            )
        elif role == "assistant":
            items += _assistant(message, content)
        elif role in ("user", "system", "developer"):
            items.append({"role": role, "content": content if isinstance(content, str) else _parts(content)})
        else:
            raise Untranslatable(f"messages[{number}].role: the Responses API knows no {str(role)[:64]}")
    return items


def _output(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else dumps(content).decode()


def _assistant(message: dict[str, Any], content: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    details = message.get("reasoning_details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and detail.get("format") == REASONING_FORMAT and detail.get("data"):
            item = {"type": "reasoning", "summary": [], "encrypted_content": detail["data"]}
            items.append({**item, "id": detail["id"]} if detail.get("id") else item)
    text = content if isinstance(content, str) else _output(content) if isinstance(content, list) else ""
    if text:
        items.append({"role": "assistant", "content": text})
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise Untranslatable("tool_calls: only calls of functions are translated for the Responses API")
        made = {"type": "function_call", "call_id": call.get("id"), "name": function.get("name")}
        items.append({**made, "arguments": function.get("arguments") or "{}"})
    return items


def _parts(content: Any) -> list[dict[str, Any]]:
    return [_part(part) for part in content] if isinstance(content, list) else []


def _part(part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in _PARTS:
        raise Untranslatable(f"messages: the Responses API takes no part of type {str(kind)[:64]}")
    made: dict[str, Any] = {"type": _PARTS[kind]}
    held = part.get(kind)
    if kind == "text":
        made["text"] = held
    elif kind == "image_url" and isinstance(held, dict):
        made["image_url"] = held.get("url")
        made["detail"] = held.get("detail") or "auto"
    elif isinstance(held, dict):
        made.update({key: held[key] for key in ("file_id", "filename", "file_data") if key in held})
    return made
