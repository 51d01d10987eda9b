"""Answers that are like earlier ones are read without a parse: what comes of it is what comes of reading each event."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.dialects.openai.aggregate import CannotRebuildError
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.shortcuts.frames import Frames

ANSWERS = Path(__file__).parents[2] / "data" / "answers"
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
Events = list[bytes]
#: Writes an answer: id, time, texts, usage, finish_reason.
Server = Callable[[str, int, list[str], dict[str, Any], str], Events]


def line(chunk: Any, spaced: bool = False) -> bytes:
    written = json.dumps(chunk, separators=None if spaced else (",", ":"), ensure_ascii=False).encode()
    return b"data: " + written + b"\n\n"


def openai(identity: str, created: int, texts: list[str], usage: dict[str, Any], finish: str) -> Events:
    """The order of fields that OpenAI has; spaces as Python's json writes them."""
    base = {"id": identity, "object": "chat.completion.chunk", "created": created, "model": "m"}

    def one(delta: Any, finish: str | None = None) -> bytes:
        return line({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}, True)

    first, *rest = ({"role": "assistant", "content": ""}, *({"content": text} for text in texts))
    return [one(first), *map(one, rest), one({}, finish), line({**base, "choices": [], "usage": usage}, True)]


def llama(identity: str, created: int, texts: list[str], usage: dict[str, Any], finish: str) -> Events:
    """In alphabetical order: the text stands before id and time; counts of two kinds at the end (b11669)."""
    base = {"created": created, "id": identity, "model": "m", "object": "chat.completion.chunk"}

    def one(delta: Any, finish: str | None = None) -> bytes:
        return line({"choices": [{"finish_reason": finish, "index": 0, "delta": delta}], **base})

    timings = {"prompt_ms": (usage["prompt_tokens"] or 0) / 7, "predicted_per_second": 0.1}
    return [
        one({"role": "assistant", "content": None}),
        *(one({"reasoning_content": text}) for text in texts),
        one({}, finish),
        line({"choices": [], **base, "usage": usage, "timings": timings}),
    ]


def vllm(identity: str, created: int, texts: list[str], usage: dict[str, Any], finish: str) -> Events:
    """An empty text beside the finish_reason; something after the usage (0.32)."""
    base = {"id": identity, "object": "chat.completion.chunk", "created": created, "model": "m"}

    def one(delta: Any, finish: str | None = None) -> bytes:
        return line({**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    return [
        one({"role": "assistant", "content": ""}),
        *(one({"content": text}) for text in texts),
        one({"content": ""}, finish),
        line({**base, "choices": [], "usage": usage, "system_fingerprint": "vllm"}),
    ]


SERVERS: dict[str, Server] = {"openai": openai, "llama.cpp": llama, "vLLM": vllm}


def read(reader: Forward | Rebuild, data: bytes, size: int = 1 << 30) -> bytes:
    out = b""
    for at in range(0, len(data), size):
        out += reader.feed(data[at : at + size])
    return out + (b"" if reader.done else reader.end())


def learned(server: Server, rebuilt: bool, finish: str = "stop") -> Frames:
    frames = Frames()
    data = b"".join(server("chatcmpl-first", 1700000001, ["Hello", " there"], USAGE, finish)) + b"data: [DONE]\n\n"
    reader = Rebuild(Api.CHAT, frames=frames) if rebuilt else Forward(hide_usage=False, frames=frames)
    read(reader, data)
    if isinstance(reader, Rebuild):
        reader.answer()
    return frames


def verdict(reader: Forward | Rebuild) -> tuple[Any, ...]:
    return reader.opened, reader.finished, reader.done, reader.failed, reader.fault, reader.error, reader.usage


def whole(reader: Rebuild) -> Any:
    try:
        return orjson.loads(reader.answer())
    except CannotRebuildError as problem:
        return str(problem)


TEXTS = st.sampled_from(["a", " b", 'say "x"', "\\", "ü", "\n", "", "😀", '"error"', "}\n\ndata: {", "7"]) | st.text(
    max_size=5
)
IDS = st.sampled_from(["chatcmpl-second", "x", "", 'a"b', "a\\b", "ü", "a\tb", "1700000002", "\x00", "\x7f"])
TIMES = st.sampled_from([1700000002, 0, 1, -1, 10**15, 10**20])
COUNTS = st.sampled_from(
    [USAGE, {**USAGE, "prompt_tokens": 7}, {**USAGE, "more": {"id": "x"}}, {"prompt_tokens": None}, {}]
)
#: What a server may write behind its finish, or before it.
MORE = [
    b'data: {"choices":[{"index":0,"delta":{"content":"z"},"finish_reason":%b}]}' % reason
    for reason in (b"null", b'""', b"0", b"false", b'"stop"')
]
Change = tuple[str, int, bytes]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["drop", "double", "insert", "byte", "cut", "swap"]),
        st.integers(0, 1 << 20),
        st.sampled_from(
            [
                *MORE,
                b": ping",
                b"data: {oops}",
                b'data: {"error":{"message":"no"}}',
                b"data: [DONE]",
                b"\x00",
                b'"',
                b"\\",
            ]
        ),
    ),
    max_size=2,
)


