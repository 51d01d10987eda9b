"""The outcome table: what one attempt's end before commit means for the next step, the breakers and the client.

Pure. `RULES` is failover.md's table, row by row; `classify` names the row of an upstream response. A provider's own
words for an exhausted context, a content filter or a quota come from its entry in `providers`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

import orjson

from genset.router.errors import VOCABULARY, ErrorKind
from genset.router.plain_text import plain_text
from genset.router.providers.base import Provider

WORDS_CHARACTERS: Final = 512  # of an upstream's message that are kept
ERROR_BODY_BYTES: Final = 64 * 1024  # as much of an error body as is read and, where the table says so, handed on


class Outcome(StrEnum):
    """How an attempt ended before commit. The value is the word in the attempt trail."""

    UNREACHABLE = "unreachable"  # refused, reset, DNS, TLS, proxy: nothing was heard
    EXHAUSTED = "exhausted"  # the router has no descriptor or port left for a connection
    INTERRUPTED = "interrupted"  # the connection was lost inside an answer
    TOO_LATE = "too_late"  # headers or first token after the deadline
    OUT_OF_TIME = "out_of_time"  # the request's own time was over; the backend was no slower than it may be
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    RATE_LIMITED_SHORT = "rate_limited_short"
    RATE_LIMITED = "rate_limited"
    AUTH = "auth"
    MODEL_NOT_FOUND = "model_not_found"
    CONTEXT_EXCEEDED = "context_exceeded"
    CONTENT_FILTER = "content_filter"
    REJECTED = "rejected"
    UNSUPPORTED = "unsupported"  # this backend does not offer the path at all
    LOOP = "loop"  # another site, which the request would have to come back from
    INVALID_RESPONSE = "invalid_response"  # error inside a 200, an end without an answer, garbage, a redirect


class Again(StrEnum):
    """Whether the same backend is asked once more."""

    NO = "no"
    SIBLING = "sibling"  # another endpoint, if there is one
    ONCE = "once"  # the same endpoint, after 100-300 ms
    SIBLING_ELSE_ONCE = "sibling-else-once"
    AFTER_WAIT = "after-wait"  # the same endpoint, after Retry-After


class Next(StrEnum):
    """Whether another backend is asked."""

    YES = "yes"
    LARGER = "larger"  # only one with a larger context
    NO = "no"


class Mark(StrEnum):
    """What the breakers learn."""

    NONE = "none"
    ENDPOINT = "endpoint"  # +1 on the endpoint; on the backend too, once no healthy sibling is left
    BACKEND = "backend"  # +1 on both
    COOL = "cool"
    AUTH = "auth"  # hard down until the credentials change, or 30 min
    MODEL = "model"  # hard down 5 min


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table."""

    again: Again
    next: Next
    mark: Mark
    kind: ErrorKind
    original: bool = False  # the client sees the upstream's own body and status


def _rule(again: Again, next_: Next, mark: Mark, word: str, original: bool = False) -> Rule:
    return Rule(again, next_, mark, VOCABULARY[word], original)


