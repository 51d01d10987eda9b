"""Writes what passes between a client and a server that speak the same API. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from genset.router.dialects.tolerant import dumps, loads, loads_as_sent, loads_exactly

_TOKEN: Final = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")([ \t\r\n]*+:)?|([\[{])|[\]}]', re.DOTALL)
_COLON: Final = re.compile(rb"[ \t\r\n]*+:")
_SCALAR: Final = re.compile(rb'[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+"|true|false|null|-?[0-9][0-9.eE+-]*+)', re.DOTALL)
_MODEL_ALONE: Final = frozenset(("model",))
_KIND: Final = re.compile(r"[A-Za-z0-9_.]{1,128}")


def rewritten(raw: bytes, changed: Mapping[str, Any], top: Collection[str] = _MODEL_ALONE) -> bytes:
    """Returns the JSON object `raw` with other values for some of its keys; all other bytes stay what they are.

    `top`: those of these keys that the object has; the others are added. No tree is made, which takes several times the memory of
    a long prompt, unless what stands there is a list or an object. Raises ValueError, TypeError.
    """
    edits: list[tuple[int, int, bytes]] = []
    end = raw.rindex(b"}")
    for key, value in changed.items():
        if key not in top:
            edits.append((end, end, b',"%b":%b' % (key.encode(), dumps(value))))
            continue
        place = _place(raw, key)
        if place is None:
            return dumps({**tree_of(raw), **changed})
        edits.append((*place, dumps(value)))
    parts: list[bytes | memoryview] = []
    at, held = 0, memoryview(raw)  # of a long body there is one copy
    for begin, behind, text in sorted(edits):
        parts += (held[at:begin], text)
        at = behind
    return b"".join((*parts, held[at:]))


def _place(raw: bytes, key: str) -> tuple[int, int] | None:
    """Returns where the value of a key of the outermost object stands, which has it once; None if that is a list or an object."""
    name = b'"%b"' % key.encode()
    at = -1
    if b"\\u" not in raw and raw.count(name) == 1:  # no key is spelled otherwise, so this is the one
        colon = _COLON.match(raw, raw.find(name) + len(name))
        at = colon.end() if colon is not None else -1
    else:
        depth = 0
        for token in _TOKEN.finditer(raw):
            text = token.group(1)
            if text is None:
                depth += 1 if token.group(3) else -1
            elif depth == 1 and token.group(2) and (text == name or loads(text) == key):
                at = token.end()
                break
    value = _SCALAR.match(raw, at) if at >= 0 else None
    return value.span(1) if value is not None else None


def tree_of(raw: bytes) -> dict[str, Any]:
    """Reads a request that was read before. Raises ValueError."""
    try:
        value = loads_exactly(raw)
    except ValueError:
        value = loads_as_sent(raw)
    return value if isinstance(value, dict) else {}


def changes(asked: Mapping[str, Any], *, streams: bool, limit: str, own: Any) -> dict[str, Any]:
    """Returns what a server is told otherwise than the client wrote it: the model, that a stream is wanted, a lower limit.

    `asked` is the request in OpenAI's form. `streams`: the client wants one itself. `limit` is the API's name of the most tokens
    of an answer, and `own` what the client gave there.
    """
    changed: dict[str, Any] = {"model": asked["model"]}
    if asked.get("stream") is True and not streams:
        changed["stream"] = True
    least = _least_limit(asked)
    if least and isinstance(own, int) and least < own:
        changed[limit] = least
    return changed


def _least_limit(asked: Mapping[str, Any]) -> int:
    """Returns the most tokens of an answer that a request in OpenAI's form asks for; 0 if it does not say."""
    limits = [asked.get(key) for key in ("max_tokens", "max_completion_tokens")]
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=0)


def data_in(event: bytes) -> bytes:
    """Returns the data of an event that `framed` has written."""
    return event.partition(b"\ndata: ")[2]


def texts_of(value: Any, depth: int = 8) -> list[str]:
    """Returns the texts of messages, whatever their blocks are: what a prompt is estimated by that nobody can translate."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        given = value.get("input")  # of a call: its names tell what its values are
        asked = dumps(given).decode() if isinstance(given, dict) else given
        value = [asked, *(value.get(key) for key in ("content", "text", "title", "query", "output", "arguments"))]
    if isinstance(value, list) and depth:
        return [text for entry in value for text in texts_of(entry, depth - 1)]
    return []


def framed(kind: Any, data: bytes) -> bytes:
    """Returns an event of a stream with its `event:` line; b"" if its kind is no word."""
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        return b""
    if b"\n" in data:
        data = dumps(loads(data))
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
