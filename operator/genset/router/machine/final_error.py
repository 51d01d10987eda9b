"""The final error is what a client gets if nobody could answer: which word, which story, when to ask again. Pure.

Stories name backends and quote them; addresses stay in the log. If the request is not at fault, the error says what has
to be done, and by whom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import orjson

from genset.router.backends.backend import Backend
from genset.router.backends.breaker import Cause
from genset.router.backends.outage import PROBE_SECONDS
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.dialects.openai.in_band import INSIDE
from genset.router.errors import VOCABULARY, ErrorAnswer, error
from genset.router.machine.decisions import FULL, Candidate
from genset.router.machine.trail import Step, told

TOLD_STORIES: Final = 3  # different failures that are told, the last ones; the trail names them all

#: Outcomes after which the same request would fail again at the same backend.
_HOPELESS: Final = frozenset(
    (
        Outcome.AUTH.value,
        Outcome.MODEL_NOT_FOUND.value,
        Outcome.CONTEXT_EXCEEDED.value,
        Outcome.CONTENT_FILTER.value,
        Outcome.REJECTED.value,
        Outcome.UNSUPPORTED.value,
        Outcome.DENIED.value,
    )
)
_NOBODY: Final = (Outcome.UNREACHABLE, Outcome.INTERRUPTED, Outcome.UNAVAILABLE, Outcome.OVERLOADED)
_UNHEARD: Final = (Outcome.UNREACHABLE, Outcome.EXHAUSTED)  # their details name addresses
_NOT_THE_REQUEST: Final = frozenset((
    "provider_unreachable", "provider_interrupted", "provider_unavailable", "provider_timeout",
    "provider_invalid_response",
))  # fmt: skip
#: A gateway did not reach its server (from 520 on: Cloudflare). After a 500 the request may be at fault.
_GATEWAYS: Final = (502, 504, *range(520, 528), 530)


def none_tried(
    now: float,
    candidates: Sequence[Candidate],
    deadline: float,
    again: int,
    path: str = "",
    stories: Sequence[str] = (),
) -> ErrorAnswer:
    """Returns the error if no backend was even asked. `again` is Retry-After in seconds.

    `stories` tell of those that are not among the candidates any more.
    """
    reasons = {c.backend.name: c.backend.why_not(now, path) for c in candidates}
    story = ", ".join([*(f"{name}: {why}" for name, why in reasons.items()), *stories])
    words = set(reasons.values())
    keys = [name for name, why in reasons.items() if why == "auth"]
    models = [name for name, why in reasons.items() if why == "model_not_found"]
    advice = _advice(keys, models)
    if now >= deadline:
        return error("router_deadline", "the request's time was over before a backend could be asked")
    if FULL in words:
        return error("router_backend_full", f"no place was free ({story}){advice}", retry_after=again)
    if words == {"rate_limited"}:
        return error("provider_rate_limited", f"every backend is rate limited ({story})", retry_after=again)
    if words and words <= {"auth", "model_not_found"}:
        if keys:
            told = (
                "no backend takes the router's key or knows its model"
                if models
                else "every backend refused the router's key"
            )
            return error("provider_auth", f"{told} ({story}){advice}")
        return error("provider_model_not_found", f"no backend knows its model ({story}){advice}")
    return error("router_no_backend", f"no backend is available ({story}){advice}", retry_after=again)


def last_failed(
    failure: Failure,
    trail: Sequence[Step],
    again: int,
    *,
    full: bool,
    late: bool,
    stories: Sequence[str] = (),
    hope: bool = False,
) -> ErrorAnswer:
    """Returns the error for the last attempt's failure.

    `again` is Retry-After in seconds. `full`: a backend was left that had no place. `late`: the deadline has passed.
    `stories` tell in words how the attempts ended. `hope`: a backend that was not asked may be back when the client
    asks again.
    """
    story = told_story(stories, trail)
    if late and failure.outcome in (Outcome.TOO_LATE, Outcome.OUT_OF_TIME):
        return error("router_deadline", f"no backend answered within the request's time: {story}")
    advice = _advice(_those_of(trail, Outcome.AUTH), _those_of(trail, Outcome.MODEL_NOT_FOUND))
    if full:
        return error("router_backend_full", f"no place was free: {story}{advice}", retry_after=again)
    kind = failure.row.kind
    hope = hope or any(step.word not in _HOPELESS for step in trail)
    if failure.outcome is Outcome.CONTEXT_EXCEEDED and not _says_too_long(failure):
        return ErrorAnswer(kind, failure.words or failure.detail)  # clients know the code; the words are the server's
    if failure.row.original:
        return ErrorAnswer(
            kind,
            f"no backend could answer: {story}",
            original=failure.body or None,
            status_override=failure.status or None,
        )
    if kind.word == "provider_rate_limited" and not all(step.word.startswith("rate_limited") for step in trail):
        kind = VOCABULARY["router_no_backend"]
    if failure.outcome in _NOBODY and _those_of(trail, Outcome.LOOP):
        kind = VOCABULARY["router_loop"]  # whoever sent the request cannot answer it either: not this site's fault
    if not advice and _is_not_the_request(kind.word, failure):
        advice = ". Nothing is wrong with the request; it may be sent again"
    retry_after = again if kind.status in (429, 503) else None
    return ErrorAnswer(kind, f"no backend could answer: {story}{advice}", retry_after, worth_another_try=hope)


def story_of(backend: str, failure: Failure) -> str:
    """Tells the client how an attempt ended: `house answered 500 "image input is not supported"`."""
    if failure.outcome is Outcome.EXHAUSTED:
        return "the router has no connection left"
    return f"{backend} could not be reached" if failure.outcome in _UNHEARD else f"{backend} {detail_of(failure)}"


def detail_of(failure: Failure) -> str:
    """Tells what went wrong, in the router's words and, in quotes, in the backend's own."""
    words = " ".join(failure.words.split())
    return f'{failure.detail} "{words}"' if words and words not in failure.detail else failure.detail


def told_story(stories: Sequence[str], trail: Sequence[Step]) -> str:
    """Tells the last different stories, and the trail of all attempts."""
    steps = told(trail)
    different = list(dict.fromkeys(reversed(stories)))[:TOLD_STORIES]
    return f"{'; '.join(reversed(different))} ({steps})" if different else steps


def _says_too_long(failure: Failure) -> bool:
    """Returns whether the upstream's own answer shows clients that they should shorten what they sent."""
    if not failure.words and failure.body and failure.status == 400:
        return True  # nothing in the body can be told in another form
    try:
        found = orjson.loads(failure.body)
    except orjson.JSONDecodeError:
        return False
    told = found.get("error") if isinstance(found, dict) else None
    return failure.status == 400 and isinstance(told, dict) and told.get("code") == "context_length_exceeded"


