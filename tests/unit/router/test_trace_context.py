"""Which trace contexts are handed on (W3C Trace Context, 3.2 and 3.3)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.http.trace_context import TRACEPARENT, TRACESTATE, take, trace_of

TRACE = b"0af7651916cd43dd8448eb211c80319c"
SPAN = b"b7ad6b7169203331"
GOOD = b"00-%b-%b-01" % (TRACE, SPAN)


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        (GOOD, TRACE),
        (b"00-%b-%b-00" % (TRACE, SPAN), TRACE),
        (b"00-%b-%b-ff" % (TRACE, SPAN), TRACE),
        (b"cc-%b-%b-01" % (TRACE, SPAN), TRACE),  # a later version
        (b"cc-%b-%b-01-what-the-future-brings" % (TRACE, SPAN), TRACE),
        (b"00-%b-%b-01-more" % (TRACE, SPAN), b""),
        (b"cc-%b-%b-01.more" % (TRACE, SPAN), b""),
        (b"ff-%b-%b-01" % (TRACE, SPAN), b""),
        (b"00-%b-%b-01" % (b"0" * 32, SPAN), b""),
        (b"00-%b-%b-01" % (TRACE, b"0" * 16), b""),
        (b"00-%b-%b-01" % (TRACE.upper(), SPAN), b""),
        (b"00-%b-%b-1" % (TRACE, SPAN), b""),
        (b"00-%b-%b" % (TRACE, SPAN), b""),
        (b"0-%b-%b-01" % (TRACE, SPAN), b""),
        (b"00-%b-%b-01" % (TRACE[:-1], SPAN), b""),
        (b"00-%b-%b-01 " % (TRACE, SPAN), b""),
        (b"%b, %b" % (GOOD, GOOD), b""),  # two of them, as one list
        (b"", b""),
    ],
)
def test_what_is_valid(value: bytes, trace: bytes) -> None:
    assert trace_of(value) == trace


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        ({}, {}),
        ({b"x": b"1"}, {b"x": b"1"}),
        ({TRACEPARENT: GOOD}, {TRACEPARENT: GOOD}),
        ({TRACEPARENT: GOOD, TRACESTATE: b"a=1,b=2"}, {TRACEPARENT: GOOD, TRACESTATE: b"a=1,b=2"}),
        ({TRACEPARENT: b"00-no", TRACESTATE: b"a=1"}, {}),
        ({TRACESTATE: b"a=1"}, {}),  # a state of no context
        ({TRACEPARENT: GOOD, TRACESTATE: b"a=" + b"1" * 9000}, {TRACEPARENT: GOOD}),
        ({TRACEPARENT: GOOD, TRACESTATE: b"a=\xff"}, {TRACEPARENT: GOOD}),
    ],
)
def test_what_goes_on(given_: dict[bytes, bytes], left: dict[bytes, bytes]) -> None:
    assert take(given_) == (TRACE if TRACEPARENT in left else b"")
    assert given_ == left


@given(st.one_of(st.binary(max_size=80), st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.{0,4}")))
def test_nothing_but_hexadecimal_digits_comes_out(value: bytes) -> None:
    trace = trace_of(value)
    assert trace == b"" or (re.fullmatch(rb"[0-9a-f]{32}", trace) and trace in value and set(trace) != {ord("0")})
