"""Knows an event without a parse, by the bytes that all text events of one stream have in common.

Servers write every event of an answer alike: same id, same model, same everything, but for the text. An event that was
parsed and holds nothing but a piece of text gives a template (what stands before that piece, and what stands behind it); an
event that begins and ends with these bytes says the same, with another text. Pure.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Final, final

import orjson

from genset.router.dialects.openai.events import index_of
from genset.router.dialects.tolerant import loads

TEXT_KEYS: Final = ("content", "reasoning_content", "reasoning")
_KEYS: Final = {key: b'"%b":' % key.encode() for key in (*TEXT_KEYS, "text")}
_loads: Final = orjson.loads
_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_NEWLINE: Final = ord("\n")
_RETURN: Final = ord("\r")


@final
class Template:
    """A Template is what the text events of one stream have in common, and collects the texts that were read by it.

    `index`: of their choice; `key`: of the text in its delta, "text" in the legacy form. `prefix` ends with the opening quote of
    the text; `suffix` begins with its closing quote and ends with the blank line of the event, and `end_of_chunk` goes on to the
    end of the HTTP chunk around it. `texts`: as they stood in their JSON, until the reader makes something of them.
    """

    __slots__ = ("_between", "end_of_chunk", "index", "key", "prefix", "suffix", "texts")

    def __init__(self, key: str, prefix: bytes, suffix: bytes, index: int = 0) -> None:
        self.key = key
        self.index = index
        self.prefix = prefix
        self.suffix = suffix
        self._between = suffix + prefix  # two events in a row
        self.end_of_chunk = suffix + b"\r\n"
        self.texts: list[bytes] = []

    def run(self, data: bytes, position: int) -> tuple[int, int, bytes]:
        """Takes the events from `position` on that are like the template.

        Returns where they end, how many they are, and their texts, joined as they stand in their JSON.
        """
        prefix, suffix, between = self.prefix, self.suffix, self._between
        begin = position + len(prefix)
        if (
            data[position:begin] != prefix
        ):  # compiled, a slice is found unequal in half the time that `startswith` takes
            return position, 0, b""
        behind = len(suffix)
        texts: list[bytes] = []
        end = position
        escape = False
        while True:
            # One byte is found ten times as fast as the whole suffix; a text that holds it ends too early.
            close = data.find(b"\n", begin) + 2 - behind
            if close <= begin:
                break
            next_begin = close + len(between)
            another = data[close:next_begin] == between
            if not another and data[close : close + behind] != suffix:
                break
            if data[close - 1] == _BACKSLASH:
                escape = True
            texts.append(data[begin:close])
            end = close + behind
            if not another:
                break
            begin = next_begin
        joined = b"".join(texts)
        if escape or (texts and not is_plain(joined)):
            texts = list(takewhile(is_plain, texts))
            joined = b"".join(texts)
            end = position + len(texts) * (len(prefix) + behind) + len(joined)
        return end, len(texts), joined


def learn(event: bytes, chunk: Any) -> Template | None:
    """Returns the template of an event, which is one `data:` line with its blank line, and of its JSON.

    None if it holds more than a piece of text.
    """
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return None
    choice = choices[0]
    if choice.get("finish_reason") or choice.get("logprobs") or choice.get("message"):
        return None
    found = _only_text(choice)
    if found is None:
        return None
    key, text = found
    return _around(event, index_of(choice) or 0, key, text)


def _only_text(choice: dict[str, Any]) -> tuple[str, str] | None:
    """Returns the key and the text of a choice that brings nothing else; None if it brings more, or no text."""
    delta = choice.get("delta")
    key, text = "text", choice.get("text")
    if isinstance(delta, dict) and not text:
        key = ""
        for name, value in delta.items():
            if value and name != "role":
                if key or name not in _KEYS:
                    return None
                key, text = name, value
    elif delta is not None:
        return None
    return (key, text) if key in _KEYS and isinstance(text, str) and text else None


def _around(event: bytes, index: int, key: str, text: str) -> Template | None:
    mark = _KEYS[key]
    start = event.find(mark)
    if start < 0 or event.rfind(mark) != start:
        return None
    start += len(mark)
    if event[start] != _QUOTE:  # a space, as Python's json writes it
        start += 1
    end = event.find(b'"', start + 1)
    if event[start] != _QUOTE or end < 0:
        return None
    if not _is_written(text, event[start + 1 : end]):
        return None  # an escaped quote inside: wait for an event without
    return Template(key, event[: start + 1], event[end:], index)


def _is_written(text: str, inside: bytes) -> bool:
    """Whether the inside of a JSON string says this text."""
    try:
        if text.encode() == inside:
            return True
    except UnicodeEncodeError:  # half a character, which only an escape can say
        pass
    return decode([inside]) == text


def is_plain(text: bytes) -> bool:
    """Returns whether what stands between prefix and suffix can be the inside of one JSON string that is not empty."""
    return bool(text) and _QUOTE not in text and _NEWLINE not in text and _RETURN not in text and text[-1] != _BACKSLASH


def decode(texts: list[bytes]) -> str | None:
    """Returns the text of the insides of JSON strings in a row; None if they are none after all."""
    joined = b'"' + b"".join(texts) + b'"'
    try:
        text: str = loads(joined)
    except ValueError:
        return None
    return text


def is_exact(texts: list[bytes]) -> bool:
    """Returns whether the insides of JSON strings in a row are one string for every reader, the strictest one included."""
    try:
        _loads(b'"' + b"".join(texts) + b'"')
    except orjson.JSONDecodeError:
        return False
    return True
