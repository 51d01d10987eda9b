"""A line of the access log is JSON with the same members in the same order, whatever became of the request.

orjson writes each text and each number; what the lines of a route and of a backend have in common is written once.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from genset.router.dialects.tolerant import dumps
from genset.router.exchange.record import Record
from genset.router.machine.decisions import Candidate
from genset.router.machine.final_error import detail_of
from genset.router.shared import Unrouted

#: The fields of a line, with the text of docs/observability.md. Times are seconds.
FIELDS: Final = {
    "time": "When the request ended, seconds since 1970.",
    "status": "HTTP status; 499 if the client left before the answer was complete.",
    "continuations": "How often another attempt was asked to continue the answer.",
    "seconds": "From the arrival of the whole request to the end of its answer.",
    "queueSeconds": "Of these, waiting for a place in the router (limits.maxInFlight).",
    "waitedSeconds": "Of these, waiting for a backend: one at rest, or one whose endpoints were all full.",
    "firstTokenSeconds": "From the arrival to the first token; for an answer in one piece, to the answer.",
    "timePerOutputTokenSeconds": "Per token after the first one; streams only.",
    "inputTokens": "Tokens of the prompt as the backend counted them; 0 if it did not say.",
    "outputTokens": "Tokens of the answer as the backend counted them, or else the events of the stream.",
    "id": "The x-request-id that the client got and the backend saw.",
    "client": "Address of the client: of its connection, or the one that a proxy of router.trustedProxies names.",
    "traceId": "Trace id of the caller's valid `traceparent`, or of the recorded span; empty if there is neither.",
    "request": "Method and path, without the query, at most 128 characters of it; empty if none arrived.",
    "operation": "`chat`, `text_completion` or `embeddings`; empty for everything that needs no model.",
    "route": "Route that took the request; empty if none did.",
    "model": "Model that the client named, at most 128 characters of it.",
    "stream": "Whether the client asked for a stream.",
    "error": "Word of the error vocabulary; empty for a whole answer. With status 200: the error inside the stream.",
    "backend": "Backend of the last attempt.",
    "tier": "Its tier, counted from 0.",
    "endpoint": "Address of the last attempt.",
    "reason": "Why no earlier backend answered.",
    "attempts": "The trail: backend, outcome and milliseconds of each attempt.",
    "detail": "What went wrong at the last attempt that failed, with addresses; in quotes the backend's own error message, "
    "at most 512 characters of it, keys masked. It may quote the request.",
}
MODEL_CHARACTERS: Final = 128  # of the name that a client gave
#: Parts of lines that are kept. Their keys are names from the configuration, and addresses that DNS told.
MOST_PARTS: Final = 1024

_NOBODY: Final = b'"backend":"","tier":null,"endpoint":"","reason":""'
_numbers: Final = orjson.dumps
_asked: Final[dict[Any, bytes]] = {}
_answered: Final[dict[Any, bytes]] = {}


def line_of(record: Record, client: str, now: float, wall: float) -> bytes:
    """Returns the line of a request that has ended. `client`: its address."""
    received, first = record.received, record.first_token
    given, made = record.tokens
    machine = record.routed
    answered, attempts, detail, continuations = _NOBODY, b"[]", b'""', 0
    if machine is not None:
        attempt, failure = machine.candidates.attempt, machine.last_failure
        if attempt is not None:
            answered = _answered_by(attempt.candidate, attempt.endpoint.name, machine.reason)
        elif machine.reason:
            answered = b'"backend":"","tier":null,"endpoint":"","reason":%b' % dumps(machine.reason)
        attempts = dumps([step.told() for step in machine.trail])
        continuations = machine.continuations
        if failure is not None:
            detail = dumps(detail_of(failure))
    numbers: bytes = _numbers(
        {
            "time": wall,
            "status": record.status,
            "continuations": continuations,
            "seconds": now - received,
            "queueSeconds": (record.begun or now) - received if record.placed else 0.0,
            "waitedSeconds": record.waited,
            "firstTokenSeconds": first - received if first else None,
            "timePerOutputTokenSeconds": (now - first) / (made - 1)
            if first and made > 1 and not record.in_one_piece
            else None,
            "inputTokens": given,
            "outputTokens": made,
        }
    )
    asked = _asked_for(record)
    return _joined(numbers, record.identity, client, record.trace, asked, record.word, answered, attempts, detail)


def short_line(request: Unrouted, client: str, wall: float) -> bytes:
    """Returns the line of a request that no route has seen. `client`: its address."""
    error = request.error
    numbers: bytes = _numbers(
        {
            "time": wall,
            "status": request.status,
            "continuations": 0,
            "seconds": 0.0,
            "queueSeconds": 0.0,
            "waitedSeconds": 0.0,
            "firstTokenSeconds": None,
            "timePerOutputTokenSeconds": None,
            "inputTokens": 0,
            "outputTokens": 0,
        }
    )
    asked = b'"request":%b,"operation":"","route":"","model":"","stream":false' % dumps(request.asked)
    word, detail = (error.kind.word, dumps(error.message)) if error is not None else ("", b'""')
    return _joined(numbers, request.identity, client, b"", asked, word, _NOBODY, b"[]", detail)


def _joined(
    numbers: bytes,
    identity: bytes,
    client: str,
    trace: bytes,
    asked: bytes,
    word: str,
    answered: bytes,
    attempts: bytes,
    detail: bytes,
) -> bytes:
    # What stands in quotes here is made of characters that JSON takes as they are.
    return b'%b,"id":"%b","client":%b,"traceId":"%b",%b,"error":"%b",%b,"attempts":%b,"detail":%b}\n' % (
        numbers[: len(numbers) - 1],
        identity,
        dumps(client),
        trace,
        asked,
        word.encode(),
        answered,
        attempts,
        detail,
    )


def _asked_for(record: Record) -> bytes:
    """What the request was for. Names that only a client gave are not kept."""
    if not record.named:
        return _asked_text(record)
    key: Any = (record.operation, record.route, record.named, record.stream)
    known = _asked.get(key)
    if known is None:
        known = _kept(_asked, key, _asked_text(record))
    return known


def _asked_text(record: Record) -> bytes:
    return b'"request":%b,"operation":%b,"route":%b,"model":%b,"stream":%b' % (
        dumps(record.asked),
        dumps(record.operation),
        dumps(record.route),
        dumps(record.model[:MODEL_CHARACTERS]),
        b"true" if record.stream else b"false",
    )


def _answered_by(candidate: Candidate, endpoint: str, reason: str) -> bytes:
    """Who was asked last, and why nobody before."""
    key: Any = (candidate.backend.name, candidate.tier, endpoint, reason)
    known = _answered.get(key)
    if known is None:
        text = b'"backend":%b,"tier":%d,"endpoint":%b,"reason":%b' % (
            dumps(candidate.backend.name),
            candidate.tier,
            dumps(endpoint),
            dumps(reason),
        )
        known = _kept(_answered, key, text)
    return known


def _kept(parts: dict[Any, bytes], key: Any, text: bytes) -> bytes:
    if len(parts) >= MOST_PARTS:
        parts.clear()
    parts[key] = text
    return text
