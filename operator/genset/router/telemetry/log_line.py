"""A line of the access log is JSON with the same members in the same order, whatever became of the request.

orjson writes each text; what the lines of a client, of a route and of a backend have in common is written once.
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.decimals import six_decimals
from genset.router.dialects.tolerant import dumps
from genset.router.exchange.record import Record
from genset.router.machine.attempt import Attempt
from genset.router.machine.final_error import detail_of
from genset.router.machine.machine import RequestMachine
from genset.router.shared import Unrouted

#: The fields of a line, with the text of docs/observability.md. Times are seconds, to the microsecond.
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
    "cost": "What clouds were paid, by currency, as in x-genset-cost: `0.001234 USD`; with `unknown` for what nobody knows the "
    "price of; empty if only the house was asked, or nothing has a price.",
    "id": "The x-request-id that the client got and the backend saw.",
    "client": "Address of the client: of its connection, or the one that a proxy of router.trustedProxies names.",
    "consumer": "Consumer whose key the request has shown (`access` of the policy), or anonymous; empty if nobody asks who asks.",
    "team": "Its team; empty if it has none.",
    "traceId": "Trace id of the caller's valid `traceparent`, or of the recorded span; empty if there is neither.",
    "request": "Method and path, without the query, at most 128 characters of it; empty if none arrived.",
    "operation": "`chat`, `text_completion` or `embeddings`; empty for everything that needs no model.",
    "route": "Route that took the request; empty if none did.",
    "model": "Model that the client named, at most 128 characters of it.",
    "drill": "The live drill whose way the request has taken; empty for all others.",
    "stream": "Whether the client asked for a stream.",
    "sensitive": "What kept the request in the house, or had it refused, by name (`sensitive` of its route); never the content.",
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

_stories: Final[dict[Any, bytes]] = {}
_clients: Final[dict[Any, bytes]] = {}


def line_of(record: Record, client: str, now: float, wall: float) -> bytes:
    """Returns the line of a request that has ended. `client`: its address."""
    received, first = record.received, record.first_token
    given, made = record.tokens
    machine, consumer = record.routed, record.consumer
    detail, continuations = b'""', 0
    if machine is not None:
        failure = machine.last_failure
        continuations = machine.continuations
        if failure is not None:
            detail = dumps(detail_of(failure))
    per_token = b"null"
    if first and made > 1 and not record.in_one_piece:
        per_token = six_decimals((now - first) / (made - 1))
    # What stands in quotes here is made of characters that JSON takes as they are.
    return (
        b'{"time":%b,"status":%d,"continuations":%d,"seconds":%b,"queueSeconds":%b,"waitedSeconds":%b,'
        b'"firstTokenSeconds":%b,"timePerOutputTokenSeconds":%b,"inputTokens":%d,"outputTokens":%d,"cost":"%b","id":"%b",'
        b'"client":%b,"traceId":"%b",%b,"detail":%b}\n'
        % (
            six_decimals(wall),
            record.status,
            continuations,
            six_decimals(now - received),
            six_decimals((record.begun or now) - received if record.placed else 0.0),
            six_decimals(record.waited),
            six_decimals(first - received) if first else b"null",
            per_token,
            given,
            made,
            record.spending.told().encode() if record.spending is not None else b"",
            record.identity,
            _known_client(client) if consumer is None else _known_client(client, consumer.name, consumer.team),
            record.trace,
            _story_of(record),
            detail,
        )
    )


def short_line(request: Unrouted, client: str, wall: float) -> bytes:
    """Returns the line of a request that no route has seen. `client`: its address."""
    error = request.error
    word, detail = (error.kind.word, dumps(error.message)) if error is not None else ("", b'""')
    return (
        b'{"time":%b,"status":%d,"continuations":0,"seconds":0.0,"queueSeconds":0.0,"waitedSeconds":0.0,'
        b'"firstTokenSeconds":null,"timePerOutputTokenSeconds":null,"inputTokens":0,"outputTokens":0,"cost":"","id":"%b",'
        b'"client":%b,"traceId":"","request":%b,"operation":"","route":"","model":"","drill":"","stream":false,"sensitive":[],"error":"%b",'
        b'%b,"detail":%b}\n'
        % (
            six_decimals(wall),
            request.status,
            request.identity,
            _known_client(client, request.consumer, request.team),
            dumps(request.asked),
            word.encode(),
            _nobody(""),
            detail,
        )
    )


def _known_client(address: str, consumer: str = "", team: str = "") -> bytes:
    """Who has asked: the address, the consumer and its team."""
    key: Any = (address, consumer, team) if consumer else address
    known = _clients.get(key)
    if known is None:
        text = b'%b,"consumer":%b,"team":%b' % (dumps(address), dumps(consumer), dumps(team))
        known = _kept(_clients, key, text)
    return known


def _story_of(record: Record) -> bytes:
    """What the request was for, and what came of it. If it met one backend, as most do, all but the time is that of others."""
    machine = record.routed
    attempt = machine.candidates.attempt if machine is not None else None
    if machine is None or attempt is None:
        return _unasked(record, machine)
    trail, candidate = machine.trail, attempt.candidate
    step = trail[0] if len(trail) == 1 else None
    # Names that only a client gave are not kept, nor those of drills.
    if step is None or step.milliseconds is None or not record.named or record.drill:
        return _told(record, _somebody(attempt, machine.reason)) + dumps([one.told() for one in trail])
    key: Any = (
        record.asked, record.route, record.named, record.stream, record.sensitive, record.word,
        candidate.backend.name, candidate.tier, attempt.endpoint.name, machine.reason, step.backend, step.word,
    )  # fmt: skip
    known = _stories.get(key)
    if known is None:
        begun = dumps(f"{step.backend}:{step.word}:")[:-1]
        known = _kept(_stories, key, b"%b[%b" % (_told(record, _somebody(attempt, machine.reason)), begun))
    return b'%b%dms"]' % (known, step.milliseconds)


def _unasked(record: Record, machine: RequestMachine | None) -> bytes:
    """What a request was for that no backend was asked for."""
    reason = machine.reason if machine is not None else ""
    if not record.named or record.drill:
        return _told(record, _nobody(reason))
    key: Any = (record.asked, record.route, record.named, record.stream, record.sensitive, record.word, reason)
    known = _stories.get(key)
    return _kept(_stories, key, _told(record, _nobody(reason))) if known is None else known


def _told(record: Record, answered: bytes) -> bytes:
    return b'%b,"sensitive":%b,"error":"%b",%b' % (
        _asked_text(record),
        dumps(record.sensitive),
        record.word.encode(),
        answered,
    )


def _asked_text(record: Record) -> bytes:
    return b'"request":%b,"operation":%b,"route":%b,"model":%b,"drill":"%b","stream":%b' % (
        dumps(record.asked),
        dumps(record.operation),
        dumps(record.route),
        dumps(record.model[:MODEL_CHARACTERS]),
        record.drill.encode(),
        b"true" if record.stream else b"false",
    )


def _nobody(reason: str) -> bytes:
    return b'"backend":"","tier":null,"endpoint":"","reason":%b,"attempts":[]' % dumps(reason)


def _somebody(attempt: Attempt, reason: str) -> bytes:
    """Who was asked last, and why nobody before. The trail follows."""
    candidate = attempt.candidate
    return b'"backend":%b,"tier":%d,"endpoint":%b,"reason":%b,"attempts":' % (
        dumps(candidate.backend.name),
        candidate.tier,
        dumps(attempt.endpoint.name),
        dumps(reason),
    )


def _kept(parts: dict[Any, bytes], key: Any, text: bytes) -> bytes:
    if len(parts) >= MOST_PARTS:
        parts.clear()
    parts[key] = text
    return text
