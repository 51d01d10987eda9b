"""Reads what an upstream says of its refusal: the error in any form that servers write, its codes, its Retry-After.

It is the only reader of errors, which look alike with a status of their own, inside a 200 (`in_band`) and inside a stream.
`error_words` finds their words; `machine.classify` decides what they mean. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from genset.router.dialects.error_words import ENTRIES, place_of, words_in
from genset.router.dialects.openai.events import BYTE_ORDER_MARK
from genset.router.dialects.plain_text import plain_text
from genset.router.dialects.tolerant import loads
from genset.times import retry_after, wait

MESSAGE_BYTES: Final = 2048  # of an upstream's message that are looked at
REFUSAL_CHARACTERS: Final = 200  # of a refusal in OpenAI's form, as the operator is told it

_DEPTH: Final = 6  # objects inside one another, of which the innermost names the reason
#: Members that hold the error itself, or a list of them, and those that name the reason.
_HOLDERS: Final = ("error", "errors", "fault", "detail", "message")
_NAMES: Final = ("code", "status", "status_code", "type", "param")
_LISTS: Final = ("details", "innererror", "errors")
_MOST_CODE: Final = 10**9  # beyond it a number is no code

_IN_BAND_STATUS: Final = {
    "authentication_error": 401,
    "permission_error": 403,
    "rate_limit_error": 429,
    "overloaded_error": 529,
    "not_found_error": 404,
    "request_too_large": 413,
}


def error_of(body: bytes) -> dict[str, Any]:
    """Returns the error of a body, JSON or a page for people. `message` is always there; "" if nothing was said."""
    try:
        parsed = loads(body.strip().removeprefix(BYTE_ORDER_MARK))
    except ValueError:
        return {"message": plain_text(body)}
    found = first_object(parsed)
    return {"message": words_in(parsed)} if found is None else error_in(found)


def refusal_words(body: bytes) -> str:
    """Returns the message of an error in the form of OpenAI's API; "" for whatever else a server may say.

    Source: the API reference, chapter Errors: {"error": {"message": TEXT, "type": TEXT, "param": ..., "code": ...}}.
    """
    try:
        said: Any = loads(body)
    except ValueError:
        return ""
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict):
        return ""
    message, kind = error.get("message"), error.get("type")
    if not isinstance(message, str) or not isinstance(kind, str):
        return ""
    text = " ".join(message.split())
    return text if len(text) <= REFUSAL_CHARACTERS else text[: REFUSAL_CHARACTERS - 1] + "…"


def first_object(parsed: Any) -> dict[str, Any] | None:
    """Returns a JSON object itself, and of an array (Gemini's) the first that says something; None if there is none."""
    if isinstance(parsed, dict):
        return parsed
    if not isinstance(parsed, list):
        return None
    objects = [one for one in parsed[:ENTRIES] if isinstance(one, dict)]
    return next((one for one in objects if words_in(one)), objects[0] if objects else None)


def error_in(said: dict[str, Any]) -> dict[str, Any]:
    """Returns the error inside a JSON object: its `error` object if it has one, its words as `message`, and what names the
    reason (`code`, `type`, `status`, `param`), of the innermost object that does."""
    error = said.get("error")
    found: dict[str, Any] = dict(error) if isinstance(error, dict) else {}
    found["message"] = words_in(said)
    for source in _innermost_first(said):
        for key in _NAMES:
            value = source.get(key)
            if value and isinstance(value, int | str) and not found.get(key):
                found[key] = value
        for key in _LISTS:
            if key not in found and isinstance(source.get(key), dict | list):
                found[key] = source[key]
        if not found.get("param") and (place := place_of(source)):
            found["param"] = place
    return found


def _innermost_first(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    chain = [said]
    while len(chain) < _DEPTH and (inner := _inside(chain[-1])) is not None:
        chain.append(inner)
    yield from reversed(chain)


def _inside(said: dict[str, Any]) -> dict[str, Any] | None:
    for key in _HOLDERS:
        value = said.get(key)
        if isinstance(value, list):
            value = next((one for one in value[:ENTRIES] if isinstance(one, dict)), None)
        if isinstance(value, dict):
            return value
    return None


def text_of(value: Any) -> str:
    """Returns a text as it is, and "" for everything else."""
    return value if isinstance(value, str) else ""


def codes_of(found: dict[str, Any]) -> frozenset[str]:
    """Returns the words by which a server names the reason, lower case: `code`, `type`, `status`, what Azure, Google and
    others nest."""
    inner, details = found.get("innererror"), found.get("details")
    words = [found.get("code"), found.get("type"), found.get("status")]
    if isinstance(inner, dict):
        words.append(inner.get("code"))
    if isinstance(details, dict):
        words.append(details.get("error_code"))
    for listed in (details, found.get("errors")):
        for entry in listed[:ENTRIES] if isinstance(listed, list) else ():
            if isinstance(entry, dict):
                words += (entry.get("code"), entry.get("reason"))
    return frozenset(_word(word) for word in words)


def _word(value: Any) -> str:
    if isinstance(value, int) and -_MOST_CODE < value < _MOST_CODE:
        return str(value)
    return text_of(value)[:MESSAGE_BYTES].lower()


def status_in(found: dict[str, Any]) -> int:
    """Returns the HTTP status that an error object names, as a number or as text (LiteLLM); 0 if it names none."""
    for key in ("code", "status", "status_code"):
        value = found.get(key)
        if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return _IN_BAND_STATUS.get(text_of(found.get("type")), 0)


def wait_in(found: dict[str, Any]) -> float | None:
    """Returns the seconds that an error's details ask for (google.rpc.RetryInfo: `"retryDelay": "34s"`); None if they do not."""
    details = found.get("details")
    for entry in details[:ENTRIES] if isinstance(details, list) else ():
        delay = text_of(entry.get("retryDelay")) if isinstance(entry, dict) else ""
        if delay.endswith("s"):
            try:
                return wait(float(delay[:-1]))
            except ValueError:
                pass
    return None


def parse_retry_after(headers: dict[bytes, bytes], wall: float) -> float | None:
    """Returns the seconds that `retry-after-ms` or `retry-after` asks for; None if neither makes sense. `wall`: the time now."""
    if raw := headers.get(b"retry-after-ms"):
        try:
            return wait(float(raw) / 1000)
        except ValueError:
            pass
    return retry_after(headers.get(b"retry-after", b"").decode("latin-1"), wall)
