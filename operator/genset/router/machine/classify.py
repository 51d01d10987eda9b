"""Classification finds the row of the outcome table for an upstream's response.

`outcomes.ROWS` is the table, row by row. The status, `error.code` and `error.type` decide. A message may quote the
request, so it counts only if a known server says so (`known_messages`). Pure.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from genset.router.backends.account_words import DENIED, KEY, SUSPENDED, UNPAID
from genset.router.backends.outcomes import ROWS, Failure, Outcome
from genset.router.dialects.upstream_error import (
    MESSAGE_BYTES,
    codes_of,
    error_of,
    parse_retry_after,
    status_in,
    text_of,
    wait_in,
)
from genset.router.machine.known_messages import meaning_of, unquoted

WORDS_CHARACTERS: Final = 512  # characters of an upstream's message that are kept
ERROR_BODY_BYTES: Final = 64 * 1024  # bytes of an error body that are read and, if the table says so, handed on


_ACCOUNT: Final = (
    KEY | DENIED | UNPAID | SUSPENDED
)  # codes and types that say that the key, or its account, cannot be used
_UNKNOWN_MODEL: Final = frozenset((
    "model_not_found", "deploymentnotfound", "unknown_model", "invalid_model", "model_decommissioned", "model_not_available",
    "model_not_exist", "model_deprecated", "modelnotfound", "modelnotopen", "model_gone", "invalidendpointormodel.notfound",
))  # fmt: skip
_TOO_LONG: Final = frozenset((
    "context_length_exceeded", "exceed_context_size_error", "request_too_large", "context_window_exceeded",
    "model_context_window_exceeded", "model_max_prompt_tokens_exceeded", "prompt_too_long", "input_too_long",
))  # fmt: skip
#: A text of the request is too long: the prompt, if `param` names a part of it and no name, id or user. Source: OpenAI's API.
_TEXT_TOO_LONG: Final = "string_above_max_length"
_PROMPT: Final = re.compile(
    r"(?:messages|input|prompt|instructions|system)?|(?:input|prompt)\[\d+\]|(?:messages|input)\[\d+\]\.(?:content|output)\b.*"
)
_FILTERED: Final = frozenset((
    "content_filter", "content_policy_violation", "responsibleaipolicyviolation", "content_blocked",
    "moderation_blocked",
))  # fmt: skip
_UNABLE: Final = frozenset(
    (
        "unsupported_parameter",
        "unsupported_value",
        "unsupported_model",
        "unsupported_country",
        "unknown_parameter",
        "extra_forbidden",
        "unsupported_content_type",
        "not_supported_error",
        "model_not_supported",
        "unsupported_media_type",
        "operationnotsupported",
        "unsupported_api_for_model",
        "unsupported_response_format",
    )
)
#: Codes that say what is wrong with a value of this request: whatever the message sounds like, it is about neither the
#: key nor the model nor the length. Source: OpenAI's API, which quotes the value.
_OF_A_VALUE: Final = frozenset((
    "invalid_value", "invalid_type", "invalid_function_parameters", "invalid_json", "invalid_json_schema", "invalid_schema",
    "missing_required_parameter", "integer_below_min_value", "integer_above_max_value", "decimal_below_min_value",
    "decimal_above_max_value", "array_above_max_length", "array_below_min_length", "empty_array", "empty_string",
    "invalid_image", "invalid_image_url", "invalid_image_format", "invalid_base64", "invalid_base64_string",
    "duplicate_function_name", "invalid_function_name", _TEXT_TOO_LONG,
))  # fmt: skip
_LIMITED: Final = frozenset((
    "rate_limit_exceeded", "rate_limit_error", "tokens", "requests", "capacity_exceeded",
))  # fmt: skip
#: A known server's words for these count before its code, which may have many reasons (OpenRouter's 402 and 403).
_ABOUT_THIS_REQUEST: Final = (Outcome.DENIED, Outcome.CONTENT_FILTER)
_LOOP: Final = "router_loop"  # another router's word
_LATE: Final = b"router_deadline"  # likewise
_ERROR_HEADER: Final = b"x-genset-error"
_HAS_NOTHING_OF_THE_KIND: Final = (501, 505)  # whatever the request
_BY_NAME: Final = {outcome.value: outcome for outcome in Outcome}


def classify(
    status: int, headers: dict[bytes, bytes], body: bytes, model: str, *, wall: float, may_wait: float
) -> Failure:
    """Returns the failure that a response other than a 2xx means.

    `headers` have lower-case names. `model` is the name that the backend was asked for. `wall` is the time of day
    (seconds since 1970), for a Retry-After that is a date. `may_wait` is the longest Retry-After that is worth waiting
    for, in seconds (3, or what the deadline leaves).
    """
    retry_after = parse_retry_after(headers, wall)
    found = error_of(body)
    if status == 429 and retry_after is None:
        retry_after = wait_in(found)
    if b"x-amzn-errortype" in headers and not found.get("code"):  # Amazon's name of an error stands beside its body
        found["code"] = headers[b"x-amzn-errortype"].partition(b":")[0].decode("latin-1")
    outcome = _outcome(status, found, model, retry_after, may_wait)
    if (
        status >= 500 and headers.get(_ERROR_HEADER) == _LOOP.encode()
    ):  # the API of Messages has no 508, and no such code
        outcome = Outcome.LOOP
    body = body[:ERROR_BODY_BYTES]
    shown = (
        400 if status >= 500 and outcome is Outcome.UNSUPPORTED and status not in _HAS_NOTHING_OF_THE_KIND else status
    )
    return Failure(outcome, f"answered {status}", shown, retry_after, body, _words_of(found))


def ran_out_of_time(status: int, headers: dict[bytes, bytes]) -> bool:
    """Returns whether another site's router says that the request's time was over."""
    return status == 504 and headers.get(_ERROR_HEADER) == _LATE


def classify_in_band(found: dict[str, Any], detail: str, model: str = "") -> Failure:
    """Returns the failure that an error inside a 200 means before commit: by the status that it names, if any."""
    status = status_in(found)
    body = orjson.dumps({"error": found})
    if status:
        outcome = _outcome(status, found, model, None, 0.0)
        if outcome in (Outcome.SERVER_ERROR, Outcome.UNAVAILABLE, Outcome.OVERLOADED):
            outcome = Outcome.INVALID_RESPONSE
    else:
        outcome = _by_code(found, codes_of(found)) or _known(400, found) or Outcome.INVALID_RESPONSE
    shown = status or (400 if ROWS[outcome].original else 0)
    return Failure(outcome, detail, shown, None, body, words=_words_of(found))


def _words_of(found: dict[str, Any]) -> str:
    message = found.get("message")
    return message[:WORDS_CHARACTERS] if isinstance(message, str) else ""


def _by_code(found: dict[str, Any], codes: frozenset[str]) -> Outcome | None:
    if not codes.isdisjoint(_ACCOUNT):
        return Outcome.AUTH
    prompt = _TEXT_TOO_LONG in codes and _PROMPT.fullmatch(text_of(found.get("param"))) is not None
    if prompt or not codes.isdisjoint(_TOO_LONG):
        return Outcome.CONTEXT_EXCEEDED
    if not codes.isdisjoint(_FILTERED):
        return Outcome.CONTENT_FILTER
    if not codes.isdisjoint(_UNKNOWN_MODEL):
        return Outcome.MODEL_NOT_FOUND
    if not codes.isdisjoint(_UNABLE):
        return Outcome.UNSUPPORTED
    return None


def _known(status: int, found: dict[str, Any]) -> Outcome | None:
    message = text_of(found.get("message"))[:MESSAGE_BYTES]
    return _BY_NAME.get(meaning_of(status, message)) if message else None


def _outcome(status: int, found: dict[str, Any], model: str, retry_after: float | None, may_wait: float) -> Outcome:
    if status < 400:
        return Outcome.INVALID_RESPONSE  # following a redirect would take the key to another server
    if status in _HAS_NOTHING_OF_THE_KIND:
        return Outcome.UNSUPPORTED
    if status == 508 and found.get("code") == _LOOP:
        return Outcome.LOOP
    codes = codes_of(found)
    if status >= 500:
        return _server_fault(status, found, codes, retry_after, may_wait)
    known, named = _known(status, found), _by_code(found, codes)
    if known not in (Outcome.UNSUPPORTED, Outcome.CONTENT_FILTER) and not codes.isdisjoint(_OF_A_VALUE):
        known = None
    if status == 429 or status == 498:
        if named is Outcome.AUTH or any(code.endswith("_spend_limit_reached") for code in codes):
            return Outcome.AUTH
        if known is Outcome.CONTEXT_EXCEEDED or known is Outcome.AUTH:
            return known
        return _limited(retry_after, may_wait)
    if known is not None and (named is None or known in _ABOUT_THIS_REQUEST):
        return known
    if status == 401 or status == 402 or status == 407:
        return Outcome.AUTH
    if status == 403:
        # Firewalls, guardrails and proxies send it, too: unless its code is about the account, it is about this
        # request.
        return named if named is not None and named is not Outcome.UNSUPPORTED else Outcome.DENIED
    if status == 404:
        return Outcome.MODEL_NOT_FOUND if _names_no_model(found, codes, model) else Outcome.UNSUPPORTED
    if status == 410:  # of a model that had its time: NVIDIA's catalogue, gateways
        return named or (Outcome.MODEL_NOT_FOUND if _names(found, model) else Outcome.UNSUPPORTED)
    return _caller_fault(status, codes, named, retry_after, may_wait)


def _caller_fault(
    status: int, codes: frozenset[str], named: Outcome | None, retry_after: float | None, may_wait: float
) -> Outcome:
    """Returns the outcome of any other 4xx."""
    if status == 413:
        if not codes.isdisjoint(_LIMITED):
            return _limited(retry_after, may_wait)
        return named or Outcome.CONTEXT_EXCEEDED  # bytes or tokens: a backend that holds more may take it
    if named is not None:
        return named
    if status in (405, 406, 414, 415, 431):
        return Outcome.UNSUPPORTED
    if status == 408:
        return Outcome.TOO_LATE
    if status == 412:  # Portkey: the budget is spent; Fireworks: the account is suspended
        return Outcome.AUTH
    if status == 409:
        return Outcome.CONFLICT
    if status == 424:  # Bedrock: the model failed
        return Outcome.SERVER_ERROR
    if status == 446:  # Portkey: a guardrail
        return Outcome.CONTENT_FILTER
    if status == 421 or status == 423 or status == 425 or status == 451:
        return Outcome.DENIED
    return Outcome.REJECTED


def _server_fault(
    status: int, found: dict[str, Any], codes: frozenset[str], retry_after: float | None, may_wait: float
) -> Outcome:
    """Returns the outcome of a 5xx. llama.cpp and others also answer the caller's mistakes with it."""
    known = _known(status, found)
    if known in (Outcome.CONTEXT_EXCEEDED, Outcome.UNSUPPORTED):
        return known
    if not codes.isdisjoint(_TOO_LONG):
        return Outcome.CONTEXT_EXCEEDED
    if retry_after is not None:
        return _limited(retry_after, may_wait)
    if status == 529 or "overloaded_error" in codes:
        return Outcome.OVERLOADED
    if status == 503 or "unavailable_error" in codes:
        return Outcome.UNAVAILABLE
    return Outcome.SERVER_ERROR


def _limited(retry_after: float | None, may_wait: float) -> Outcome:
    short = retry_after is not None and retry_after <= may_wait
    return Outcome.RATE_LIMITED_SHORT if short else Outcome.RATE_LIMITED


def _names_no_model(found: dict[str, Any], codes: frozenset[str], model: str) -> bool:
    """Returns whether a 404 says that the model is not there; any other 404 means that the path is not."""
    if not codes.isdisjoint(_UNKNOWN_MODEL):
        return True
    message = text_of(found.get("message")).lower()
    if "not_found_error" in codes and message.startswith("model"):  # Anthropic: "model: NAME"
        return True
    said = unquoted(message)
    gone = "does not exist" in said or "not found" in said or "not exist" in said
    if not gone or not model or not ("model" in said or "deployment" in said):
        return False
    return _names(found, model)


def _names(found: dict[str, Any], model: str) -> bool:
    """Returns whether the message names the model."""
    message = text_of(found.get("message")).lower()
    return bool(model) and re.search(rf"(?<![\w.-]){re.escape(model.lower())}(?![\w-])", message) is not None
