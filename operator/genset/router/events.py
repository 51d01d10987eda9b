"""Single events of an OpenAI stream: what their bytes say. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

DONE: Final = b"data: [DONE]\n\n"
DATA: Final = b"data: {"

_FINISH: Final = b'"finish_reason":'
_FINISH_LENGTH: Final = len(_FINISH)
_ERROR: Final = b'"error"'
_N: Final = ord("n")
_SPACE: Final = ord(" ")
_NEWLINE: Final = ord("\n")
_RETURN: Final = ord("\r")
_TOKEN_KEYS: Final = ("content", "reasoning_content", "reasoning", "tool_calls", "function_call", "refusal", "audio")


def event_end(data: bytes, position: int) -> int:
    """Where the event that begins at `position` ends, before its blank line. `data` ends with a blank line."""
    end = data.find(b"\n", position)  # one byte is found several times as fast as two
    return end if data[end + 1] == _NEWLINE else data.find(b"\n\n", position)


def is_suspicious(data: bytes, start: int, end: int) -> bool:
    """Whether these bytes, one event, hold a finish_reason other than null, or an error: the marks that need a parse.

    Neither can come from text inside a JSON string, where every quote is escaped.
    """
    mark = data.find(_FINISH, start, end)
    if mark >= 0:
        mark += _FINISH_LENGTH
        if data[mark] == _SPACE:
            mark += 1
        if data[mark] != _N:
            return True
    return data.find(_ERROR, start, end) >= 0


def is_ordinary(event: bytes) -> bool:
    """Whether these bytes are one event that may be JSON, neither the last of its choice nor an error."""
    size = len(event)
    if not event.startswith(DATA) or not event.endswith(b"}\n\n"):
        return False
    return event.find(b"\n") == size - 2 and _RETURN not in event and not is_suspicious(event, 0, size)


def is_whole(event: bytes) -> bool:
    """Whether an event without its blank line is a complete one: a cut one never parses."""
    if event.startswith((b"data: [DONE]", b"data:[DONE]")):
        return True
    if not event.startswith(b"data:"):
        return False
    try:
        orjson.loads(event[5:])
    except orjson.JSONDecodeError:
        return False
    return True


def has_token(choice: dict[str, Any]) -> bool:
    """Whether a choice brings any part of the answer."""
    if choice.get("text"):
        return True
    delta = choice.get("delta")
    if isinstance(delta, dict) and delta:
        for key in _TOKEN_KEYS:
            if delta.get(key):
                return True
    return False


def counts_of(usage: dict[str, Any]) -> tuple[int, int]:
    """Tokens of the prompt and of the completion in a usage object; 0 where it does not tell."""
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def split_events(stream: Iterable[bytes]) -> list[bytes]:
    """Events of a normalised stream, without their blank lines (for tests and for reading kept events)."""
    return [event for event in b"".join(stream).split(b"\n\n") if event]
