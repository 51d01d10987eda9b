"""Whole answers rebuilt from streams in the words of servers that cannot be had here, and what is not rebuilt at all.

Recordings of real servers: test_recorded_answers.py.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.aggregate import FOLD_BYTES, Aggregator, CannotRebuildError, can_rebuild
from genset.router.wire.payload import Api


def rebuilt(api: Api, *events: Any) -> Any:
    aggregator = Aggregator(api)
    for event in events:
        aggregator.feed(b"data: " + orjson.dumps(event) + b"\n\n")
    aggregator.feed(b"data: [DONE]\n\n")
    return orjson.loads(aggregator.answer())


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**base, "choices": list(choices), **more}


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "logprobs": None, "finish_reason": finish}


def call(
    index: int | None, identity: str | None = None, name: str | None = None, arguments: str = ""
) -> dict[str, Any]:
    entry: dict[str, Any] = {"function": {"arguments": arguments}}
    if index is not None:
        entry["index"] = index
    if identity is not None:
        entry |= {"id": identity, "type": "function"}
    if name is not None:
        entry["function"] = {"name": name, "arguments": arguments}
    return entry


def whole_call(identity: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}

# name: (events, wanted message, wanted other fields of the choice)
MESSAGES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "OpenAI: text": (
        [
            delta(role="assistant", content="", refusal=None),
            delta(content="Hé"),
            delta(content="llo"),
            delta(finish="stop"),
        ],
        {"role": "assistant", "content": "Héllo", "refusal": None},
    ),
    "OpenAI: refusal": (
        [
            delta(role="assistant", content=None, refusal=""),
            delta(refusal="I ca"),
            delta(refusal="n't"),
            delta(finish="stop"),
        ],
        {"role": "assistant", "content": None, "refusal": "I can't"},
    ),
    "OpenAI: two tool calls": (
        [
            delta(role="assistant", content=None),
            delta(tool_calls=[call(0, "call_a", "f")]),
            delta(tool_calls=[call(0, arguments='{"a"')]),
            delta(tool_calls=[call(0, arguments=":1}")]),
            delta(tool_calls=[call(1, "call_b", "g")]),
            delta(tool_calls=[call(1, arguments="{}")]),
            delta(finish="tool_calls"),
        ],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [whole_call("call_a", "f", '{"a":1}'), whole_call("call_b", "g", "{}")],
        },
    ),
    "interleaved tool calls, and two fragments of one call in one chunk": (
        [
            delta(role="assistant", content=None),
            delta(tool_calls=[call(1, "call_b", "g"), call(0, "call_a", "f"), call(0, arguments="[")]),
            delta(tool_calls=[call(0, arguments="]"), call(1, arguments="{}")]),
            delta(finish="tool_calls"),
        ],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [whole_call("call_a", "f", "[]"), whole_call("call_b", "g", "{}")],
        },
    ),
    "vLLM: tool call after an empty content": (
        [
            delta(role="assistant", content=""),
            delta(tool_calls=[call(0, "chatcmpl-tool-1", "f", "")]),
            delta(tool_calls=[call(0, arguments="{}")]),
            delta(content="", finish="tool_calls"),
        ],
        {"role": "assistant", "content": None, "tool_calls": [whole_call("chatcmpl-tool-1", "f", "{}")]},
    ),
    "name and id sent again with every fragment": (
        [
            delta(role="assistant", content="Let me see", tool_calls=[call(0, "a", "f", "{")]),
            delta(tool_calls=[call(0, "a", "f", "}")]),
            delta(finish="tool_calls"),
        ],
        {"role": "assistant", "content": "Let me see", "tool_calls": [whole_call("a", "f", "{}")]},
    ),
    "Gemini: whole calls without index, or all with the same": (
        [
            delta(role="assistant", tool_calls=[call(None, "a", "f", "{}")]),
            delta(role="assistant", tool_calls=[call(None, "b", "f", "[]"), call(0, "c", "h", "{}")]),
            delta(role="assistant", finish="stop"),
        ],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [whole_call("a", "f", "{}"), whole_call("c", "h", "{}"), whole_call("b", "f", "[]")],
        },
    ),
    "legacy function call": (
        [
            delta(role="assistant", content=None, function_call={"name": "f", "arguments": ""}),
            delta(function_call={"arguments": "{}"}),
            delta(finish="function_call"),
        ],
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
    ),
    "custom tool": (
        [
            delta(role="assistant", tool_calls=[{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh"}}]),
            delta(tool_calls=[{"index": 0, "custom": {"input": "l"}}]),
            delta(tool_calls=[{"index": 0, "custom": {"input": "s"}}]),
            delta(finish="tool_calls"),
        ],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}}],
        },
    ),
    "vLLM: reasoning": (
        [
            delta(role="assistant", content=""),
            delta(reasoning="Hm"),
            delta(reasoning="m."),
            delta(content="Yes"),
            delta(finish="stop"),
        ],
        {"role": "assistant", "content": "Yes", "reasoning": "Hmm."},
    ),
    "DeepSeek: reasoning_content beside content null": (
        [
            delta(role="assistant", content=None, reasoning_content=""),
            delta(content=None, reasoning_content="Hm"),
            delta(content="Yes", reasoning_content=None),
            delta(content="", reasoning_content=None, finish="stop"),
        ],
        {"role": "assistant", "content": "Yes", "reasoning_content": "Hm"},
    ),
    "OpenRouter: reasoning details by index": (
        [
            delta(
                role="assistant",
                content="",
                reasoning_details=[{"type": "reasoning.text", "text": "a", "format": "x-v1", "index": 0}],
            ),
            delta(reasoning_details=[{"type": "reasoning.text", "text": "b", "format": "x-v1", "index": 0}]),
            delta(content="c", reasoning_details=[{"type": "reasoning.encrypted", "data": "==", "index": 1}]),
            delta(finish="stop"),
        ],
        {
            "role": "assistant",
            "content": "c",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "ab", "format": "x-v1", "index": 0},
                {"type": "reasoning.encrypted", "data": "==", "index": 1},
            ],
        },
    ),
    "Mistral: thinking as pieces of content": (
        [
            delta(role="assistant", content=""),
            delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]),
            delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]),
            delta(content=[{"type": "text", "text": "Ye"}]),
            delta(content="s"),
            delta(finish="stop"),
        ],
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hmm"}]},
                {"type": "text", "text": "Yes"},
            ],
        },
    ),
    "annotations": (
        [
            delta(role="assistant", content="See"),
            delta(annotations=[{"type": "url_citation", "url_citation": {"url": "http://a.test"}}]),
            delta(annotations=[{"type": "url_citation", "url_citation": {"url": "http://b.test"}}]),
            delta(finish="stop"),
        ],
        {
            "role": "assistant",
            "content": "See",
            "annotations": [
                {"type": "url_citation", "url_citation": {"url": "http://a.test"}},
                {"type": "url_citation", "url_citation": {"url": "http://b.test"}},
            ],
        },
    ),
    "unknown fields of a delta accumulate": (
        [
            delta(role="assistant", content="a", mood="so", count=1, open=False, more={"x": "1", "type": "t"}),
            delta(mood="-so", count=2, open=True, more={"x": "2", "type": "t"}),
            delta(finish="stop"),
        ],
        {
            "role": "assistant",
            "content": "a",
            "mood": "so-so",
            "count": 3,
            "open": True,
            "more": {"x": "12", "type": "t"},
        },
    ),
    "nothing said": (
        [delta(role="assistant", content=None), delta(finish="stop")],
        {"role": "assistant", "content": ""},
    ),
    "a last chunk with a message beside the delta": (
        [
            delta(role="assistant", content="a"),
            {**delta(content="b", finish="stop"), "message": {"role": "assistant", "content": "ab"}},
        ],
        {"role": "assistant", "content": "ab"},
    ),
    "a whole answer in one event": (
        [{"index": 0, "message": {"role": "assistant", "content": "ab"}, "logprobs": None, "finish_reason": "stop"}],
        {"role": "assistant", "content": "ab"},
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_messages(case: str) -> None:
    choices, message = MESSAGES[case]
    got = rebuilt(Api.CHAT, *(chunk(choice) for choice in choices), chunk(usage=USAGE))
    reason = choices[-1]["finish_reason"]
    assert got == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "usage": USAGE,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
    }


def test_several_choices_in_any_order() -> None:
    events = [chunk(delta(1, role="assistant", content="b")), chunk(delta(0, role="assistant", content="a"))]
    events += [chunk(delta(0, content="A"), delta(1, content="B")), chunk(delta(1, "stop")), chunk(delta(0, "length"))]
    got = rebuilt(Api.CHAT, *events)
    seen = [(c["index"], c["message"]["content"], c["finish_reason"]) for c in got["choices"]]
    assert seen == [(0, "aA", "length"), (1, "bB", "stop")]


def test_log_probabilities_of_content_and_refusal() -> None:
    one = {**delta(content="a"), "logprobs": {"content": [{"token": "a"}], "refusal": None}}
    two = {**delta(content="b"), "logprobs": {"content": [{"token": "b"}], "refusal": [{"token": "r"}]}}
    got = rebuilt(Api.CHAT, chunk(one), chunk(two), chunk(delta(finish="stop")))
    assert got["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "refusal": [{"token": "r"}]}


def test_legacy_completions_of_openai_and_vllm() -> None:
    def piece(text: str, offset: int, finish: str | None = None) -> dict[str, Any]:
        logprobs = {"tokens": [text], "token_logprobs": [-0.5], "top_logprobs": [{text: -0.5}], "text_offset": [offset]}
        choice = {"text": text, "index": 0, "logprobs": logprobs, "finish_reason": finish, "stop_reason": None}
        return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}

    end = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [], "usage": USAGE}
    got = rebuilt(Api.COMPLETIONS, piece("Hé", 0), piece("llo", 2, "stop"), end)
    assert got == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "usage": USAGE,
        "choices": [
            {
                "text": "Héllo",
                "index": 0,
                "logprobs": {
                    "tokens": ["Hé", "llo"],
                    "token_logprobs": [-0.5, -0.5],
                    "top_logprobs": [{"Hé": -0.5}, {"llo": -0.5}],
                    "text_offset": [0, 2],
                },
                "finish_reason": "stop",
                "stop_reason": None,
            }
        ],
    }


def test_fields_of_chunks_and_choices() -> None:
    azure = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{"i": 0}]}
    filtered = {**delta(content="a"), "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}
    more = {**delta(finish="stop"), "content_filter_results": {"self_harm": {"filtered": False}}, "stop_reason": 7}
    got = rebuilt(
        Api.CHAT,
        azure,
        chunk(filtered, system_fingerprint="fp", service_tier=None, obfuscation="x7f", usage=None),
        chunk(more, system_fingerprint="fp", service_tier="default", obfuscation="q", id="chatcmpl-2", created=2),
        chunk(usage=USAGE, timings={"predicted_n": 1}, system_fingerprint=None),
    )
    assert got == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "prompt_filter_results": [{"i": 0}],
        "system_fingerprint": "fp",
        "service_tier": "default",
        "usage": USAGE,
        "timings": {"predicted_n": 1},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "a"},
                "logprobs": None,
                "finish_reason": "stop",
                "content_filter_results": {
                    "hate": {"filtered": False, "severity": "safe"},
                    "self_harm": {"filtered": False},
                },
                "stop_reason": 7,
            }
        ],
    }


DAMAGED: dict[str, list[bytes]] = {
    "no finish_reason": [orjson.dumps(chunk(delta(content="a")))],
    "only one of two choices finished": [orjson.dumps(chunk(delta(0, "stop"), delta(1, content="b")))],
    "no choice": [orjson.dumps(chunk(usage=USAGE))],
    "nothing": [],
    "no JSON": [b'{"choices": [oops]}', orjson.dumps(chunk(delta(finish="stop")))],
    "a delta that is a text": [b'{"choices":[{"index":0,"delta":"a"}]}', orjson.dumps(chunk(delta(finish="stop")))],
    "choices that are no list": [b'{"choices":{"a":1}}', orjson.dumps(chunk(delta(finish="stop")))],
    "a choice that is a number": [b'{"choices":[3]}', orjson.dumps(chunk(delta(finish="stop")))],
    "content that turns into a number": [
        orjson.dumps(chunk(delta(content="a"))),
        orjson.dumps(chunk(delta(content=3, finish="stop"))),
    ],
    "tool calls that are no objects": [orjson.dumps(chunk(delta(tool_calls=["f"], finish="stop")))],
    "two objects in one event": [
        orjson.dumps(chunk(delta(content="a"))) + b"," + orjson.dumps(chunk(delta(finish="stop")))
    ],
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_never_becomes_an_answer(case: str) -> None:
    aggregator = Aggregator(Api.CHAT)
    aggregator.feed(b"".join(b"data: " + payload + b"\n\n" for payload in DAMAGED[case]))
    with pytest.raises(CannotRebuildError):
        aggregator.answer()


def test_a_long_answer_is_folded_as_it_comes() -> None:
    aggregator = Aggregator(Api.CHAT)
    texts = [f" {number:04d}" for number in range(5000)]
    for text in texts:
        aggregator.feed(b"data: " + orjson.dumps(chunk(delta(content=text))) + b"\n\n")
        assert sum(map(len, aggregator._blocks)) <= FOLD_BYTES
    aggregator.feed(b"data: " + orjson.dumps(chunk(delta(finish="stop"))) + b"\n\n")
    assert orjson.loads(aggregator.answer())["choices"][0]["message"]["content"] == "".join(texts)


@given(st.lists(st.text(max_size=5), max_size=12), st.lists(st.text(max_size=5), max_size=5))
def test_text_comes_back_however_it_was_cut(content: list[str], arguments: list[str]) -> None:
    events = [chunk(delta(content=piece)) for piece in content]
    events += [chunk(delta(tool_calls=[call(0, "a", "f")]))] + [
        chunk(delta(tool_calls=[call(0, arguments=piece)])) for piece in arguments
    ]
    message = rebuilt(Api.CHAT, *events, chunk(delta(finish="tool_calls")))["choices"][0]["message"]
    assert (message["content"] or "") == "".join(content)
    assert message["tool_calls"] == [whole_call("a", "f", "".join(arguments))]


REBUILDS: list[tuple[Api, dict[str, Any]]] = [
    (Api.CHAT, {}),
    (Api.CHAT, {"n": 3, "logprobs": True, "tools": [{}], "stop": None, "stream": False, "store": False, "audio": None}),
    (Api.CHAT, {"stop": ["a"]}),
    (Api.CHAT, {"modalities": ["text"], "response_format": {"type": "json_object"}, "echo": False}),
    (Api.COMPLETIONS, {"prompt": "a", "logprobs": 2, "best_of": 1}),
    (Api.COMPLETIONS, {"prompt": [1, 2, 3]}),
]
PASSES: list[tuple[Api, dict[str, Any]]] = [
    (Api.EMBEDDINGS, {"input": "a"}),
    (Api.CHAT, {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}),
    (Api.CHAT, {"store": True}),
    (Api.CHAT, {"stream_options": {"include_usage": True}}),
    (Api.CHAT, {"prompt_logprobs": 0}),
    (Api.CHAT, {"return_token_ids": True}),
    (Api.CHAT, {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
    (Api.CHAT, {"stop": "a", "logprobs": True}),
    (Api.COMPLETIONS, {"prompt": "a", "echo": True}),
    (Api.COMPLETIONS, {"prompt": "a", "n": 2, "best_of": 3}),
    (Api.COMPLETIONS, {"prompt": ["a", "b"]}),
    (Api.COMPLETIONS, {"prompt": [[1], [2]]}),
    (Api.COMPLETIONS, {"prompt": "a", "use_beam_search": True}),
]


@pytest.mark.parametrize(("api", "request_"), REBUILDS)
def test_what_is_rebuilt(api: Api, request_: dict[str, Any]) -> None:
    assert can_rebuild(api, request_)


@pytest.mark.parametrize(("api", "request_"), PASSES)
def test_what_is_passed_as_it_is(api: Api, request_: dict[str, Any]) -> None:
    assert not can_rebuild(api, request_)
