"""The short way of a stream: whole HTTP chunks that go on untouched. It must decide exactly as the long way does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.sse import StreamReader

FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
NEXT = b'data: {"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":null}]}\n\n'
SPACED = b'data: {"choices": [{"index": 0, "delta": {"content": "c"}, "finish_reason": null}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
ERROR = b'data: {"error":{"message":"overloaded"}}\n\n'
ODD = (
    b": ping\n\n",
    b"data: [DONE]\n\n",
    b"event: x\ndata: {}\n\n",
    b"data: {}\r\n\r\n",
    b'data: {"a":1}\rdata: {}\n\n',
    b"data: {broken\n\n",
    b"\n",
)


def frame(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def running(*, hide_usage: bool = True) -> StreamReader:
    """A reader that has let the first token through."""
    reader = StreamReader(hide_usage=hide_usage)
    assert reader.feed(FIRST) == FIRST
    return reader


@pytest.mark.parametrize("event", [NEXT, SPACED])
def test_an_ordinary_event_in_one_chunk_passes(event: bytes) -> None:
    reader = running()
    assert reader.passes(frame(event))
    assert reader.kept == [FIRST, event]


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"\r\n",
        frame(NEXT)[:-1],
        frame(NEXT) + b"0",
        frame(NEXT) + frame(NEXT),
        frame(NEXT + NEXT),
        frame(NEXT[:-1]),
        frame(LAST),
        frame(ERROR),
        b"+" + frame(NEXT),
        frame(NEXT).replace(b"\r\n", b";ext=1\r\n", 1),
        b"%x\r\n%b\r\n" % (len(NEXT) - 1, NEXT),
        b"zz\r\n" + NEXT + b"\r\n",
        b"0_%x\r\n%b\r\n" % (len(NEXT), NEXT),
        *(frame(event) for event in ODD),
    ],
)
def test_anything_else_takes_the_long_way_and_changes_nothing(chunk: bytes) -> None:
    reader = running()
    assert not reader.passes(chunk)
    assert reader.kept == [FIRST] and not reader.failed and not reader.finished


@pytest.mark.parametrize(
    "prepare", [lambda r: None, lambda r: r.feed(FIRST + LAST), lambda r: r.feed(FIRST + b"data: {")]
)
def test_nothing_passes_before_the_first_token_after_the_finish_or_inside_an_event(prepare: object) -> None:
    reader = StreamReader(hide_usage=True)
    prepare(reader)  # type: ignore[operator]
    assert not reader.passes(frame(NEXT))


@given(st.lists(st.sampled_from([NEXT, SPACED, LAST, ERROR, NEXT[:20], *ODD]) | st.binary(max_size=40), max_size=20))
def test_both_ways_let_the_same_bytes_through(payloads: list[bytes]) -> None:
    short, long = running(), running()
    by_short = b"".join(p if short.passes(frame(p)) else short.feed(p) for p in payloads) + short.end()
    by_long = b"".join(long.feed(p) for p in payloads) + long.end()
    assert by_short == by_long
    for field in ("failed", "finished", "done", "error", "usage", "kept", "kept_bytes"):
        assert getattr(short, field) == getattr(long, field), field
