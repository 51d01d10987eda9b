"""Reads what an upstream says of its refusal: the error object in any form that servers write, its codes, its Retry-After.

Pure. `outcome` decides what it means.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from genset.router.plain_text import plain_text

MESSAGE_BYTES: Final = 2048  # of an upstream's message that are looked at

_IN_BAND_STATUS: Final = {
    "authentication_error": 401,
    "permission_error": 403,
    "rate_limit_error": 429,
    "overloaded_error": 529,
    "not_found_error": 404,
    "request_too_large": 413,
}


def error_of(body: bytes) -> dict[str, Any]:
    """Returns the error object of a body, whatever its form.

    OpenAI's `error` object; a bare text; an array of one (Gemini); FastAPI's `detail`, text or list; `msg`; MiniMax's
    `base_resp`; an object that is the error itself (vLLM, Mistral). `message` is always there if anything was said.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"message": plain_text(body)}
    if isinstance(parsed, list) and len(parsed) == 1:
        parsed = parsed[0]
    return error_in(parsed) if isinstance(parsed, dict) else {"message": str(parsed)[:MESSAGE_BYTES]}


def error_in(parsed: dict[str, Any]) -> dict[str, Any]:
    """Returns the error inside a JSON object, as `error_of` does."""
    found = parsed.get("error")
    if isinstance(found, dict):
        return found
    if isinstance(found, str) and found:
        return {**parsed, "message": found}
    detail = parsed.get("detail")
    base = parsed.get("base_resp")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):  # pydantic's list of mistakes
        first = detail[0]
        return {**parsed, "type": first.get("type"), "message": f"{text_of(first.get('msg'))} ({first.get('loc')})"}
    said = parsed.get("message") or parsed.get("msg") or detail
    if not said and isinstance(base, dict):
        said = base.get("status_msg")
    if isinstance(said, dict):
        return said
    return {**parsed, "message": str(said)[:MESSAGE_BYTES] if said else ""}


def text_of(value: Any) -> str:
    """Returns a text as it is, and "" for everything else."""
    return value if isinstance(value, str) else ""


def codes_of(found: dict[str, Any]) -> frozenset[str]:
    """Returns the words by which a server names the reason, lower case: `code`, `type`, `status`, what Azure and others nest."""
    inner = found.get("innererror")
    details = found.get("details")
    nested = (
        inner.get("code") if isinstance(inner, dict) else None,
        details.get("error_code") if isinstance(details, dict) else None,
    )
    return frozenset(
        text_of(word).lower() for word in (found.get("code"), found.get("type"), found.get("status"), *nested)
    )


def status_in(found: dict[str, Any]) -> int:
    """Returns the HTTP status that an error object names, as a number or as text (LiteLLM); 0 if it names none."""
    for key in ("code", "status", "status_code"):
        value = found.get(key)
        if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return _IN_BAND_STATUS.get(text_of(found.get("type")), 0)


def parse_retry_after(headers: dict[bytes, bytes], wall: float) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after` (a number or an HTTP date); None where there is no sense in it."""
    if raw := headers.get(b"retry-after-ms"):
        try:
            return _bounded(float(raw) / 1000)
        except ValueError:
            pass
    raw = headers.get(b"retry-after", b"")
    if not raw:
        return None
    try:
        return _bounded(float(raw))
    except ValueError:
        pass
    try:
        return _bounded(parsedate_to_datetime(raw.decode("latin-1")).timestamp() - wall)
    except (ValueError, TypeError, OverflowError):
        return None


def _bounded(seconds: float) -> float | None:
    return min(max(seconds, 0.0), 86_400.0) if seconds == seconds else None  # NaN is not equal to itself
