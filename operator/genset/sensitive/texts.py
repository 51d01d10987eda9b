"""The text of a request is every string in its JSON: messages, tool arguments, inputs, documents, and what a later API adds.

Left out are names that the API gives, and what is no text: pictures, sound and files as base64 that are none. Objects that a
caller fills as he likes (arguments of tools, metadata) are looked at whole, with their names. What a caller has turned into
tokens himself cannot be read.
"""

from __future__ import annotations

import re
from typing import Any, Final

from genset.sensitive.attached import attached_text, is_attached

MOST_CHARACTERS: Final = 1024 * 1024  # what has more counts as sensitive, because looking at it would hold up others
_LEAST_NUMBER: Final = 10_000_000  # a number that could be somebody's; smaller ones are counts and prices
_MOST_NUMBER: Final = 10**40
#: Names that the API gives, whose strings are words of the API.
_NOT_TEXT: Final = frozenset(("model", "role", "type", "id", "tool_call_id", "detail", "format", "encoding_format"))
_BYTES: Final = frozenset(("b64_json", "file_data", "data"))
#: What is a caller's own through and through, if it is an object: arguments of tools, and notes.
_OWN: Final = frozenset(("input", "arguments", "metadata"))
#: A name of this form holds no number, no address, and is most likely the API's.
_USUAL: Final = frozenset(
    ("role", "content", "type", "text", "name", "arguments", "function", "messages", "tool_calls", "id")
)
_PLAIN: Final = re.compile("[a-z_]{1,64}")
_TOKENS: Final = ("input", "prompt")
#: Of each of two parts: a number that begins in one and ends in the next one is seen. No kind's number is longer.
_SEAM: Final = 48
_NEAR: Final = 8  # characters at a seam, without a digit among which no number goes through it


class TooMuchText(Exception):
    """There is more text than is looked at."""


class OnlyTokens(Exception):
    """The caller sent numbers of tokens instead of text."""


def text_of(request: dict[str, Any]) -> str:
    """Returns all text, each part in a line of its own, and once more around seams between parts.

    Raises TooMuchText, OnlyTokens.
    """
    for name in _TOKENS:
        if _is_tokens(request.get(name)):
            raise OnlyTokens
    found: list[str] = []
    keys: list[str] = []  # behind all else, so that no name stands between two halves of a number
    size, seams = 0, _Seams()
    left: list[tuple[Any, bool]] = [(request, False)]
    while left:
        value, own = left.pop()
        if isinstance(value, dict):
            left.extend(_members(value, own, keys)[::-1])
        elif isinstance(value, list):
            left.extend([(item, own) for item in reversed(value)])
        else:
            part = _shown(value)
            if part:
                parts = [part, *seams.before(part)]
                size += sum(map(len, parts))
                if size > MOST_CHARACTERS:
                    raise TooMuchText
                found += parts
    if size + sum(map(len, keys)) > MOST_CHARACTERS:
        raise TooMuchText
    return "\n".join(found + keys)


def _members(value: dict[str, Any], own: bool, keys: list[str]) -> list[tuple[Any, bool]]:
    """Returns what of an object is looked at, and whether it is the caller's own whole; its names go to `keys`."""
    if own:
        keys.extend(value)
        return [(item, True) for item in value.values()]
    members: list[tuple[Any, bool]] = []
    for key, item in value.items():
        if key not in _USUAL and _PLAIN.fullmatch(key) is None:
            keys.append(key)
        if isinstance(item, (dict, list)):
            members.append((item, key in _OWN and isinstance(item, dict)))
        elif key in _BYTES and _is_bytes(item, value):
            members.append((attached_text(item), False))
        elif key not in _NOT_TEXT:
            members.append((item, False))
    return members


def _is_bytes(item: Any, around: dict[str, Any]) -> bool:
    """Returns whether a value is base64; Anthropic's documents may be text in the same place."""
    return isinstance(item, str) and around.get("type") != "text" and " " not in item


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return attached_text(value) if is_attached(value) else value
    if type(value) is int and _LEAST_NUMBER <= value < _MOST_NUMBER:
        return str(value)
    return ""


class _Seams:
    """What goes from parts into the next one. A word before a number's first half does not belong to it, and may look so."""

    __slots__ = ("_apart", "_glued", "_last")

    def __init__(self) -> None:
        self._last = ""  # the part before
        self._glued = ""  # all parts before
        self._apart = ""  # the same, with a blank but between two digits

    def before(self, part: str) -> list[str]:
        """Returns the texts at the seam before a part; none if no number can go through it."""
        last, glued = self._last, self._glued
        blank = "" if last[-1:].isdigit() and part[:1].isdigit() else " "
        apart = self._apart + blank
        self._last, self._glued, self._apart = part[-_SEAM:], (glued + part)[-_SEAM:], (apart + part)[-_SEAM:]
        if not last or not any(character.isdigit() for character in glued[-_NEAR:] + part[:_NEAR]):
            return []
        begin = part[:_SEAM]
        return list(dict.fromkeys((last + begin, glued + begin, apart + begin)))


def _is_tokens(value: Any) -> bool:
    """Returns whether this is a list of numbers, or a batch with such lists."""
    if not isinstance(value, list):
        return False
    return any(type(item) is int or (isinstance(item, list) and item and type(item[0]) is int) for item in value)
