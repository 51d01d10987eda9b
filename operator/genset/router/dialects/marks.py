"""Marks are what a request says to one provider's servers alone: to Anthropic's what to cache, and the seals on thinking; to
Gemini's the seals on calls.

OpenAI's form of a request carries them, so that their backend gets them back; everybody else gets a request without
them, because some servers refuse what they do not know. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.call_seals import FIELD
from genset.router.dialects.turns import plain

CACHE: Final = "cache_control"
SEALS: Final = "reasoning_details"
#: Where servers put what a model thought on its way to an answer; on messages that come back some refuse them.
THOUGHTS: Final = ("reasoning_content", "reasoning", SEALS)


def without_marks(chat: dict[str, Any], *, seals_calls: bool = False) -> dict[str, Any]:
    """Returns the request without its marks. It is not changed. `seals_calls`: those on calls stay."""
    bare = {key: value for key, value in chat.items() if key != CACHE}
    messages = (_message(message) for message in chat["messages"])
    bare["messages"] = list(messages if seals_calls else map(_unsealed, messages))
    if "tools" in chat:
        bare["tools"] = [_without(tool) for tool in chat["tools"]]
    return bare


def _message(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        return {**_without(message), "content": plain([_without(part) for part in content])}
    return _without(message)


def _unsealed(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not calls or not any(FIELD in call for call in calls):
        return message
    return {**message, "tool_calls": [{key: call[key] for key in call if key != FIELD} for call in calls]}


def _without(holder: dict[str, Any]) -> dict[str, Any]:
    if CACHE not in holder and SEALS not in holder:
        return holder
    return {key: value for key, value in holder.items() if key not in (CACHE, SEALS)}


def holds_thoughts(messages: Any) -> bool:
    """Returns whether messages hold thoughts of earlier answers."""
    return isinstance(messages, list) and any(_thinks(message) for message in messages)


def without_thoughts(request: dict[str, Any]) -> dict[str, Any]:
    """Returns the request without thoughts of earlier answers; the same object if it has none. It is not changed."""
    messages = request.get("messages")
    if not holds_thoughts(messages):
        return request
    bare = [
        {key: value for key, value in message.items() if key not in THOUGHTS} if _thinks(message) else message
        for message in request["messages"]
    ]
    return {**request, "messages": bare}


def _thinks(message: Any) -> bool:
    return isinstance(message, dict) and any(key in message for key in THOUGHTS)