def changed(events: Events, changes: list[Change]) -> bytes:
    events = [*events, b"data: [DONE]\n\n"]
    data = b"".join(events)
    for kind, number, piece in changes:
        at = number % max(1, len(events))
        if kind == "drop":
            events = events[:at] + events[at + 1 :]
        elif kind == "double":
            events = events[: at + 1] + events[at:]
        elif kind == "insert":
            events = [*events[:at], piece + b"\n\n", *events[at:]]
        elif kind == "swap":
            events = [*events[at:], *events[:at]]
        data = b"".join(events)
        if data and kind in ("byte", "cut"):
            at = number % len(data)
            data = data[:at] + (piece[:1] + data[at + 1 :] if kind == "byte" else b"")
            events = [event + b"\n\n" for event in data.split(b"\n\n")]
            data = b"".join(events)
    return data


@pytest.mark.parametrize("shortcuts", [True, False], ids=["templates", "no shortcuts"])
@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
@settings(max_examples=300)
@given(
    IDS, TIMES, st.lists(TEXTS, max_size=6), COUNTS, st.sampled_from(["stop", "length"]), CHANGES, st.integers(1, 400)
)
def test_a_frame_changes_nothing(
    server: Server,
    shortcuts: bool,
    identity: str,
    created: int,
    texts: list[str],
    usage: dict[str, Any],
    finish: str,
    changes: list[Change],
    size: int,
) -> None:
    data = changed(server(identity, created, texts, {**USAGE, **usage}, finish), changes)
    for hide in (False, True):
        plain = Forward(hide_usage=hide, shortcuts=shortcuts)
        framed = Forward(hide_usage=hide, frames=learned(server, False))
        assert read(framed, data, size) == read(plain, data, size)
        assert verdict(framed) == verdict(plain)
        for field in ("text", "reasoning", "tokens", "special", "finished", "head"):
            assert getattr(framed.fold(), field) == getattr(plain.fold(), field), field
    one, other = Rebuild(Api.CHAT, shortcuts=shortcuts), Rebuild(Api.CHAT, frames=learned(server, True))
    progress = bool(read(one, data, size))
    assert bool(read(other, data, size)) == progress or one.failed  # a text that is no JSON is noticed with the finish
    assert verdict(other)[1:] == verdict(one)[1:]
    assert one.failed or (other.opened, other.tokens()) == (one.opened, one.tokens())
    assert whole(other) == whole(one)


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_an_answer_like_an_earlier_one_is_read_in_its_frame(server: Server) -> None:
    events = server("chatcmpl-second", 1700000002, ["One", ' "two"', " three\n"], {**USAGE, "prompt_tokens": 3}, "stop")
    data = b"".join(events) + b"data: [DONE]\n\n"
    for rebuilt in (False, True):
        frames = learned(server, rebuilt)
        reader = Rebuild(Api.CHAT, frames=frames) if rebuilt else Forward(hide_usage=False, frames=frames)
        read(reader, data)
        assert reader._likeness.framed is not None and reader._likeness.framed.complete
        assert reader.usage == (3, 5)


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_without_shortcuts_every_event_is_read(server: Server) -> None:
    events = server("chatcmpl-second", 1700000002, ["One", " two", " three"], USAGE, "stop")
    for rebuilt in (False, True):
        frames = learned(server, rebuilt)
        reader = (
            Rebuild(Api.CHAT, frames=frames, shortcuts=False)
            if rebuilt
            else Forward(hide_usage=False, frames=frames, shortcuts=False)
        )
        read(reader, b"".join(events[:-1]))
        assert reader.finished and reader._likeness.framed is None and reader._template is None


