"""Heads of answers to clients: status, evidence, the upstream's end-to-end headers. Up to their framing."""

from __future__ import annotations

from genset.router.attempt import RequestMachine
from genset.router.decisions import Phase
from genset.router.errors import ErrorAnswer
from genset.router.evidence import evidence, passed_response_headers, reason_phrase


def good_head(
    machine: RequestMachine, identity: bytes, content_type: bytes, headers: dict[bytes, bytes], connection: bytes
) -> bytes:
    """A 200 of the machine's candidate. `headers` are the upstream's; `connection` is a ready header line, or empty."""
    assert machine.candidate is not None
    candidate = machine.candidate
    if machine.attempts == 1 and candidate.tier == 0:
        told = candidate.evidence
    else:
        trail = machine.trail if machine.phase == Phase.DONE else [*machine.trail, f"{candidate.backend.name}:ok"]
        told = evidence(candidate.backend.name, candidate.tier, machine.reason, trail)
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%bx-request-id: %b\r\n%b%b" % (
        content_type,
        told,
        identity,
        passed_response_headers(headers),
        connection,
    )


def early_head(identity: bytes, connection: bytes) -> bytes:
    """A stream's 200 while nobody answers yet: evidence follows as a comment."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: %b\r\n%b" % (identity, connection)


def error_head(machine: RequestMachine | None, identity: bytes, answer: ErrorAnswer, connection: bytes) -> bytes:
    """An error's status and evidence. `machine` is None where no route took the request."""
    told = evidence("", 0, machine.reason, machine.trail) if machine is not None else b""
    return b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n%bx-request-id: %b\r\n%b%b" % (
        answer.status,
        reason_phrase(answer.status),
        answer.original_type.encode("latin-1") if answer.original else b"application/json",
        told,
        identity,
        answer.headers(),
        connection,
    )
