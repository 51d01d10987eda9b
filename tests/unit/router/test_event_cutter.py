"""The events of dialects' streams: the same in whatever pieces they come, and bounded. Pure."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.dialects.sse import EVENT_BYTES, Beginning, EventCutter, NoEventError

_LINES = st.sampled_from(
    [b"data: {}", b"data:1", b"data:", b"event: x", b": note", b"data", b"", b"", b"nonsense", b"id: 1"]
)
_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def events(pieces: list[bytes]) -> list[bytes]:
    cutter = EventCutter()
    found = [event for piece in pieces for event in cutter.feed(piece)]
    return found + cutter.end()


def pieces_of(text: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


@settings(max_examples=500, deadline=None)
@given(st.booleans(), st.lists(st.tuples(_LINES, _ENDS), max_size=12), st.lists(st.integers(0, 500), max_size=8))
def test_any_cutting_gives_the_same_events(mark: bool, lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    text = b"\xef\xbb\xbf" * mark + b"".join(line + end for line, end in lines)
    whole = events([text])
    assert events(pieces_of(text, cuts)) == whole
    assert events([text[at : at + 1] for at in range(len(text))]) == whole


@pytest.mark.parametrize(
    "piece", [b"x" * 65_536, b"data: x" * 8192 + b"\n", b"data:\n" * 10_000, b"data: xy\n" * 8192, b"data:\r" * 10_000]
)
def test_an_event_without_end_is_bounded(piece: bytes) -> None:
    """Lines without a byte of data cost memory, too."""
    cutter = EventCutter()
    with pytest.raises(NoEventError, match="without end"):
        for _ in range(2 + EVENT_BYTES // min(len(piece), EVENT_BYTES // 300)):
            assert cutter.feed(piece) == []


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\n\n", b" \r\n", b"\xef\xbb\xbf \n"]),
    st.sampled_from(
        [(b'{"a":1}', True), (b"[1]", True), (b"<html>", True), (b"data: {}\n\n", False), (b": x\n\n", False)]
    ),
    st.lists(st.integers(0, 50), max_size=5),
)
def test_the_first_bytes_tell_what_a_body_is(blank: bytes, body: tuple[bytes, bool], cuts: list[int]) -> None:
    text, whole = body
    beginning = Beginning()
    passed = b"".join([beginning.take(piece) for piece in pieces_of(blank + text, cuts)])
    assert (beginning.held is not None) is whole
    assert (beginning.body() if whole else passed.removeprefix(b"\xef\xbb\xbf").lstrip()) == text
