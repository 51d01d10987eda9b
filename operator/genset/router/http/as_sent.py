"""Writes a request anew if its tree cannot say what it holds: the client's own bytes stand for all that is unchanged.

Integers beyond 64 bits and halves of characters are read (`bodies`), but the fast writer refuses them. The slow one would
need many times the memory of a large body, and write other bytes. Pure.
"""

from __future__ import annotations

from typing import Any

import orjson

from genset.router.dialects.tolerant import dumps
from genset.router.http.bodies import TOKEN


def as_sent(body: bytes, parsed: dict[str, Any], request: dict[str, Any]) -> bytes:
    """Writes `request` in the bytes of `body`: `parsed` was read from it, and shares its values with the request."""
    own = members(body)
    parts = []
    for key, value in request.items():
        old = parsed.get(key)
        said = own.get(key, b"") if value is old else b""
        if not said and isinstance(value, list) and isinstance(old, list):
            said = _longer(own[key], old, value)
        parts.append(dumps(key) + b":" + (said or dumps(value)))
    return b"{" + b",".join(parts) + b"}"


def members(body: bytes) -> dict[str, bytes]:
    """Returns the values of the outermost object as they stand in the body, which is known to be an object."""
    found: dict[str, bytes] = {}
    key, start, end, depth = "", 0, 0, 0
    for token in TOKEN.finditer(body):
        text = token.group(1)
        if text is None:
            depth += 1 if token.group(3) else -1
            end = token.start()
        elif depth == 1 and token.group(2):
            end = token.start()
            if start:
                found[key] = body[start:end].strip().removesuffix(b",")
            key, start = orjson.loads(text), token.end()
    if start:
        found[key] = body[start:end].strip()
    return found


def _longer(own: bytes, old: list[Any], value: list[Any]) -> bytes:
    """Writes a list to which something was added behind its own entries, as to messages. b"" if it is another one."""
    count = len(old)
    if not 0 < count < len(value) or any(a is not b for a, b in zip(old, value, strict=False)):
        return b""
    return own[:-1] + b"," + dumps(value[count:])[1:]
