"""Fields says which fields of OpenAI's chat a provider does not take, so that it is never asked for what it would refuse.

What only shapes an answer a little is left out, and the client is told; a request that wants what the provider cannot give is
not sent there at all. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genset.router.dialects.base import Untranslatable
from genset.router.dialects.marks import without_thoughts


@dataclass(frozen=True, slots=True)
class Fields:
    """A Fields value holds the ways of one provider.

    `dropped` are fields that are left out. `limited` are fields of which it takes only some values: whoever wants another one is
    sent elsewhere. `renamed` are fields that it knows by another name. `names`: it takes `name` in messages other than results of
    tools; `strict`: it takes `strict` in functions; `thoughts`: it takes thoughts on messages of earlier answers.
    """

    dropped: frozenset[str] = frozenset()
    limited: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    names: bool = True
    strict: bool = True
    thoughts: bool = True

    def shaped(self, provider: str, request: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Returns the request as the provider takes it, and the fields that were left out.

        It is the same object if nothing differs; it is not changed. Raises Untranslatable.
        """
        for key, values in self.limited.items():
            value = request.get(key)
            if value is not None and value not in values:
                raise Untranslatable(f"{key}: {provider} takes no {str(value)[:64]} there")
        left_out = [key for key in request if key in self.dropped]
        made = {self.renamed.get(key, key): value for key, value in request.items() if key not in self.dropped}
        changed = len(made) != len(request) or bool(made.keys() - request.keys())
        left_out = [key for key in left_out if request[key] is not None]
        if not self.names and (messages := _without_names(made.get("messages"))) is not None:
            made["messages"], changed = messages, True
            left_out.append("messages[].name")
        if not self.strict and (tools := _without_strict(made.get("tools"))) is not None:
            made["tools"], changed = tools, True
            left_out.append("tools[].function.strict")
        if not self.thoughts and (bare := without_thoughts(made)) is not made:
            made, changed = bare, True
            left_out.append("messages[].reasoning_content")
        return (made if changed else request), tuple(left_out)


def _without_names(messages: Any) -> list[Any] | None:
    """Returns the messages without names of their authors; None if they have none."""
    if not isinstance(messages, list) or not any(_is_named(message) for message in messages):
        return None
    return [
        {key: value for key, value in message.items() if key != "name"} if _is_named(message) else message
        for message in messages
    ]


def _is_named(message: Any) -> bool:
    return isinstance(message, dict) and "name" in message and message.get("role") not in ("tool", "function")


def _without_strict(tools: Any) -> list[Any] | None:
    """Returns the tools without `strict`; None if none has it."""
    if not isinstance(tools, list) or not any(_is_strict(tool) for tool in tools):
        return None
    return [
        {**tool, "function": {key: value for key, value in tool["function"].items() if key != "strict"}}
        if _is_strict(tool)
        else tool
        for tool in tools
    ]


def _is_strict(tool: Any) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and "strict" in function
