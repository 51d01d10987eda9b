"""Returns which `traceparent` is valid, by W3C Trace Context, and so may go upstream. Pure.

Source: https://www.w3.org/TR/trace-context/, 3.2 and 3.3. A context that is not valid is dropped with its tracestate;
the attempt then goes upstream without one, or with ours if spans are recorded.
"""

from __future__ import annotations

import re
from typing import Final

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
TRACESTATE_BYTES: Final = 8192  # of members together; the specification asks for at least 512 to be handed on

_FIELDS = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")
_VERSION_00_LENGTH = 55
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16


def trace_of(traceparent: bytes) -> bytes:
    """Returns the trace id of a valid traceparent, 32 hexadecimal digits; b"" for one that is not valid."""
    found = _FIELDS.fullmatch(traceparent)
    if found is None:
        return b""
    version, trace, span, _, _ = found.groups()
    if version == b"ff" or trace == _NO_TRACE or span == _NO_SPAN:
        return b""
    if version == b"00" and len(traceparent) != _VERSION_00_LENGTH:
        return b""
    return trace


def take(headers: dict[bytes, bytes]) -> bytes:
    """Returns the trace id of a request, b"" without one. What may not go upstream is taken out of `headers`."""
    if TRACEPARENT not in headers and TRACESTATE not in headers:  # almost always
        return b""
    trace = trace_of(headers.get(TRACEPARENT, b""))
    if not trace:
        headers.pop(TRACEPARENT, None)
        headers.pop(TRACESTATE, None)
    elif TRACESTATE in headers and not _is_state(headers[TRACESTATE]):
        del headers[TRACESTATE]
    return trace


def _is_state(value: bytes) -> bool:
    """Returns whether a tracestate has a size and characters that a header may have; the members are their vendors' own."""
    return len(value) <= TRACESTATE_BYTES and all(0x20 <= byte < 0x7F or byte == 0x09 for byte in value)
