"""The outcome table says what the end of an attempt before commit means for request, breakers and client. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from genset.router.errors import VOCABULARY, ErrorKind


class Outcome(StrEnum):
    """An outcome is how an attempt ended before commit. Its value is the word shown in the trail."""

    UNREACHABLE = "unreachable"  # refused, reset, DNS, TLS, proxy: no byte came back
    EXHAUSTED = "exhausted"  # the router itself has no file descriptor or port left for a connection
    INTERRUPTED = "interrupted"  # the connection was lost inside an answer
    TOO_LATE = "too_late"  # the headers or the first token did not come before the deadline
    OUT_OF_TIME = "out_of_time"  # the request's own time was over, but the backend was no slower than it may be
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"  # the whole service, for all of its customers
    RATE_LIMITED_SHORT = "rate_limited_short"
    RATE_LIMITED = "rate_limited"
    AUTH = "auth"
    MODEL_NOT_FOUND = "model_not_found"
    CONTEXT_EXCEEDED = "context_exceeded"
    CONTENT_FILTER = "content_filter"
    REJECTED = "rejected"
    UNSUPPORTED = "unsupported"  # this backend cannot do what the request asks: a path, a tool, a picture, a field
    DENIED = "denied"  # this backend will not do it: a firewall, the caller's limit or choice of servers
    CONFLICT = "conflict"  # 409: the same request may be taken in a moment
    LOOP = "loop"  # another site, from which the request would come back here
    INVALID_RESPONSE = "invalid_response"  # an error inside a 200, an end without an answer, garbage, a redirect


class Again(StrEnum):
    """Again says whether the same backend is asked once more."""

    NO = "no"
    SIBLING = "sibling"  # another endpoint, if there is one
    ONCE = "once"  # the same endpoint, after 100-300 ms
    SIBLING_ELSE_ONCE = "sibling-else-once"
    AFTER_WAIT = "after-wait"  # the same endpoint, after Retry-After


class Next(StrEnum):
    """Next says whether another backend is asked."""

    YES = "yes"
    LARGER = "larger"  # only one with a larger context
    NO = "no"


class Mark(StrEnum):
    """A mark is what the backend's state learns. AUTH and MODEL are suspicions until they are confirmed (`suspicion`)."""

    NONE = "none"
    ENDPOINT = "endpoint"  # counts against the endpoint; against the backend, too, if no other endpoint is usable
    BACKEND = "backend"  # counts against both
    COOL = "cool"  # it rests for as long as it asked for
    AUTH = "auth"  # it is down until the credentials change, a probe succeeds, or for 30 min
    MODEL = "model"  # it is down for the path that was asked, until a probe succeeds, or for 5 min


@dataclass(frozen=True, slots=True)
class Row:
    """A row says what one outcome means: who is asked next, what the backend's state learns, what the client is told."""

    again: Again
    next: Next
    mark: Mark
    kind: ErrorKind
    original: bool = False  # the client gets the upstream's own body and status


def _row(again: Again, next_: Next, mark: Mark, word: str, original: bool = False) -> Row:
    return Row(again, next_, mark, VOCABULARY[word], original)


ROWS: dict[Outcome, Row] = {
    Outcome.UNREACHABLE: _row(Again.SIBLING, Next.YES, Mark.ENDPOINT, "provider_unreachable"),
    Outcome.EXHAUSTED: _row(Again.ONCE, Next.YES, Mark.NONE, "router_overloaded"),
    Outcome.INTERRUPTED: _row(Again.SIBLING, Next.YES, Mark.ENDPOINT, "provider_interrupted"),
    Outcome.TOO_LATE: _row(Again.NO, Next.YES, Mark.BACKEND, "provider_timeout"),
    Outcome.OUT_OF_TIME: _row(Again.NO, Next.NO, Mark.NONE, "router_deadline"),
    Outcome.SERVER_ERROR: _row(Again.ONCE, Next.YES, Mark.BACKEND, "provider_error"),
    Outcome.UNAVAILABLE: _row(Again.SIBLING_ELSE_ONCE, Next.YES, Mark.ENDPOINT, "provider_unavailable"),
    Outcome.OVERLOADED: _row(Again.SIBLING, Next.YES, Mark.ENDPOINT, "provider_unavailable"),
    Outcome.RATE_LIMITED_SHORT: _row(Again.AFTER_WAIT, Next.YES, Mark.COOL, "provider_rate_limited"),
    Outcome.RATE_LIMITED: _row(Again.NO, Next.YES, Mark.COOL, "provider_rate_limited"),
    Outcome.AUTH: _row(Again.NO, Next.YES, Mark.AUTH, "provider_auth"),
    Outcome.MODEL_NOT_FOUND: _row(Again.NO, Next.YES, Mark.MODEL, "provider_model_not_found"),
    Outcome.CONTEXT_EXCEEDED: _row(Again.NO, Next.LARGER, Mark.NONE, "provider_context_exceeded", original=True),
    Outcome.CONTENT_FILTER: _row(Again.NO, Next.NO, Mark.NONE, "provider_content_filter", original=True),
    Outcome.REJECTED: _row(Again.NO, Next.NO, Mark.NONE, "provider_rejected", original=True),
    Outcome.UNSUPPORTED: _row(Again.NO, Next.YES, Mark.NONE, "provider_unsupported", original=True),
    Outcome.DENIED: _row(Again.NO, Next.YES, Mark.NONE, "provider_denied", original=True),
    Outcome.CONFLICT: _row(Again.ONCE, Next.YES, Mark.NONE, "provider_conflict", original=True),
    Outcome.LOOP: _row(Again.NO, Next.YES, Mark.NONE, "router_loop"),
    Outcome.INVALID_RESPONSE: _row(Again.NO, Next.YES, Mark.BACKEND, "provider_invalid_response"),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure is the end of one attempt, before or after commit.

    `retry_after` is in seconds; `status` is 0 if none was received. `words` is the message inside the upstream's error,
    at most WORDS_CHARACTERS of it; it may quote the request or a key, so it is masked before it leaves the router.
    """

    outcome: Outcome
    detail: str
    status: int = 0
    retry_after: float | None = None
    body: bytes = field(default=b"", repr=False)
    words: str = field(default="", repr=False)

    @property
    def row(self) -> Row:
        return ROWS[self.outcome]


#: What `failover.toCloudOn` calls an outcome. All others are refusals of the request: Unsupported.
_MET: Final = {
    Outcome.UNREACHABLE: "Unreachable",
    Outcome.EXHAUSTED: "Unreachable",
    Outcome.INTERRUPTED: "Unreachable",
    Outcome.TOO_LATE: "TooLate",
    Outcome.SERVER_ERROR: "ServerError",
    Outcome.INVALID_RESPONSE: "ServerError",
    Outcome.AUTH: "ServerError",
    Outcome.MODEL_NOT_FOUND: "ServerError",
    Outcome.UNAVAILABLE: "Full",
    Outcome.OVERLOADED: "Full",
    Outcome.RATE_LIMITED_SHORT: "Full",
    Outcome.RATE_LIMITED: "Full",
    Outcome.CONTEXT_EXCEEDED: "TooLong",
}


def met(failure: Failure) -> str:
    # A 501 or 505 says that the server has nothing of the kind.
    """Returns what `failover.toCloudOn` calls a failure."""
    return _MET.get(failure.outcome, "ServerError" if failure.status >= 500 else "Unsupported")
