"""What a request leaves behind: the evidence headers of its answer, its line in the access log.

Pure rendering; the log's writer is `accesslog`. No prompt and no answer text, no key ever enters either.
"""

from __future__ import annotations

import os
import re
from http import HTTPStatus
from itertools import count
from typing import Final

#: Upstream headers that clients get: what SDKs and users read. Any other may instruct a cache, a proxy or a browser on the
#: way (x-accel-redirect, location, cache-control, set-cookie), or name the account.
PASSED_RESPONSE_HEADERS: Final = frozenset(
    b"openai-processing-ms openai-version openai-model ratelimit ratelimit-policy warning deprecation sunset".split()
)
PASSED_BEGINNINGS: Final = (b"x-ratelimit-", b"ratelimit-", b"anthropic-ratelimit-")
#: What providers call the request, best known first.
REQUEST_ID_HEADERS: Final = (
    b"x-request-id", b"request-id", b"apim-request-id", b"x-ms-request-id", b"x-amzn-requestid", b"x-generation-id",
    b"cf-ray",
)  # fmt: skip
PASSED_VALUE_BYTES: Final = 256  # of one header; a longer one is left out
PASSED_HEADER_BYTES: Final = 4 * 1024  # of all of them: many clients read heads of no more than 16 KiB
#: Client headers that go upstream, by the name under which a policy lets them go to a cloud. All others stay here: they
#: speak to the router, or of the caller, and none may choose the account that a request is booked on.
REQUEST_HEADERS: Final = {
    "Trace": (b"traceparent", b"tracestate"),
    "Idempotency": (b"idempotency-key",),
    "Attribution": (b"http-referer", b"x-title"),
}
#: What goes to servers of the house, and may be asked for on the way to any other.
HOUSE_REQUEST_HEADERS: Final = (*REQUEST_HEADERS["Trace"], *REQUEST_HEADERS["Idempotency"])
#: Browsers take a body for nothing but what its content type says.
NOSNIFF: Final = b"x-content-type-options: nosniff\r\n"
DEADLINE_HEADER: Final = b"x-genset-timeout"  # seconds that the client is willing to wait

_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_CONTROL: Final = re.compile(rb"[^ -~]")
_LOCAL_HEADERS: Final = frozenset(  # in nearly every answer: looked up before anything is compared
    b"content-type content-length transfer-encoding connection keep-alive date server cache-control".split()
)
REQUEST_ID_CHARACTERS: Final = 128  # of a client's own x-request-id
_REQUEST_ID: Final = re.compile(rb"[\w.:/+=@-]{1,%d}" % REQUEST_ID_CHARACTERS)
_BOOT: Final = os.urandom(4).hex().encode()
_next_number: Final = count(1).__next__


def reason_phrase(status: int) -> bytes:
    return _REASONS.get(status, b"Status")


def request_id(given: bytes | None) -> bytes:
    """The client's own id if it is a sane one, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%b-%d" % (_BOOT, _next_number())


def patience(header: bytes | None, total: float) -> float:
    """Seconds that a request may take: the client's own, if it names some and they are fewer than the route's `total`."""
    if header is None:
        return total
    try:
        wanted = float(header)
    except ValueError:
        return total
    return min(wanted, total) if wanted > 0 else total


def passed_response_headers(headers: dict[bytes, bytes], identity: bytes) -> bytes:
    """The upstream's headers that clients get, and its own id of the request, ready for a head.

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
    """A header line with what the upstream calls the request, for asking its operator; empty if that is our own word."""
    for name in REQUEST_ID_HEADERS:
        value = headers.get(name)
        if value is not None and value != identity and _REQUEST_ID.fullmatch(value):
            return b"x-genset-upstream-request-id: %b\r\n" % value
    return b""


def _is_sane(value: bytes) -> bool:
    return len(value) <= PASSED_VALUE_BYTES and _CONTROL.search(value) is None


def evidence(backend: str, tier: int, reason: str, trail: list[str]) -> bytes:
    """The x-genset-* headers. `reason` only where a lower tier answered, or none."""
    lines = f"x-genset-backend: {backend}\r\nx-genset-tier: {tier}\r\n" if backend else ""
    if reason and (tier > 0 or not backend):
        lines += f"x-genset-reason: {reason}\r\n"
    if trail:
        lines += f"x-genset-attempts: {', '.join(trail)}\r\n"
    return lines.encode("latin-1")