@pytest.mark.parametrize("damaged", ["a text that is no JSON", "the last byte of the usage"])
@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_damage_is_seen_in_a_frame_as_without_one(server: Server, damaged: str) -> None:
    events = server("chatcmpl-second", 1700000002, ["One", " two", " three"], USAGE, "stop")
    if damaged == "a text that is no JSON":
        events = [event.replace(b'" two"', b'"\\xtwo"') for event in events]
    else:
        events[-1] = events[-1][:-3] + b'"\n\n'
    data = b"".join(events) + b"data: [DONE]\n\n"
    plain, framed = Forward(hide_usage=False), Forward(hide_usage=False, frames=learned(server, False))
    assert read(framed, data) == read(plain, data)
    assert verdict(framed) == verdict(plain)
    one, other = Rebuild(Api.CHAT), Rebuild(Api.CHAT, frames=learned(server, True))
    assert bool(read(other, data)) == bool(read(one, data))
    assert verdict(other) == verdict(one)
    assert whole(other) == whole(one)


@pytest.mark.parametrize("name", ["llama.cpp-chat", "llama.cpp-chat-ends-by-itself", "llama.cpp-thinking-only"])
def test_answers_of_a_real_llama_server_have_a_frame(name: str) -> None:
    stream = json.loads((ANSWERS / f"{name}.json").read_text())["stream"]
    data = "".join(event + "\n\n" for event in stream).encode()
    frames, answers = Frames(), []
    for identity in (b"chatcmpl-another", b"chatcmpl-third"):
        reader = Rebuild(Api.CHAT, frames=frames)
        mine = orjson.loads(data[6 : data.index(b"\n")])["id"].encode()
        read(reader, data.replace(mine, identity).replace(b'"prompt_tokens":', b'"prompt_tokens":1'))
        answers.append(orjson.loads(reader.answer()))
    assert reader._likeness.framed is not None and reader._likeness.framed.complete, (
        "the second answer was read event by event"
    )
    assert answers[1] == {**answers[0], "id": "chatcmpl-third"}


def test_a_server_that_writes_otherwise_from_now_on_is_learned_anew() -> None:
    frames = learned(openai, True)
    opening = vllm("chatcmpl-x", 1700000003, [], USAGE, "stop")[0][:-2]
    for _ in range(4):
        assert frames.begin(opening) is None
        reader = Rebuild(Api.CHAT, frames=frames)
        read(reader, b"".join(vllm("chatcmpl-x", 1700000003, ["a"], USAGE, "stop")) + b"data: [DONE]\n\n")
        reader.answer()
        if not frames.curious and frames.begin(opening) is not None:
            return
    pytest.fail("answers of the new form are still read event by event")


def test_an_answer_that_ends_otherwise_does_not_take_the_frame_away() -> None:
    frames = learned(openai, True)
    for finish, like in [("stop", True), ("length", False)] * 4:
        reader = Rebuild(Api.CHAT, frames=frames)
        read(reader, b"".join(openai("chatcmpl-x", 1700000003, ["a"], USAGE, finish)) + b"data: [DONE]\n\n")
        assert (reader._likeness.framed is not None) == like
        assert orjson.loads(reader.answer())["choices"][0]["finish_reason"] == finish


def test_answers_of_several_choices_have_no_frame() -> None:
    frames = learned(openai, False)
    reader = Forward(hide_usage=False, choices=2, frames=frames)
    read(reader, b"".join(openai("chatcmpl-x", 1700000003, ["a"], USAGE, "stop")) + b"data: [DONE]\n\n")
    assert reader._likeness.framed is None
