"""A line of the access log is JSON with the same members in the same order, whatever became of the request.

orjson writes each text and each number; what the lines of a route and of a backend have in common is written once.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from genset.router.dialects.tolerant import dumps
from genset.router.errors import ErrorAnswer
from genset.router.exchange.record import Record
from genset.router.machine.decisions import Candidate
from genset.router.machine.final_error import detail_of

#: What a line holds, and what docs/observability.md says of it. Times are seconds.
FIELDS: Final = {
    "time": "When the request ended, seconds since 1970.",
    "id": "The x-request-id that the client got and the backend saw.",
    "client": "Address of the client: of its connection, or what a proxy of router.trustedProxies says.",
    "traceId": "Of the caller's valid `traceparent`, or of the span that was recorded; empty without either.",
    "request": "Method and path, without the query, at most 128 characters of it; empty where none arrived.",
    "operation": "`chat`, `text_completion` or `embeddings`; empty for everything that needs no model.",
    "route": "Route that took the request; empty where none did.",
    "model": "Model that the client named, at most 128 characters of it.",
    "stream": "Whether the client asked for a stream.",
    "status": "HTTP status; 499 where the client left before the answer was complete.",
    "error": "Word of the error vocabulary; empty for a whole answer. With status 200: the error inside the stream.",
    "backend": "Backend of the last attempt.",
    "tier": "Its tier, counted from 0.",
    "endpoint": "Address of the last attempt.",
    "reason": "Why no earlier backend answered.",
    "attempts": "The trail: backend, outcome and milliseconds of each attempt.",
    "continuations": "How often another attempt was asked to write on.",
    "seconds": "From the arrival of the whole request to the end of its answer.",
    "queueSeconds": "Of them, waiting for a place in the router (limits.maxInFlight).",
    "waitedSeconds": "Of them, waiting for a backend: one at rest, or one whose endpoints were all full.",
    "firstTokenSeconds": "From the arrival to the first token; for an answer in one piece, to the answer.",
    "timePerOutputTokenSeconds": "After the first token; streams only.",
    "inputTokens": "Tokens of the prompt as the backend counted them; 0: not told.",
    "outputTokens": "Tokens of the answer as the backend counted them, or the events of a stream that told none.",
    "detail": "What went wrong at the last attempt that failed, with addresses; in quotes the backend's own error message, at "
    "most 512 characters of it, keys masked. It may quote the request.",
}
MODEL_CHARACTERS: Final = 128  # of the name that a client gave
#: Parts of lines that are kept. Their keys are names from the configuration, and addresses that DNS told.
MOST_PARTS: Final = 1024

_LINE: Final = (
    b'{"time":%b,"id":"%b","client":%b,"traceId":"%b",%b,"status":%b,"error":"%b",%b,"attempts":%b,"continuations":%b,'
    b'"seconds":%b,"queueSeconds":%b,"waitedSeconds":%b,"firstTokenSeconds":%b,"timePerOutputTokenSeconds":%b,'
    b'"inputTokens":%b,"outputTokens":%b,"detail":%b}\n'
)
_ASKED: Final = b'"request":%b,"operation":%b,"route":%b,"model":%b,"stream":%b'
_ANSWERED: Final = b'"backend":%b,"tier":%b,"endpoint":%b,"reason":%b'
_NOBODY: Final = _ANSWERED % (b'""', b"null", b'""', b'""')
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
            answered = _ANSWERED % (b'""', b"null", b'""', dumps(machine.reason))
        attempts = dumps([step.told() for step in machine.trail])
        continuations = machine.continuations
        if failure is not None:
            detail = dumps(detail_of(failure))
    per_token = (now - first) / (made - 1) if first and made > 1 and not record.in_one_piece else None
    queued = (record.begun or now) - received if record.placed else 0.0
    # No number has a comma in it.
    told: list[bytes] = _numbers(
        (wall, record.status, continuations, now - received, queued, record.waited,
         first - received if first else None, per_token, given, made)
    )[1:-1].split(b",")  # fmt: skip
    return _LINE % (
        told[0],
        record.identity,  # of characters that JSON takes as they are, as all in quotes here
        dumps(client),
        record.trace,
        _asked_for(record),
        told[1],
        record.word.encode(),
        answered,
        attempts,
        told[2],
        told[3],
        told[4],
        told[5],
        told[6],
        told[7],
        told[8],
        told[9],
        detail,
    )


def short_line(
    identity: bytes, client: str, request: str, status: int, answer: ErrorAnswer | None, wall: float
) -> bytes:
    """Returns the line of a request that no route has seen: refused, broken, or answered by the router itself."""
    return _LINE % (
        _numbers(wall),
        identity,
        dumps(client),
        b"",
        _ASKED % (dumps(request), b'""', b'""', b'""', b"false"),
        b"%d" % status,
        answer.kind.word.encode() if answer is not None else b"",
        _NOBODY,
        b"[]",
        b"0",
        b"0.0",
        b"0.0",
        b"0.0",
        b"null",
        b"null",
        b"0",
        b"0",
        dumps(answer.message) if answer is not None else b'""',
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
    return _ASKED % (
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
        text = _ANSWERED % (dumps(candidate.backend.name), b"%d" % candidate.tier, dumps(endpoint), dumps(reason))
        known = _kept(_answered, key, text)
    return known


def _kept(parts: dict[Any, bytes], key: Any, text: bytes) -> bytes:
    if len(parts) >= MOST_PARTS:
        parts.clear()
    parts[key] = text
    return text
