"""The error that a client gets when nobody could answer: which word, which story, and when to ask again. Pure.

Stories name backends and outcomes; details name addresses and stay in the log.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import orjson

from genset.router.decisions import FULL, Candidate
from genset.router.errors import VOCABULARY, ErrorAnswer, error
from genset.router.outcome import Failure, Outcome


def none_tried(now: float, candidates: Sequence[Candidate], deadline: float, again: int) -> ErrorAnswer:
    """No backend was even asked. `again`: seconds for Retry-After."""
    reasons = {c.backend.name: c.backend.why_not(now) for c in candidates}
    story = ", ".join(f"{name}: {why}" for name, why in reasons.items())
    words = set(reasons.values())
    if now >= deadline:
        return error("router_deadline", "the request's time was over before a backend could be asked")
    if FULL in words:
        return error("router_backend_full", f"no place was free ({story})", retry_after=again)
    if words == {"rate_limited"}:
        return error("provider_rate_limited", f"every backend is rate limited ({story})", retry_after=again)
    if words == {"auth"}:
        return error("provider_auth", f"every backend refused the router's credentials ({story})")
    if words == {"model_not_found"}:
        return error("provider_model_not_found", f"no backend knows its model ({story})")
    return error("router_no_backend", f"no backend is available ({story})", retry_after=again)


def last_failed(failure: Failure, trail: Sequence[str], again: int, *, full: bool, late: bool) -> ErrorAnswer:
    """The last attempt's failure is the answer. `full`: a backend was left that had no place; `late`: the deadline is over."""
    story = ", ".join(trail)
    if late and failure.outcome in (Outcome.TOO_LATE, Outcome.OUT_OF_TIME):
        return error("router_deadline", f"no backend answered within the request's time: {story}")
    if full:
        return error("router_backend_full", f"no place was free: {story}", retry_after=again)
    kind = failure.rule.kind
    if failure.outcome is Outcome.CONTEXT_EXCEEDED and not _says_too_long(failure):
        return ErrorAnswer(kind, failure.words or failure.detail)  # as clients know it, in the server's own words
    if failure.rule.original:
        return ErrorAnswer(
            kind,
            failure.detail,
            original=failure.body or None,
            original_type=failure.content_type,
            status_override=failure.status or None,
        )
    if kind.word == "provider_rate_limited" and not all(
        step.split(":")[1].startswith("rate_limited") for step in trail
    ):
        kind = VOCABULARY["router_no_backend"]
    return ErrorAnswer(kind, f"no backend could answer: {story}", again if kind.status in (429, 503) else None)


def _says_too_long(failure: Failure) -> bool:
    """Whether clients see by the upstream's own answer that they should shorten what they sent."""
    if not failure.words and failure.body and failure.status == 400:
        return True  # nothing in it could be told in another form
    try:
        found = orjson.loads(failure.body)
    except orjson.JSONDecodeError:
        return False
    told = found.get("error") if isinstance(found, dict) else None
    return failure.status == 400 and isinstance(told, dict) and told.get("code") == "context_length_exceeded"


def seconds_until(now: float, candidates: Sequence[Candidate], limited: float | None) -> int:
    """Least time after which asking again makes sense, in whole seconds, at least 1. `limited`: the least Retry-After heard."""
    waits = [c.backend.breaker.open_until - now for c in candidates if c.backend.breaker.open_until > now]
    waits += [c.backend.line.seconds for c in candidates if c.backend.is_full(now)]
    if limited is not None:
        waits.append(limited)
    return max(1, math.ceil(min(waits))) if waits else 1
