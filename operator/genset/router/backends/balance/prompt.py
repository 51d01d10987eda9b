"""A prompt's key is a number that stands for its beginning: all that a strategy knows of the prompt.

It is computed only for backends whose strategy reads it, and is the same in every router.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

import orjson

BYTES_PER_TOKEN = 4  # of UTF-8 text


def prompt_key(request: Mapping[str, Any], tokens: int) -> int | None:
    """Returns the CRC-32 of the first `tokens` of the prompt, roles included; None if it has no text.

    Nothing behind the first answer of a conversation counts: only what comes before stays the same in all its turns, so
    that a conversation shorter than `tokens` would otherwise change its endpoint with every turn.
    """
    left = tokens * BYTES_PER_TOKEN
    messages = request.get("messages")
    if type(messages) is not list:
        text = _text(request.get("prompt"), left)
        return crc32(text) if text else None
    key = None
    for role, _, text, _ in _read(messages, left):
        key = crc32(text, crc32(role.encode("utf-8", "surrogatepass") if type(role) is str else b"", key or 0))
    return key


def beginning_of(request: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """Returns as much of a request as `prompt_key` reads for up to `tokens`, so that a long prompt need not be kept."""
    left = tokens * BYTES_PER_TOKEN
    messages = request.get("messages")
    if type(messages) is not list:
        return {"prompt": _start(request.get("prompt"), left)}
    kept = [{"role": role, "content": _start(content, room)} for role, content, _, room in _read(messages, left)]
    return {"messages": kept}


def _read(messages: list[Any], left: int) -> Iterator[tuple[Any, Any, bytes, int]]:
    """Yields role, content, the text that counts, and the bytes left for it, of each message in a key of `left` bytes."""
    seen = False
    for message in messages:
        if type(message) is not dict:
            continue
        role = message.get("role")
        if role == "assistant" and seen:
            return
        content = message.get("content")
        text = _text(content, left)
        if not text:
            continue
        yield role, content, text, left
        seen = True
        left -= len(text)
        if left <= 0:
            return


def _start(value: Any, most: int) -> Any:
    """Returns what `_text` reads of a value, or little more."""
    if type(value) is str:
        return value[:most]
    if type(value) is not list or not value:
        return None
    if type(value[0]) is int:
        return value[: most // BYTES_PER_TOKEN]
    if type(value[0]) is list:
        return [_start(value[0], most)]
    return _text(value, most).decode(errors="ignore")


def _text(value: Any, most: int) -> bytes:
    """Returns at most `most` bytes of a string, of content parts, or of a prompt that is given as tokens."""
    if type(value) is str:
        return value[:most].encode("utf-8", "surrogatepass")[:most]
    if type(value) is not list or not value:
        return b""
    if type(value[0]) is int:
        try:
            return orjson.dumps(value[: most // BYTES_PER_TOKEN])
        except TypeError:  # nested more deeply than orjson writes; the request is refused when its body is written
            return b""
    if type(value[0]) is list:  # a batch: its first prompt counts
        return _text(value[0], most) if value[0] and type(value[0][0]) is int else b""
    out = b""
    for part in value:
        text = part.get("text") if type(part) is dict else part
        if type(text) is str:
            out += text[: most - len(out)].encode("utf-8", "surrogatepass")
        if len(out) >= most:
            break
    return out[:most]