def seconds_until(
    now: float,
    candidates: Sequence[Candidate],
    limited: float | None,
    asked: Sequence[Backend] = (),
    path: str = "",
) -> int:
    """Returns the shortest time after which it makes sense to ask again, in whole seconds, at least 1.

    It is never more than the router itself waits before it asks one of the candidates. `limited` is the least
    Retry-After received from one of those that were `asked`.
    """
    waits = [wait for c in candidates if (wait := _wait(c.backend, now, limited, asked, path)) is not None]
    return max(1, math.ceil(round(min(waits), 3))) if waits else 1  # (now + 20) - now may be a little more than 20


def _wait(backend: Backend, now: float, limited: float | None, asked: Sequence[Backend], path: str) -> float | None:
    """Returns the seconds until the router would ask a backend again; None if that can help nobody soon."""
    refusal = backend.refusals.of(path, now)
    if refusal is not None:
        return None if refusal.cause in (Cause.AUTH, Cause.MODEL) else refusal.until - now
    if backend.switch.down:
        return PROBE_SECONDS
    if backend.breaker.open_until > now:
        return backend.breaker.open_until - now
    if backend.is_full(now):
        return backend.line.seconds
    if backend in asked:
        return limited  # it was just asked in vain, and may have said for how long
    return 0.0


def _advice(keys: Sequence[str], models: Sequence[str]) -> str:
    """Tells who must do what before these backends answer again; empty if there are none."""
    wanted = [f"renew the key of backend {name}" for name in keys]
    wanted += [f"correct the model's name of backend {name}" for name in models]
    return f". The operator of this router must {' and '.join(wanted)}; the request is not at fault" if wanted else ""


def _is_not_the_request(word: str, failure: Failure) -> bool:
    """Returns whether the backend would have failed with any request. What it calls an error may be about this request."""
    if failure.status in _GATEWAYS:
        return True
    return word in _NOT_THE_REQUEST and not failure.detail.startswith(INSIDE)


def _those_of(trail: Sequence[Step], outcome: Outcome) -> list[str]:
    return list(dict.fromkeys(step.backend for step in trail if step.word == outcome.value))
