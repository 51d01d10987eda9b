"""Brings a conversation into the order that every chat template takes: one system message, first, and turns that alternate. Pure.

Clients of other APIs send several instructions in a row, and reminders between turns (Codex, Claude Code); templates refuse a
system message that is not the first one (Qwen), or two messages of one role in a row (Mistral, Gemma). A later instruction
becomes a part of the user's turn, marked as what it is: moved to the front it would end every prefix cache behind it.
"""

from __future__ import annotations

from typing import Any, Final

SEPARATOR: Final = "\n\n"  # between texts that become one
_REMINDER: Final = "<system-reminder>\n%s\n</system-reminder>"


def in_turns(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the messages with neighbours of one role joined. A later system message is text."""
    made: list[dict[str, Any]] = []
    for message in messages:
        later = message["role"] == "system" and any(one["role"] != "system" for one in made)
        if later and isinstance(message["content"], str):
            message = {"role": "user", "content": _REMINDER % message["content"]}
        last = made[-1] if made else None
        if (
            last is not None
            and last["role"] == message["role"]
            and message["role"] != "tool"
            and "tool_calls" not in last
        ):
            made[-1] = _joined(last, message)
        else:
            made.append(message)
    return made


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    joined = {**first, **second}
    thoughts = [one["reasoning_content"] for one in (first, second) if one.get("reasoning_content")]
    if thoughts:
        joined["reasoning_content"] = SEPARATOR.join(thoughts)
    joined["content"] = _both(first.get("content"), second.get("content"))
    return joined


def _both(first: Any, second: Any) -> Any:
    if not first or not second:
        return first or second
    if isinstance(first, str) and isinstance(second, str):
        return first + SEPARATOR + second
    return [*_parts(first), *_parts(second)]


def _parts(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def plain(parts: list[dict[str, Any]]) -> Any:
    """Returns parts as one text if they are nothing else, which every template reads."""
    if all(part.get("type") == "text" and len(part) == 2 for part in parts):
        return SEPARATOR.join(part["text"] for part in parts)
    return parts
