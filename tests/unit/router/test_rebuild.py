"""The one-pass reader of streams that become whole answers: it judges as Forward does, and answers as the Aggregator."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.dialects.openai.aggregate import Aggregator, CannotRebuildError
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.transcript import payload_of


def event(chunk: Any) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def content(text: str, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return event({"id": "a", "created": 1, "model": "m", "choices": [choice], **more})


def two_passes(data: bytes, size: int) -> tuple[Forward, bytes | None]:
    """What Forward lets pass, and then each event parsed for itself."""
    reader, aggregator, passed = Forward(hide_usage=False), Aggregator(Api.CHAT), bytearray()
    for at in range(0, len(data), size):
        passed += reader.feed(data[at : at + size])
    if not reader.done:
        passed += reader.end()
    payloads = [payload_of(event) for event in bytes(passed).split(b"\n\n")]
    try:
        good = all(aggregator.add(orjson.loads(payload)) for payload in payloads if payload not in (b"", b"[DONE]"))
        return reader, aggregator.answer() if good else None
    except (CannotRebuildError, orjson.JSONDecodeError):
        return reader, None


def one_pass(data: bytes, size: int, *, shortcuts: bool = True) -> tuple[Rebuild, bytes | None]:
    reader = Rebuild(Api.CHAT, shortcuts=shortcuts)
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
    if not reader.done:
        reader.end()
    try:
        return reader, reader.answer()
    except CannotRebuildError:
        return reader, None


EVENTS = st.one_of(
    st.text(max_size=6).map(content),
    st.builds(content, st.text(max_size=4), system_fingerprint=st.sampled_from(["f", "g"])),
    st.text(max_size=6).map(lambda t: event({"id": "a", "choices": [{"index": 0, "delta": {"reasoning": t}}]})),
    st.sampled_from(
        [
            content("", "stop"),
            content("x", "length"),
            event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
            event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {}}]}}]}),
            event({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]}),
            event({"error": {"message": "no"}}),
            b"event: error\ndata: {}\n\n",
            b": ping\n\n",
            b"id: 3\ndata: {\ndata: }\n\n",
            b"data: {oops}\n\n",
            b'data: {"choices":[{"index":0,"delta":{"content":"\\x"},"finish_reason":null}]}\n\n',
            b"nonsense\n\n",
            b"\n",
            b"data: [DONE]\n\n",
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=12), st.integers(1, 60), st.booleans(), st.integers(0, 40), st.booleans())
def test_one_pass_is_as_good_as_two(events: list[bytes], size: int, crlf: bool, cut: int, shortcuts: bool) -> None:
    data = b"".join(events)
    data = data[: len(data) - cut] if cut < len(data) else data
    data = data.replace(b"\n", b"\r\n") if crlf else data
    wanted, answer = two_passes(data, size)
    got, rebuilt = one_pass(data, size, shortcuts=shortcuts)
    if wanted.done and answer is not None:
        assert (got.done, got.failed, rebuilt) == (True, False, answer)
    else:  # it may notice earlier what is wrong, because it understands every event
        assert rebuilt is None or not got.done or not got.finished
    if not got.failed and wanted.usage is not None:
        assert got.usage == wanted.usage


def test_a_comment_is_no_progress() -> None:
    reader = Rebuild(Api.CHAT)
    assert reader.feed(content("a"))
    assert not reader.feed(b": ping\n\n")
    assert reader.feed(content("b"))


def test_events_that_are_alike_but_for_their_text_are_counted_and_kept() -> None:
    reader = Rebuild(Api.CHAT)
    texts = [f" {number:04d}" for number in range(100)] + [' "quoted"', "\\", "größe", "\n"]
    data = b"".join(map(content, texts)) + content("", "stop") + b"data: [DONE]\n\n"
    for at in range(0, len(data), 1000):
        reader.feed(data[at : at + 1000])
    assert reader.done and reader.tokens() == len(texts)
    assert orjson.loads(reader.answer())["choices"][0]["message"]["content"] == "".join(texts)


def test_an_event_alike_that_is_no_json_after_all() -> None:
    reader = Rebuild(Api.CHAT)
    reader.feed(content("a") + content("b").replace(b'"b"', b'"\\x"') + content("", "stop") + b"data: [DONE]\n\n")
    assert reader.failed
    with pytest.raises(CannotRebuildError):
        reader.answer()


def test_bad_finishes_are_no_end() -> None:
    reader = Rebuild(Api.CHAT, bad_finishes=frozenset({"abort"}))
    reader.feed(content("a") + content("b", "abort") + b"data: [DONE]\n\n")
    assert reader.failed and reader.error is not None and not reader.finished
