"""Messages rebuilt from streams in the words of servers that cannot be had here.

Recordings of real servers: test_recorded_answers.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.dialects.openai.api import Api
from tests.support.router.answers import USAGE, call, chunk, delta, rebuilt, whole_call

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
    "MiniMax's old form: messages for deltas": (
        [
            {"index": 0, "message": {"role": "assistant", "content": "a"}, "logprobs": None, "finish_reason": ""},
            {"index": 0, "message": {"role": "assistant", "content": "b"}, "finish_reason": ""},
            {"index": 0, "message": {"content": ""}, "finish_reason": "stop"},
        ],
        {"role": "assistant", "content": "ab"},
    ),
    "whole calls without index and id": (
        [
            delta(role="assistant", content=None),
            delta(tool_calls=[call(None, None, "f", '{"a":1}'), call(None, None, "g", "{}")]),
            delta(tool_calls=[call(None, None, "f", '{"a":2}')]),
            delta(finish="tool_calls"),
        ],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"function": {"name": "f", "arguments": '{"a":1}'}},
                {"function": {"name": "g", "arguments": "{}"}},
                {"function": {"name": "f", "arguments": '{"a":2}'}},
            ],
        },
    ),
    "a call in pieces without index and id": (
        [
            delta(tool_calls=[call(None, None, "f", "")]),
            delta(tool_calls=[call(None, None, "f", '{"a"')]),
            delta(tool_calls=[call(None, None, None, ":1}")]),
            delta(finish="tool_calls"),
        ],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "f", "arguments": '{"a":1}'}}],
        },
    ),
    "arguments that are objects, every call with the same index (Ollama's form)": (
        [
            delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": {"a": 1}}}]),
            delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": {"b": [2]}}}]),
            delta(finish="tool_calls"),
        ],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"function": {"name": "f", "arguments": {"a": 1}}},
                {"function": {"name": "f", "arguments": {"b": [2]}}},
            ],
        },
    ),
    "an empty text of arguments, then an object": (
        [
            delta(tool_calls=[call(0, "a", "f", "")]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": {"b": 2}}}]),
            delta(tool_calls=[call(0, None, None, "")]),
            delta(finish="tool_calls"),
        ],
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": {"b": 2}}}],
        },
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


@given(st.lists(st.text(max_size=5), max_size=12), st.lists(st.text(max_size=5), max_size=5))
def test_text_comes_back_however_it_was_cut(content: list[str], arguments: list[str]) -> None:
    events = [chunk(delta(content=piece)) for piece in content]
    events += [chunk(delta(tool_calls=[call(0, "a", "f")]))] + [
        chunk(delta(tool_calls=[call(0, arguments=piece)])) for piece in arguments
    ]
    message = rebuilt(Api.CHAT, *events, chunk(delta(finish="tool_calls")))["choices"][0]["message"]
    assert (message["content"] or "") == "".join(content)
    assert message["tool_calls"] == [whole_call("a", "f", "".join(arguments))]
