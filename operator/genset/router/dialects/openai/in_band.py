"""Decides whether JSON that came with a 200 is an error: a whole body, or one event of a stream. Pure.

What the error says is read as it is read with any other status (`upstream_error`). Servers, and the gateways before them, tell of
errors in many forms: OpenAI's `error` object, `object: error` (vLLM before 0.10, SGLang), FastAPI's `detail`, a `code` beside
`message` or `msg` (Chinese clouds, gateways in Java), MiniMax's `base_resp`. JSON that holds a part of an answer is no error.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from genset.router.dialects import upstream_error
from genset.router.dialects.tolerant import loads

INSIDE: Final = "sent an error inside"  # how the detail of such a failure begins
_MOST_BYTES: Final = 64 * 1024  # of an error object that is kept as it was sent
_KEPT: Final = ("code", "status", "type", "param")
_GOOD: Final = ("ok", "success", "0", "200")
#: Members that nothing but an error has.
_TELLING: Final = ("detail", "errors", "fault", "error_message", "error_msg", "errorMessage", "error_description")


def error_in(said: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the error that a JSON object is or holds, with its `message`; None if it is no error."""
    if not said.get("error") and said.get("object") != "error":
        if said.get("choices") or said.get("data") or isinstance(said.get("usage"), dict):
            return None
        if not (said.get("success") is False or _tells(said) or _is_bad(said) or _base(said).get("status_code")):
            return None
    return as_error(said)


def as_error(said: dict[str, Any]) -> dict[str, Any]:
    """Returns the error of a JSON object that is known to be one for another reason than what it says."""
    return _safe(upstream_error.error_in(said))


def error_of(body: bytes) -> dict[str, Any]:
    """Returns the error of a body that is known to be one for another reason than what it says."""
    return _safe(upstream_error.error_of(body))


def listed_in(body: bytes) -> dict[str, Any] | None:
    """Returns the error in a JSON array (Gemini); None if there is none."""
    try:
        said = upstream_error.first_object(loads(body))
    except ValueError:
        return None
    return error_in(said) if said is not None else None


def told_by(said: dict[str, Any]) -> dict[str, Any] | None:
    """Returns an error made of JSON that is no answer; None if it has no words for people."""
    found = as_error(said)
    return found if found["message"] else None


def _tells(said: dict[str, Any]) -> bool:
    for key in _TELLING:
        value = said.get(key)
        if value and not (isinstance(value, str) and value.lower() in _GOOD):
            return True
    return False


def _base(said: dict[str, Any]) -> dict[str, Any]:
    base = said.get("base_resp")
    return base if isinstance(base, dict) else {}


def _is_bad(said: dict[str, Any]) -> bool:
    """Returns whether a `code` or `status` tells of an error: it is the HTTP status of one, or no success beside a message."""
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


def _safe(found: dict[str, Any]) -> dict[str, Any]:
    """Returns the error itself if it is short and can be written again; otherwise its message and what names its reason."""
    if _is_plain(found):
        return found
    return {"message": found["message"], **{key: found[key] for key in _KEPT if key in found and _is_plain(found[key])}}


def _is_plain(value: Any) -> bool:
    try:
        return len(orjson.dumps(value)) <= _MOST_BYTES
    except TypeError:
        return False
