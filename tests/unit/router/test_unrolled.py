"""Whole answers as streams: what the client is told is what the server said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.events import DONE
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.unrolled import unrolled

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
TEXTS = st.text(max_size=8) | st.sampled_from(['"', "\n\n", "data: [DONE]", "😀"])
NAMED = st.text(min_size=1, max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMED, inner, max_size=2),
    max_leaves=4,
)
CALLS = st.lists(
    st.fixed_dictionaries(
        {"id": NAMED, "type": st.just("function")},
        optional={"function": st.fixed_dictionaries({"name": NAMED, "arguments": st.just("{}") | st.just({"a": 1})})},
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda call: str(call["id"]),
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": TEXTS},
    optional={"reasoning_content": TEXTS, "refusal": st.none(), "annotations": st.lists(VALUES, max_size=2)},
) | st.fixed_dictionaries({"role": st.just("assistant"), "content": st.none(), "tool_calls": CALLS})
LOGPROBS = st.none() | st.fixed_dictionaries({"content": st.lists(st.fixed_dictionaries({"token": TEXTS}), max_size=2)})
FINISHES = st.sampled_from(["stop", "length", "tool_calls"])
MORE = {
    "system_fingerprint": TEXTS,
    "usage": st.just(USAGE),
    "timings": st.just({"a": 0.5}),
    "x_seed": st.integers(0, 10**30),
}


def answers(kind: str, choice: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    choices = st.lists(choice, min_size=1, max_size=3).map(
        lambda made: [{**one, "index": n} for n, one in enumerate(made)]
    )
    return st.fixed_dictionaries(
        {"id": NAMED, "object": st.just(kind), "created": st.integers(1, 2**40), "model": NAMED, "choices": choices},
        optional=MORE,
    )


CHATS = answers(
    "chat.completion",
    st.fixed_dictionaries({"message": MESSAGES, "logprobs": LOGPROBS, "finish_reason": FINISHES}),
)
COMPLETIONS = answers(
    "text_completion", st.fixed_dictionaries({"text": TEXTS, "logprobs": st.none(), "finish_reason": FINISHES})
)


@given(st.tuples(st.just(Api.CHAT), CHATS) | st.tuples(st.just(Api.COMPLETIONS), COMPLETIONS), st.booleans())
def test_what_is_unrolled_is_rebuilt(made: tuple[Api, dict[str, Any]], ascii_only: bool) -> None:
    api, answer = made
    stream = unrolled(json.dumps(answer, ensure_ascii=ascii_only).encode(), chat=api.chat)
    reader = Rebuild(api, choices=len(answer["choices"]))
    reader.feed(stream)
    assert reader.done, reader.fault
    assert json.loads(reader.answer()) == answer
    forward = Forward(hide_usage=False, choices=len(answer["choices"]))
    assert forward.feed(stream) == stream and forward.done


def test_a_chat_is_what_a_client_expects_of_a_stream() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    base: dict[str, Any] = {"id": "x", "created": 1, "model": "m"}
    answer = {**base, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    stream = unrolled(json.dumps(answer).encode(), chat=True)
    first, last, usage, done = stream.removesuffix(b"\n\n").split(b"\n\n")
    base["object"] = "chat.completion.chunk"
    delta = {**message, "tool_calls": [{"index": 0, **call}]}
    assert json.loads(first[6:]) == {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    assert json.loads(last[6:]) == {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    assert json.loads(usage[6:]) == {**base, "choices": [], "usage": USAGE}
    assert done + b"\n\n" == DONE
    hidden = Forward(hide_usage=True)
    assert b'"usage"' not in hidden.feed(stream) and hidden.usage == (9, 3)


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"choices":[]}', b'{"choices":{}}', b'{"choices":[7]}', b"{", b"\xff"]
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError):
        unrolled(body, chat=True)


def test_a_whole_answer_that_tells_no_reason_has_one_as_a_stream() -> None:
    stream = unrolled(b'{"choices":[{"message":{"content":"a"},"finish_reason":null}]}', chat=True)
    assert stream.count(b'"finish_reason":"stop"') == 1
