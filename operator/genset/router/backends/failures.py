"""The failure book keeps the last failures of each backend for `/-/state`.

A failure is kept in the backend's own words, with headers and the beginning of its body. Attempts that went well leave
nothing here. Keys are masked before anything is kept; what a backend quotes of a request is not, so only the admin port
shows it. The book is bounded in bytes, over all backends. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, final

from genset.router.backends.forwarded import REQUEST_ID_HEADERS
from genset.router.backends.mask import Mask
from genset.router.backends.outcomes import Failure

KEPT_FAILURES: Final = 16  # of one backend
KEPT_BYTES: Final = 1024 * 1024  # of all backends together; the oldest go first
BODY_EXCERPT_BYTES: Final = 500
HEADER_VALUE_BYTES: Final = 200
KEPT_HEADERS: Final = 24  # of one answer
RECORD_BYTES: Final = 400  # of a record without its texts, approximately

#: Headers that identify the backend, its limits and the request. Never cookies or credentials.
_SHOWN: Final = frozenset(
    b"content-type content-length date server via retry-after retry-after-ms x-request-id request-id x-should-retry "
    b"openai-processing-ms openai-version openai-model apim-request-id x-ms-request-id x-ms-region x-amzn-requestid "
    b"x-amzn-errortype x-generation-id x-envoy-upstream-service-time x-genset-error x-genset-backend x-genset-attempts "
    b"x-genset-upstream-request-id location allow".split()
)
_SHOWN_BEGINNINGS: Final = (b"x-ratelimit-", b"ratelimit", b"anthropic-ratelimit-", b"cf-ray", b"cf-mitigated")


@final
class BookedFailure:
    """A booked failure is one failure as `/-/state` shows it. `times` counts it and the identical ones that followed at once."""

    __slots__ = ("alike", "bytes", "shown", "times")

    def __init__(self, shown: dict[str, Any], alike: tuple[str, int, str, str]) -> None:
        self.shown = shown
        self.alike = alike
        self.times = 1
        headers = shown["headers"]
        self.bytes = (
            RECORD_BYTES
            + len(shown["detail"])
            + len(shown["words"])
            + len(shown["body"])
            + sum(len(name) + len(value) for name, value in headers.items())
        )


@final
class FailureBook:
    """The failure book holds the failures of all backends, newest last."""

    __slots__ = ("_books", "_most_bytes", "bytes")

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes  # of all backends together
        self._books: dict[str, deque[BookedFailure]] = {}
        self.bytes = 0

    def add(
        self,
        backend: str,
        failure: Failure,
        mask: Mask,
        *,
        at: str,
        headers: Mapping[bytes, bytes],
        endpoint: str,
        request_id: str,
    ) -> None:
        """Books one failed attempt. `at` is the time of day (RFC 3339); `failure` is masked already."""
        book = self._books.get(backend)
        if book is None:
            book = self._books[backend] = deque()
        outcome = str(failure.outcome.value)
        alike = (outcome, failure.status, failure.words or failure.detail, endpoint)
        if book and book[-1].alike == alike:
            last = book[-1]
            last.times += 1
            last.shown["lastAt"], last.shown["times"], last.shown["requestId"] = at, last.times, request_id
            return
        shown: dict[str, Any] = {
            "at": at,
            "lastAt": at,
            "times": 1,
            "outcome": outcome,
            "status": failure.status,
            "detail": failure.detail,
            "words": failure.words,
            "endpoint": endpoint,
            "requestId": request_id,
            "upstreamRequestId": mask.hide(upstream_request_id(headers))[:HEADER_VALUE_BYTES].decode("latin-1"),
            "headers": _shown_headers(headers, mask),
            "body": mask.hide(failure.body)[:BODY_EXCERPT_BYTES].decode("utf-8", "replace"),
        }
        record = BookedFailure(shown, alike)
        book.append(record)
        self.bytes += record.bytes
        if len(book) > KEPT_FAILURES:
            self._drop_one(book)
        while self.bytes > self._most_bytes:
            self._drop_one(max(self._books.values(), key=len))

    def keep(self, backends: Iterable[str]) -> None:
        """Forgets the backends that a new configuration no longer has."""
        kept = set(backends)
        for name in [name for name in self._books if name not in kept]:
            self.bytes -= sum(record.bytes for record in self._books.pop(name))

    def view(self, backend: str) -> list[dict[str, Any]]:
        """Returns the failures of one backend, newest first."""
        return [record.shown for record in reversed(self._books.get(backend, ()))]

    def _drop_one(self, book: deque[BookedFailure]) -> None:
        """Drops the oldest record of the most frequent outcome, so that one repeated mistake does not push out others."""
        counts: dict[str, int] = {}
        for record in book:
            counts[record.alike[0]] = counts.get(record.alike[0], 0) + 1
        most = max(counts.values())
        for index, record in enumerate(book):
            if counts[record.alike[0]] == most:
                self.bytes -= record.bytes
                del book[index]
                return


def masked(failure: Failure, mask: Mask) -> Failure:
    """Returns the same failure without any of the router's keys, so that it may be booked, logged or shown."""
    detail, words, body = mask.hide_in(failure.detail), mask.hide_in(failure.words), mask.hide(failure.body)
    if detail == failure.detail and words == failure.words and body == failure.body:
        return failure
    return replace(failure, detail=detail, words=words, body=body)


def upstream_request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """Returns the id by which the backend knows the request, for its support; empty if it sends none."""
    for name in REQUEST_ID_HEADERS:
        if name in headers:
            return headers[name]
    return b""


def _shown_headers(headers: Mapping[bytes, bytes], mask: Mask) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, value in headers.items():
        if name in _SHOWN or name.startswith(_SHOWN_BEGINNINGS):
            shown[name.decode("latin-1")[:64]] = mask.hide(value)[:HEADER_VALUE_BYTES].decode("latin-1")
            if len(shown) >= KEPT_HEADERS:
                break
    return shown
