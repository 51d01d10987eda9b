"""The heads of answers to clients hold a status, the evidence of who answered, and some of the upstream's headers.

Whoever writes one adds what frames the body.

Each forbids browsers to take its body for anything but what it says (nosniff): part of it is what a server made of a
request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from genset.router.backends.forwarded import REQUEST_ID_HEADERS
from genset.router.backends.mask import Mask
from genset.router.errors import ErrorAnswer
from genset.router.http.heads import NOSNIFF, reason_phrase
from genset.router.http.request_id import _REQUEST_ID
from genset.router.machine.decisions import Phase
from genset.router.machine.machine import RequestMachine
from genset.router.machine.trail import Step, evidence


def good_head(
    machine: RequestMachine,
    identity: bytes,
    content_type: bytes,
    headers: dict[bytes, bytes],
    mask: Mask,
    more: bytes,
) -> bytes:
    """Returns the head of a 200 from the machine's candidate.

    `headers` are the upstream's; `more` are header lines, or empty.
    """
    assert machine.candidate is not None
    candidate = machine.candidate
    if machine.attempts == 1 and candidate.tier == 0:
        told = candidate.evidence
    else:
        trail = machine.trail if machine.phase == Phase.DONE else [*machine.trail, Step(candidate.backend.name)]
        told = evidence(candidate.backend.name, candidate.tier, machine.reason, trail)
    passed = passed_response_headers(headers, identity)
    return b"HTTP/1.1 200 OK\r\nx-content-type-options: nosniff\r\ncontent-type: %b\r\n%bx-request-id: %b\r\n%b%b" % (
        content_type,
        told,
        identity,
        mask.hide_whole(passed) if passed else b"",
        more,
    )


def dropped_line(names: Sequence[str]) -> bytes:
    """Returns the header line that names what of the request its backend did not get; empty if it got all."""
    if not names:
        return b""
    shown = [_NO_NAME.sub("?", name[:DROPPED_CHARACTERS]) for name in names[:DROPPED_NAMES]]
    if len(names) > DROPPED_NAMES:
        shown.append("...")
    return b"x-genset-dropped: %b\r\n" % ", ".join(shown).encode()


def early_head(identity: bytes, connection: bytes) -> bytes:
    """Returns the head of a stream that nobody answers so far. The evidence follows as a comment."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%bx-request-id: %b\r\n%b"
    return head % (NOSNIFF, identity, connection)


def estimate_head(machine: RequestMachine | None, identity: bytes, connection: bytes) -> bytes:
    """Returns the head of a 200 that holds an estimate of the router's own."""
    told = evidence("", 0, machine.reason, machine.trail) if machine is not None else b""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%b%bx-genset-estimated: true\r\nx-request-id: %b\r\n%b"
    )
    return head % (NOSNIFF, told, identity, connection)


def error_head(
    machine: RequestMachine | None, identity: bytes, answer: ErrorAnswer, more: bytes, connection: bytes
) -> bytes:
    """Returns the head of an error. `machine` is None if no route took the request; `more` are header lines."""
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


#: Upstream headers that clients get: what SDKs and users read. Any other may instruct a cache, a proxy or a browser on the
#: way (x-accel-redirect, location, cache-control, set-cookie), or name the account.
PASSED_RESPONSE_HEADERS: Final = frozenset(
    b"openai-processing-ms openai-version openai-model ratelimit ratelimit-policy warning deprecation sunset".split()
)

PASSED_BEGINNINGS: Final = (b"x-ratelimit-", b"ratelimit-", b"anthropic-ratelimit-")

PASSED_VALUE_BYTES: Final = 256  # of one header; a longer one is left out

PASSED_HEADER_BYTES: Final = 4 * 1024  # of all of them: many clients read heads of no more than 16 KiB

DROPPED_NAMES: Final = 32  # fields that an answer's head names as left out
DROPPED_CHARACTERS: Final = 64  # of one such name, which clients choose

_CONTROL: Final = re.compile(rb"[^ -~]")
_NO_NAME: Final = re.compile(r"[^!-+\--~]")  # what may not stand in a name of such a list

_LOCAL_HEADERS: Final = frozenset(  # in nearly every answer: looked up before anything is compared
    b"content-type content-length transfer-encoding connection keep-alive date server cache-control".split()
)


def passed_response_headers(headers: dict[bytes, bytes], identity: bytes) -> bytes:
    """Returns the header lines of the upstream that clients get, with its own id of the request.

    `identity`: ours, which many servers repeat.
    """
    passed = b""
    usual = True
    for name, value in headers.items():
        if name in _LOCAL_HEADERS:
            continue
        usual = False
        if (name in PASSED_RESPONSE_HEADERS or name.startswith(PASSED_BEGINNINGS)) and _is_sane(value):
            line = b"%b: %b\r\n" % (name, value)
            if len(passed) + len(line) <= PASSED_HEADER_BYTES:
                passed += line
    return passed if usual else passed + upstream_id(headers, identity)


def upstream_id(headers: dict[bytes, bytes], identity: bytes) -> bytes:
    """Returns a header line with the upstream's id of the request, by which its operator finds it; empty if it is ours."""
    for name in REQUEST_ID_HEADERS:
        value = headers.get(name)
        if value is not None and value != identity and _REQUEST_ID.fullmatch(value):
            return b"x-genset-upstream-request-id: %b\r\n" % value
    return b""


def _is_sane(value: bytes) -> bool:
    return len(value) <= PASSED_VALUE_BYTES and _CONTROL.search(value) is None
