"""Translates the tools of OpenAI's chat, and what is said of their use, into Anthropic's. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from genset.router.dialects.anthropic.backend_parts import Dropped, cache_control_of
from genset.router.dialects.anthropic.backend_schema import strict
from genset.router.dialects.base import Untranslatable

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none", "any": "any"}


def tools_of(body: dict[str, Any], dropped: Dropped) -> list[dict[str, Any]]:
    """Returns the tools of a request; none if it has none. Raises Untranslatable."""
    given = body.get("tools")
    listed = [(tool, f"tools[{index}]") for index, tool in enumerate(given if isinstance(given, list) else ())]
    functions = body.get("functions")
    for index, function in enumerate(functions if isinstance(functions, list) else ()):
        listed.append(({"type": "function", "function": function}, f"functions[{index}]"))
    made: list[dict[str, Any]] = []
    names: set[str] = set()
    for tool, where in listed:
        one = _tool(tool, where, dropped)
        if one["name"] in names:
            raise Untranslatable(f"{where}.function.name: {one['name']} is the name of an earlier tool")
        names.add(one["name"])
        made.append(one)
    return made


def choice_of(body: dict[str, Any], tools: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Returns the tools that may be used, and the choice among them; None is the API's own default. Raises Untranslatable."""
    choice = body.get("tool_choice")
    if choice is None:
        choice = body.get("function_call")
        if isinstance(choice, dict):
            choice = {"type": "function", "function": choice}
    made: dict[str, Any] | None = None
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools")
        allowed = allowed if isinstance(allowed, dict) else choice
        listed = allowed.get("tools")
        names = {_named(tool) for tool in (listed if isinstance(listed, list) else ())}
        tools = [tool for tool in tools if tool["name"] in names]
        choice = allowed.get("mode")
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise Untranslatable(f"tool_choice: Anthropic's API has nothing like {choice[:64]}")
        made = {"type": _CHOICES[choice]}
    elif isinstance(choice, dict):
        name = _named(choice)
        if not any(tool["name"] == name for tool in tools):
            raise Untranslatable(f"tool_choice names {str(name)[:64]}, which is no tool of the request")
        made = {"type": "tool", "name": name}
    elif choice is not None:
        raise Untranslatable("tool_choice is neither a word nor a tool")
    if not tools:
        return [], None
    if body.get("parallel_tool_calls") is False and (made is None or made["type"] != "none"):
        made = {**(made or {"type": "auto"}), "disable_parallel_tool_use": True}
    return tools, made


def is_forced(choice: dict[str, Any] | None) -> bool:
    """Returns whether a choice forces the model to call a tool."""
    return choice is not None and choice["type"] in ("any", "tool")


def _tool(tool: Any, where: str, dropped: Dropped) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    function = tool.get("function") if isinstance(tool, dict) else None
    if kind not in ("function", None) or not isinstance(function, dict):
        raise Untranslatable(f"{where}: Anthropic's API takes functions, not tools of type {str(kind)[:64]}")
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Untranslatable(f"{where}.function.name: Anthropic's API takes letters, digits, _ and -, at most 128")
    made: dict[str, Any] = {"name": name}
    if isinstance(function.get("description"), str):
        made["description"] = function["description"]
    schema = function.get("parameters")
    if schema is None:
        schema = {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise Untranslatable(f"{where}.function.parameters is no JSON schema")
    if schema.get("type") != "object":
        if schema.get("type") is not None:
            raise Untranslatable(f"{where}.function.parameters: Anthropic's API wants an object at the top")
        schema = {"type": "object", **schema, **({"properties": {}} if "properties" not in schema else {})}
    if function.get("strict") is True:
        made["strict"] = True
        schema = strict(schema, f"{where}.function.parameters")
    made["input_schema"] = schema
    mark = cache_control_of(tool, dropped) or cache_control_of(function, dropped)
    if mark is not None:
        made["cache_control"] = mark
    return made


def _named(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, dict) else None
    if isinstance(function, dict):
        return function.get("name")
    return tool.get("name") if isinstance(tool, dict) else None
