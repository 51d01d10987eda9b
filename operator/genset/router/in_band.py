"""Finds the error inside a 200: in a whole body, or in one event of a stream. Pure.

Servers and the gateways before them tell of errors under a 200 in many forms: OpenAI's `error` object, `object: error`
(vLLM before 0.10, SGLang), FastAPI's `detail`, a `code` beside `message` or `msg` (Chinese clouds, gateways in Java), MiniMax's
`base_resp`. Whatever holds a part of an answer is none of these.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from genset.router.tolerant import mended

MESSAGE_CHARACTERS: Final = 2048
_MOST_BYTES: Final = 64 * 1024  # of an error object that is kept as it was sent
_KEPT: Final = ("code", "status", "type", "param")
_MESSAGES: Final = ("message", "msg", "detail", "error_message", "error_msg")
_GOOD: Final = ("ok", "success", "0", "200")


def error_in(said: dict[str, Any]) -> dict[str, Any] | None:
    """The error object that these JSON members are or hold, with its `message`; None if they are no error."""
    error = said.get("error")
    if error:
        if isinstance(error, dict):
            if not words_of(error) and (words := words_of(said)):
                error = {**error, "message": words}
            return _safe(error, words_of(error))
        words = error if isinstance(error, str) else words_of(said) or str(error)
        return _told(said, mended(words[:MESSAGE_CHARACTERS]))
    if said.get("object") != "error":
        if said.get("choices") or said.get("data") or isinstance(said.get("usage"), dict):
            return None
        if not (said.get("detail") or said.get("success") is False or _is_bad(said) or _base(said).get("status_code")):
            return None
    return _told(said, words_of(said))


def as_error(said: dict[str, Any]) -> dict[str, Any]:
    """These JSON members, which are an error for another reason than what they say."""
    return _safe(said, words_of(said))


def told_by(said: dict[str, Any]) -> dict[str, Any] | None:
    """An error object out of a body that is no answer, if it says anything."""
    words = words_of(said)
    return _told(said, words) if words else None


def words_of(said: dict[str, Any]) -> str:
    """The message for people in an error, whatever its name; "" if there is none."""
    for key in _MESSAGES:
        value = said.get(key)
        if value and isinstance(value, str):
            return mended(value[:MESSAGE_CHARACTERS])
    value = _base(said).get("status_msg")
    if value and isinstance(value, str):
        return mended(value[:MESSAGE_CHARACTERS])
    detail = said.get("detail")  # FastAPI: a list of what is wrong, each with its `msg`
    if isinstance(detail, list) and detail:
        detail = detail[0]
    if isinstance(detail, dict):
        return words_of(detail) or json.dumps(detail)[:MESSAGE_CHARACTERS]
    return ""


def _base(said: dict[str, Any]) -> dict[str, Any]:
    base = said.get("base_resp")
    return base if isinstance(base, dict) else {}


def _is_bad(said: dict[str, Any]) -> bool:
    """Whether a `code` or `status` tells of an error: a status of one, or anything but success beside a message."""
    for key in ("code", "status"):
        value = said.get(key)
        if not value or isinstance(value, bool) or not isinstance(value, int | str):
            continue
        text = str(value).lower()
        if len(text) == 3 and text[0] in "45" and text.isdigit():
            return True
        if key == "code" and text not in _GOOD and any(isinstance(said.get(name), str) for name in ("message", "msg")):
            return True
    return False


def _told(said: dict[str, Any], words: str) -> dict[str, Any]:
    kept = {key: said[key] for key in _KEPT if isinstance(said.get(key), int | str) and said[key] != ""}
    return _safe({"message": words, **kept}, words)


def _safe(found: dict[str, Any], words: str) -> dict[str, Any]:
    """The object itself if it is short and can be written again, else what is known of it."""
    if _is_plain(found):
        return found
    return {"message": words, **{key: found[key] for key in _KEPT if key in found and _is_plain(found[key])}}


def _is_plain(value: Any) -> bool:
    try:
        return len(orjson.dumps(value)) <= _MOST_BYTES
    except TypeError:
        return False
