"""Says what a request needs of a backend besides an answer, in one pass over what it holds. Pure.

Only what some backend of the route lacks is looked for: a route whose backends can do everything costs a request nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

NO_NEEDS: Final[frozenset[str]] = frozenset()
#: The kind of a part of a message -> what its reader has to be able to do.
_PARTS: Final = {
    "image_url": "vision",
    "input_image": "vision",
    "image": "vision",
    "video_url": "vision",
    "input_audio": "audio",
    "audio_url": "audio",
    "file": "files",
    "input_file": "files",
    "document": "files",
}
_OF_PARTS: Final = frozenset(_PARTS.values())


def _of_parts(content: list[Any], found: set[str]) -> None:
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in _PARTS:
            found.add(_PARTS[kind])


def _is_many(value: Any) -> bool:
    return isinstance(value, int) and value > 1


def _is_forced(choice: Any) -> bool:
    return choice not in (None, "auto", "none") and not (isinstance(choice, dict) and _allows(choice))


def _allows(choice: dict[str, Any]) -> bool:
    """Returns whether a choice only names the tools that may be called."""
    held = choice.get("allowed_tools")
    mode = held.get("mode") if isinstance(held, dict) else choice.get("mode")
    return choice.get("type") == "allowed_tools" and mode != "required"


def _is_schema(form: Any) -> bool:
    return isinstance(form, dict) and form.get("type") == "json_schema"


def _thinks(reasoning: Any) -> bool:
    if isinstance(reasoning, dict):
        return reasoning.get("enabled") is not False and reasoning.get("effort") != "none"
    return bool(reasoning) and reasoning != "none"


def _speaks(modalities: Any) -> bool:
    return isinstance(modalities, list) and "audio" in modalities


def _counts(value: Any) -> bool:
    return value is not None and value is not False  # 0 asks for those of the chosen tokens, in completions


#: Field -> what it needs, and whether a value of it does.
_FIELDS: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "tools": ("tools", bool),
    "functions": ("tools", bool),
    "parallel_tool_calls": ("parallelTools", lambda value: value is True),
    "tool_choice": ("forcedTools", _is_forced),
    "function_call": ("forcedTools", _is_forced),
    "response_format": ("jsonSchema", _is_schema),
    "logprobs": ("logprobs", _counts),
    "top_logprobs": ("logprobs", bool),
    "n": ("severalAnswers", _is_many),
    "best_of": ("severalAnswers", _is_many),
    "reasoning_effort": ("reasoning", _thinks),
    "reasoning": ("reasoning", _thinks),
    "modalities": ("audio", _speaks),
}


@final
class NeededAbilities:
    """Needed abilities are what is looked for in the requests of a route: what some backend of it lacks. Made with the route."""

    __slots__ = ("_fields", "_lacking", "_reads_parts")

    def __init__(self, lacking: frozenset[str]) -> None:
        self._lacking = lacking
        self._fields = [(key, word, needs) for key, (word, needs) in _FIELDS.items() if word in lacking]
        self._reads_parts = not _OF_PARTS.isdisjoint(lacking)

    def of(self, request: dict[str, Any]) -> frozenset[str]:
        """Returns what of it the request needs. It is OpenAI's, of whatever path."""
        found: set[str] | None = None
        for key, word, needs in self._fields:
            if key in request and needs(request[key]):
                found = found or set()
                found.add(word)
        if self._reads_parts:
            messages = request.get("messages")
            for message in messages if type(messages) is list else ():
                content = message.get("content") if type(message) is dict else None
                if type(content) is list:
                    found = found or set()
                    _of_parts(content, found)
        return self._lacking & found if found else NO_NEEDS
