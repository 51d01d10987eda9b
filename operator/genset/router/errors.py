"""The error vocabulary is closed: every failure that a client, a metric or a log line can name is one `ErrorKind`.

`caller_*`: the request is at fault; `policy_*`: a rule of the RoutePolicy; `provider_*`: what a backend answered, or
that it did not; `router_*`: this process. The shape in which clients see an error stands here, too. Pure: the state
machine decides with these values, the exchange only sends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson


class ConfigRejected(ValueError):
    """A configuration cannot be served. The message names file, field and remedy; no client sees it."""


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """An error kind is a word of the vocabulary, its HTTP status before commit, and the `code` that clients may read."""

    word: str
    status: int
    code: str


def _kinds(*kinds: ErrorKind) -> dict[str, ErrorKind]:
    return {kind.word: kind for kind in kinds}


VOCABULARY: Final = _kinds(
    ErrorKind("caller_bad_request", 400, "bad_request"),
    ErrorKind("caller_unsupported_parameter", 400, "unsupported_parameter"),
    ErrorKind("caller_invalid_json", 400, "invalid_json"),
    ErrorKind("caller_missing_model", 400, "missing_model"),
    ErrorKind("caller_unknown_path", 404, "unknown_path"),
    ErrorKind("caller_method_not_allowed", 405, "method_not_allowed"),
    ErrorKind("caller_timeout", 408, "request_timeout"),
    ErrorKind("caller_body_too_large", 413, "body_too_large"),
    ErrorKind("caller_unsupported_encoding", 415, "unsupported_encoding"),
    ErrorKind("caller_headers_too_large", 431, "headers_too_large"),
    ErrorKind("caller_gone", 499, "client_closed_request"),  # never sent: it names the request in logs and metrics
    ErrorKind("policy_key_unknown", 401, "invalid_api_key"),  # OpenAI's code, as the next but one
    ErrorKind("policy_model_not_found", 404, "model_not_found"),
    ErrorKind("policy_rate_limited", 429, "rate_limit_exceeded"),
    ErrorKind("policy_context_too_long", 400, "context_length_exceeded"),  # the code that clients look for
    ErrorKind("policy_capability", 400, "capability_missing"),  # no backend of the route can do what is asked
    ErrorKind("policy_data_zone", 403, "data_zone"),  # no backend where the request may be answered
    ErrorKind("policy_sensitive", 403, "sensitive_content"),  # something in it may not leave the house
    ErrorKind("policy_budget_spent", 429, "insufficient_quota"),  # OpenAI's code, upon which clients do not ask again
    ErrorKind("policy_no_backend", 503, "no_backend"),  # the route's tiers are all empty
    ErrorKind("provider_unreachable", 502, "upstream_unreachable"),
    ErrorKind("provider_timeout", 504, "upstream_timeout"),
    ErrorKind("provider_error", 502, "upstream_error"),
    ErrorKind("provider_unavailable", 503, "upstream_unavailable"),
    ErrorKind("provider_rate_limited", 429, "upstream_rate_limited"),
    ErrorKind("provider_auth", 502, "upstream_auth"),
    ErrorKind("provider_model_not_found", 502, "upstream_model_not_found"),
    ErrorKind("provider_unsupported", 501, "upstream_unsupported"),
    ErrorKind("provider_denied", 403, "upstream_denied"),
    ErrorKind("provider_conflict", 409, "upstream_conflict"),
    ErrorKind("provider_context_exceeded", 400, "context_length_exceeded"),
    ErrorKind("provider_content_filter", 400, "content_filter"),
    ErrorKind("provider_rejected", 400, "upstream_rejected"),
    ErrorKind("provider_invalid_response", 502, "upstream_invalid_response"),
    ErrorKind("provider_stalled", 504, "upstream_stalled"),
    ErrorKind("provider_interrupted", 502, "upstream_interrupted"),
    ErrorKind("router_overloaded", 429, "overloaded"),
    ErrorKind("router_queue_timeout", 429, "queue_timeout"),
    ErrorKind("router_backend_full", 429, "backend_full"),  # balancing.maxInFlightPerEndpoint
    ErrorKind("router_no_backend", 503, "no_backend_available"),
    ErrorKind("router_deadline", 504, "deadline_exceeded"),
    ErrorKind("router_loop", 508, "router_loop"),  # sites that fail over to each other: see `hops`
    ErrorKind("router_draining", 503, "draining"),
    ErrorKind("router_not_configured", 503, "not_configured"),
    ErrorKind("router_log_unavailable", 503, "log_unavailable"),  # log.required
    ErrorKind("router_egress_unrecorded", 503, "egress_unrecorded"),  # egress.record Required
    ErrorKind("router_internal", 500, "internal"),
)


#: Retry-After in seconds, if nothing better is known.
FULL_SECONDS: Final = 1  # a place may become free at any time
UNCONFIGURED_SECONDS: Final = 2  # a configuration comes within a few seconds
LONGEST_WAIT_SECONDS: Final = 60  # that SDKs made by Stainless wait
BROKEN_SECONDS: Final = 5  # a person has to act: no log can be written, no backend is there

#: Errors of backends that the same request meets again until a person has changed something.
_FUTILE: Final = frozenset(
    (
        "provider_auth",
        "provider_model_not_found",
        "provider_unsupported",
        "provider_context_exceeded",
        "provider_content_filter",
        "provider_rejected",
        "router_loop",
    )
)
_WORTH_ANOTHER_TRY: Final = (408, 409, 425, 429)  # statuses, whoever sends them and whatever the error is called


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error answer is the final answer to a request that failed.

    `retry_after` is in seconds. `original` is the upstream's own body (with its status), which the client gets
    untouched if the outcome table says so and the body has OpenAI's shape. `worth_another_try`: other backends than
    those that `kind` speaks of may answer the same request later. `param` names the field of the request that is at fault.
    """

    kind: ErrorKind
    message: str
    retry_after: int | None = None
    original: bytes | None = None
    status_override: int | None = None
    worth_another_try: bool = False
    param: str | None = None

    @property
    def status(self) -> int:
        return self.status_override or self.kind.status

    @property
    def futile(self) -> bool:
        """An error is futile if the same request would fail again, however often it is sent."""
        if self.kind.word == "policy_budget_spent" and (self.retry_after or 0) > LONGEST_WAIT_SECONDS:
            return True  # clients would ask again in vain: of longer waits they take no notice
        if self.worth_another_try or self.status in _WORTH_ANOTHER_TRY:
            return False
        word = self.kind.word
        return word.startswith("caller_") or word in _FUTILE or (word.startswith("policy_") and self.status < 500)

    def headers(self) -> bytes:
        """Returns header lines that tell clients what the error is and whether to ask again.

        SDKs made by Stainless (openai, anthropic) obey x-should-retry before they look at the status (openai-python,
        _base_client.py, `_should_retry`).
        """
        lines = b"x-genset-error: %b\r\n" % self.kind.word.encode()
        if self.status == 401:
            lines += b"www-authenticate: Bearer\r\n"  # RFC 9110, 15.5.2
        if self.retry_after is not None:
            lines += b"retry-after: %d\r\n" % self.retry_after
        return lines + b"x-should-retry: false\r\n" if self.futile else lines

    def body(self) -> bytes:
        """Returns a body in OpenAI's error shape: the upstream's own, if there is one in this shape."""
        if self.original and _is_readable(self.original):
            return self.original
        return orjson.dumps(
            {"error": {"message": self.message, "type": self.kind.word, "param": self.param, "code": self.kind.code}}
        )

    def told(self) -> str:
        """Returns the message alone, for clients that want another shape than OpenAI's."""
        return (_message_in(self.original) if self.original else "") or self.message


