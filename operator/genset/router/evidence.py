"""What a request leaves behind: the evidence headers of its answer, its line in the access log.

Pure rendering; the log's writer is `accesslog`. No prompt and no answer text, no key ever enters either.
"""

from __future__ import annotations

import os
import re
from http import HTTPStatus
from itertools import count
from typing import Final

#: Upstream headers that end here: hop-by-hop ones, those that we set, and what only the provider's own edge means.
DROPPED_RESPONSE_HEADERS: Final = frozenset(
    b"connection keep-alive proxy-authenticate proxy-connection te trailer transfer-encoding upgrade content-length "
    b"content-type content-encoding date server set-cookie alt-svc strict-transport-security x-request-id retry-after "
    b"via x-powered-by access-control-allow-origin".split()
)
PASSED_HEADER_BYTES: Final = 8 * 1024  # of an upstream's headers: many clients read heads of no more than 16 KiB
#: Client headers that go upstream. All others stay here: they speak to the router, or of the caller.
PASSED_REQUEST_HEADERS: Final = (b"traceparent", b"tracestate", b"idempotency-key")
DEADLINE_HEADER: Final = b"x-genset-timeout"  # seconds that the client is willing to wait

_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_REQUEST_ID: Final = re.compile(rb"[\w.:/+=@-]{1,128}")
_BOOT: Final = os.urandom(4).hex().encode()
_COUNT: Final = count(1)


def reason_phrase(status: int) -> bytes:
    return _REASONS.get(status, b"Status")


def request_id(given: bytes | None) -> bytes:
    """The client's own id if it is a sane one, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%b-%d" % (_BOOT, next(_COUNT))


def patience(header: bytes | None, total: float) -> float:
    """Seconds that a request may take: the client's own, if it names some and they are fewer than the route's `total`."""
    if header is None:
        return total
    try:
        wanted = float(header)
    except ValueError:
        return total
    return min(wanted, total) if wanted > 0 else total


def passed_response_headers(headers: dict[bytes, bytes]) -> bytes:
    """The upstream's end-to-end headers, ready for a head; none where they are so many that clients could not read it."""
    passed = b""
    nominated = headers[b"connection"].lower() if b"connection" in headers else b""
    for name, value in headers.items():
        if (
            name not in DROPPED_RESPONSE_HEADERS
            and not name.startswith(b"x-genset-")
            and not (nominated and name in nominated)
        ):
            passed += b"%b: %b\r\n" % (name, value)
    return passed if len(passed) <= PASSED_HEADER_BYTES else b""


def evidence(backend: str, tier: int, reason: str, trail: list[str]) -> bytes:
    """The x-genset-* headers. `reason` only where a lower tier answered, or none."""
    lines = f"x-genset-backend: {backend}\r\nx-genset-tier: {tier}\r\n" if backend else ""
    if reason and (tier > 0 or not backend):
        lines += f"x-genset-reason: {reason}\r\n"
    if trail:
        lines += f"x-genset-attempts: {', '.join(trail)}\r\n"
    return lines.encode("latin-1")
