"""Heads of answers to clients: status, evidence, those of the upstream's headers that clients get. Up to their framing.

Each forbids browsers to take its body for anything but what it says (nosniff): part of it is what a server made of a
request.
"""

from __future__ import annotations

from genset.router.attempt import RequestMachine
from genset.router.decisions import Phase
from genset.router.errors import ErrorAnswer
from genset.router.evidence import NOSNIFF, evidence, passed_response_headers, reason_phrase
from genset.router.mask import Mask


def good_head(
    machine: RequestMachine,
    identity: bytes,
    content_type: bytes,
    headers: dict[bytes, bytes],
    mask: Mask,
    connection: bytes,
) -> bytes:
    """A 200 of the machine's candidate. `headers` are the upstream's; `connection` is a ready header line, or empty."""
    assert machine.candidate is not None
    candidate = machine.candidate
    if machine.attempts == 1 and candidate.tier == 0:
        told = candidate.evidence
    else:
        trail = machine.trail if machine.phase == Phase.DONE else [*machine.trail, f"{candidate.backend.name}:ok"]
        told = evidence(candidate.backend.name, candidate.tier, machine.reason, trail)
    passed = passed_response_headers(headers, identity)
    return b"HTTP/1.1 200 OK\r\nx-content-type-options: nosniff\r\ncontent-type: %b\r\n%bx-request-id: %b\r\n%b%b" % (
        content_type,
        told,
        identity,
        mask.hide_whole(passed) if passed else b"",
        connection,
    )


def early_head(identity: bytes, connection: bytes) -> bytes:
    """A stream's 200 while nobody answers yet: evidence follows as a comment."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%bx-request-id: %b\r\n%b"
    return head % (NOSNIFF, identity, connection)


def error_head(
    machine: RequestMachine | None, identity: bytes, answer: ErrorAnswer, more: bytes, connection: bytes
) -> bytes:
    """An error's status and evidence. `machine` is None where no route took the request; `more` are header lines."""
    told = evidence("", 0, machine.reason, machine.trail) if machine is not None else b""
    return b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\n%b%bx-request-id: %b\r\n%b%b%b" % (
        answer.status,
        reason_phrase(answer.status),
        NOSNIFF,
        told,
        identity,
        more,
        answer.headers(),
        connection,
    )