def _is_readable(body: bytes) -> bool:
    """Returns whether OpenAI's libraries find a message in a body (`error.message`); they show nothing of any other."""
    return bool(_message_in(body).strip())


def _message_in(body: bytes) -> str:
    """Returns the message of an error in OpenAI's shape; "" if there is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    told = found.get("error") if isinstance(found, dict) else None
    message = told.get("message") if isinstance(told, dict) else None
    return message if isinstance(message, str) else ""


def error(word: str, message: str, *, retry_after: int | None = None) -> ErrorAnswer:
    """Returns an error of the router's own. Raises KeyError for a word outside the vocabulary."""
    return ErrorAnswer(VOCABULARY[word], message, retry_after)


def unrecorded(why: str) -> ErrorAnswer:
    """Returns the error of a request that may not leave the house, because nobody could write that down."""
    return error(
        "router_egress_unrecorded",
        f"the request may not leave the house, because the record of that cannot be kept ({why}), and the policy wants it "
        "(egress.record Required)",
        retry_after=BROKEN_SECONDS,
    )


def in_band(kind: ErrorKind, message: str, attempts: Sequence[str], *, partial: bool = True) -> bytes:
    """Returns the last event of a stream whose status has been sent. No [DONE] and no finish_reason ever follow it.

    `partial`: the client has a part of the answer; otherwise it has only waited.
    """
    body = {
        "error": {
            "message": message,
            "type": "upstream_stream_interrupted",
            "param": None,
            "code": kind.word,
            "partial": partial,
            "attempts": list(attempts),
        }
    }
    return b"data: " + orjson.dumps(body) + b"\n\n"
