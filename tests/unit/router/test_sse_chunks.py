"""The short way of a stream: whole HTTP chunks that go on untouched. It must decide exactly as the long way does."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genset.router.dialects.openai.events import DONE
from genset.router.dialects.openai.forward import Forward

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


def running(*, hide_usage: bool = True) -> Forward:
    """A reader that has let the first token through."""
    reader = Forward(hide_usage=hide_usage)
    assert reader.feed(FIRST) == FIRST
    return reader


@pytest.mark.parametrize("event", [NEXT, SPACED])
def test_an_ordinary_event_in_one_chunk_passes(event: bytes) -> None:
    reader = running()
    assert reader.passes(frame(event))
    assert reader.fold().text == "a" + json.loads(event[5:])["choices"][0]["delta"]["content"]


def test_events_alike_pass_together_and_are_kept_as_their_text() -> None:
    reader = running()
    several = b"".join(frame(NEXT.replace(b'"b"', b'"%b"' % text)) for text in (b"b", b" \\u00e9\\n", "ü".encode()))
    assert reader.passes(frame(NEXT))
    assert reader.passes(several)
    assert reader._kept._blocks == [FIRST], "the first event gave the template that the others are like"
    told = reader.fold()
    assert (told.text, told.tokens) == ("abb é\nü", 5)


@pytest.mark.parametrize("other", [SPACED, NEXT.replace(b"content", b"reasoning")])
def test_texts_stay_in_order_when_the_events_change_their_form(other: bytes) -> None:
    reader, long = running(), running()
    for event in (NEXT, NEXT, other, other, NEXT, other, other, other, NEXT, NEXT):
        assert reader.passes(frame(event))
        long.feed(event)
    assert (reader.fold().text, reader.fold().reasoning) == (long.fold().text, long.fold().reasoning)


def test_an_event_that_only_begins_and_ends_alike_takes_the_long_way() -> None:
    quoting = NEXT.replace(b'"b"', b'"b","tool_calls":[{"x":"y"}],"more":"z"')
    trailing = NEXT.replace(b'"b"', b'"b\\"')
    inside = NEXT.replace(b'"b"', b'"b\n\ndata: {"')
    for event in (trailing, inside):
        reader = running()
        assert reader.passes(frame(NEXT))
        assert not reader.passes(frame(NEXT) + frame(event))
    reader = running()
    assert reader.passes(frame(NEXT))
    assert reader.passes(frame(quoting))
    assert reader.fold().special == "tool_call", "its tool call was taken for text"


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"\r\n",
        frame(NEXT)[:-1],
        frame(NEXT) + b"0",
        frame(SPACED) + frame(SPACED),
        frame(NEXT) + frame(SPACED),
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
    assert reader._kept._blocks == [FIRST] and not reader.failed and not reader.finished


@pytest.mark.parametrize(
    "prepare", [lambda r: None, lambda r: r.feed(FIRST + LAST), lambda r: r.feed(FIRST + b"data: {")]
)
def test_nothing_passes_before_the_first_token_after_the_finish_or_inside_an_event(prepare: object) -> None:
    reader = Forward(hide_usage=True)
    prepare(reader)  # type: ignore[operator]
    assert not reader.passes(frame(NEXT))


@given(st.lists(st.sampled_from([NEXT, SPACED, LAST, ERROR, NEXT[:20], *ODD]) | st.binary(max_size=40), max_size=20))
@example([LAST, NEXT, DONE, NEXT])
@example([NEXT, LAST, NEXT, SPACED, DONE, NEXT + NEXT])
def test_both_ways_let_the_same_bytes_through(payloads: list[bytes]) -> None:
    short, long = running(), running()
    by_short = b"".join(p if short.passes(frame(p)) else short.feed(p) for p in payloads) + short.end()
    by_long = b"".join(long.feed(p) for p in payloads) + long.end()
    assert by_short == by_long
    for field in ("failed", "finished", "done", "error", "usage"):
        assert getattr(short, field) == getattr(long, field), field
    told, wanted = short.fold(), long.fold()
    for field in ("text", "reasoning", "tokens", "special", "finished", "head"):
        assert getattr(told, field) == getattr(wanted, field), field


_TEXTS = st.sampled_from(["a", " b", 'say "x"', "\\", "ü", "\n", "", "😀", "error"]) | st.text(max_size=5)


@given(
    st.lists(st.tuples(_TEXTS, st.sampled_from(["content", "reasoning_content"]), st.integers(0, 2)), max_size=30),
    st.lists(st.integers(1, 4), min_size=1, max_size=10),
    st.booleans(),
)
def test_both_ways_keep_the_same_text(words: list[tuple[str, str, int]], together: list[int], spaced: bool) -> None:
    separators = None if spaced else (",", ":")
    events = []
    for text, key, created in words:
        choice = {"index": 0, "delta": {"role": "assistant", key: text}, "finish_reason": None}
        chunk = {"id": "x", "created": created, "choices": [choice]}
        events.append(b"data: %b\n\n" % json.dumps(chunk, separators=separators).encode())
    short, long = running(), running()
    out, position, turn = b"", 0, 0
    while position < len(events):
        batch = events[position : position + together[turn % len(together)]]
        position, turn = position + len(batch), turn + 1
        if short.passes(b"".join(map(frame, batch))):
            out += b"".join(batch)
        else:
            out += short.feed(b"".join(batch))
    assert out == b"".join(map(long.feed, events))
    told, wanted = short.fold(), long.fold()
    for field in ("text", "reasoning", "special"):
        assert getattr(told, field) == getattr(wanted, field), field
    # A token is an event at least, and a word at least. Events that pass alike are counted together: several words in one
    # of them (with a quote it passes by itself) then count only as far as there are more words than events.
    if not any(len(text.split()) > 1 and '"' not in text for text, _, _ in words):
        assert told.tokens == wanted.tokens
    spoken = 1 + sum(1 for text, _, _ in words if text)
    assert max(spoken, len(told.text.split()), len(told.reasoning.split())) <= told.tokens <= wanted.tokens