RULES: dict[Outcome, Rule] = {
    Outcome.UNREACHABLE: _rule(Again.SIBLING, Next.YES, Mark.ENDPOINT, "provider_unreachable"),
    Outcome.EXHAUSTED: _rule(Again.ONCE, Next.YES, Mark.NONE, "router_overloaded"),
    Outcome.INTERRUPTED: _rule(Again.SIBLING, Next.YES, Mark.ENDPOINT, "provider_interrupted"),
    Outcome.TOO_LATE: _rule(Again.NO, Next.YES, Mark.BACKEND, "provider_timeout"),
    Outcome.OUT_OF_TIME: _rule(Again.NO, Next.NO, Mark.NONE, "router_deadline"),
    Outcome.SERVER_ERROR: _rule(Again.ONCE, Next.YES, Mark.BACKEND, "provider_error"),
    Outcome.UNAVAILABLE: _rule(Again.SIBLING_ELSE_ONCE, Next.YES, Mark.ENDPOINT, "provider_unavailable"),
    Outcome.RATE_LIMITED_SHORT: _rule(Again.AFTER_WAIT, Next.YES, Mark.COOL, "provider_rate_limited"),
    Outcome.RATE_LIMITED: _rule(Again.NO, Next.YES, Mark.COOL, "provider_rate_limited"),
    Outcome.AUTH: _rule(Again.NO, Next.YES, Mark.AUTH, "provider_auth"),
    Outcome.MODEL_NOT_FOUND: _rule(Again.NO, Next.YES, Mark.MODEL, "provider_model_not_found"),
    Outcome.CONTEXT_EXCEEDED: _rule(Again.NO, Next.LARGER, Mark.NONE, "provider_context_exceeded", original=True),
    Outcome.CONTENT_FILTER: _rule(Again.NO, Next.NO, Mark.NONE, "provider_content_filter", original=True),
    Outcome.REJECTED: _rule(Again.NO, Next.NO, Mark.NONE, "provider_rejected", original=True),
    Outcome.UNSUPPORTED: _rule(Again.NO, Next.YES, Mark.NONE, "provider_unsupported", original=True),
    Outcome.LOOP: _rule(Again.NO, Next.YES, Mark.NONE, "router_loop"),
    Outcome.INVALID_RESPONSE: _rule(Again.NO, Next.YES, Mark.BACKEND, "provider_invalid_response"),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of one attempt, before or after commit.

    `retry_after` in seconds; `status` is 0 if none was received. `words` is the message inside the upstream's error, at
    most WORDS_CHARACTERS of it; it may quote the request or a key, so it is masked before it leaves the router.
    """

    outcome: Outcome
    detail: str
    status: int = 0
    retry_after: float | None = None
    body: bytes = field(default=b"", repr=False)
    words: str = field(default="", repr=False)

    @property
    def rule(self) -> Rule:
        return RULES[self.outcome]


def classify(
    status: int, headers: dict[bytes, bytes], body: bytes, provider: Provider, *, wall: float, may_wait: float
) -> Failure:
    """The row of a response that is no 2xx.

    `headers` have lower-case names. `wall` is the time of day (seconds since 1970), for a Retry-After that is a date;
    `may_wait` is the longest Retry-After that is worth waiting for (3 s, or what the deadline leaves).
    """
    retry_after = parse_retry_after(headers, wall)
    found = _error_of(body)
    outcome = _outcome(status, provider, found, retry_after, may_wait)
    return Failure(outcome, f"answered {status}", status, retry_after, body[:ERROR_BODY_BYTES], _words_of(found))


def classify_in_band(found: dict[str, Any], provider: Provider, detail: str) -> Failure:
    """The row of an error that arrived inside a 200, before commit: by the status it names, if it names one."""
    status = next((found[key] for key in ("code", "status") if _is_status(found.get(key))), 0)
    body = orjson.dumps({"error": found})
    if not status:
        outcome = _by_words(provider, found) or Outcome.INVALID_RESPONSE
    else:
        outcome = _outcome(status, provider, found, None, 0.0)
        if outcome in (Outcome.SERVER_ERROR, Outcome.UNAVAILABLE):
            outcome = Outcome.INVALID_RESPONSE
    shown = status or (400 if outcome in (Outcome.CONTEXT_EXCEEDED, Outcome.CONTENT_FILTER) else 0)
    return Failure(outcome, detail, shown, None, body, words=_words_of(found))


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


def _words_of(found: dict[str, Any]) -> str:
    message = found.get("message")
    return message[:WORDS_CHARACTERS] if isinstance(message, str) else ""


def _is_status(value: object) -> bool:
    return isinstance(value, int) and 400 <= value <= 599


def _error_of(body: bytes) -> dict[str, Any]:
    """The error object of an OpenAI-shaped body; also of the bare strings and `detail`s that other servers send."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"message": plain_text(body)}
    if not isinstance(parsed, dict):
        return {"message": str(parsed)[:2048]}
    found = parsed.get("error")
    if isinstance(found, dict):
        return found
    if isinstance(found, str):
        return {**parsed, "message": found}
    return {"message": str(parsed.get("message") or parsed.get("detail") or "")[:2048], **parsed}


def _by_words(provider: Provider, found: dict[str, Any]) -> Outcome | None:
    if provider.is_quota(found):
        return Outcome.AUTH
    if provider.is_context_exceeded(found):
        return Outcome.CONTEXT_EXCEEDED
    if provider.is_content_filter(found):
        return Outcome.CONTENT_FILTER
    return None


def _outcome(
    status: int, provider: Provider, found: dict[str, Any], retry_after: float | None, may_wait: float
) -> Outcome:
    if status < 400:
        return Outcome.INVALID_RESPONSE  # a redirect would carry the key somewhere else
    if status == 503:
        if retry_after is None:
            return Outcome.UNAVAILABLE
        return Outcome.RATE_LIMITED_SHORT if retry_after <= may_wait else Outcome.RATE_LIMITED
    if status in (501, 505):
        return Outcome.UNSUPPORTED
    if status == 508 and found.get("code") == "router_loop":
        return Outcome.LOOP
    if status >= 500:
        # llama.cpp has said so with a 500, too
        return Outcome.CONTEXT_EXCEEDED if provider.is_context_exceeded(found) else Outcome.SERVER_ERROR
    if status == 429:
        if provider.is_quota(found):
            return Outcome.AUTH
        if retry_after is not None and retry_after <= may_wait:
            return Outcome.RATE_LIMITED_SHORT
        return Outcome.RATE_LIMITED
    if status in (400, 403, 413, 422) and (named := _by_words(provider, found)):
        return named
    if status in (401, 402, 403, 407):
        return Outcome.AUTH
    if status == 404:
        return Outcome.MODEL_NOT_FOUND if provider.is_model_not_found(found) else Outcome.UNSUPPORTED
    if status == 405:
        return Outcome.UNSUPPORTED
    if status == 408:
        return Outcome.TOO_LATE
    return Outcome.REJECTED
