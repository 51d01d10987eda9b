"""Marks are what a Messages request says to Anthropic's servers alone: what to cache, and the seals on thinking.

OpenAI's form of a request carries them, so that a backend of Anthropic's gets them back; everybody else gets a request without
them, because some servers refuse what they do not know. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.turns import plain

CACHE: Final = "cache_control"
SEALS: Final = "reasoning_details"


def without_marks(chat: dict[str, Any]) -> dict[str, Any]:
    """Returns the request without its marks. It is not changed."""
    bare = {key: value for key, value in chat.items() if key != CACHE}
    bare["messages"] = [_message(message) for message in chat["messages"]]
    if "tools" in chat:
        bare["tools"] = [_without(tool) for tool in chat["tools"]]
    return bare


def _message(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        return {**_without(message), "content": plain([_without(part) for part in content])}
    return _without(message)


def _without(holder: dict[str, Any]) -> dict[str, Any]:
    if CACHE not in holder and SEALS not in holder:
        return holder
    return {key: value for key, value in holder.items() if key not in (CACHE, SEALS)}
