"""What clients of other APIs make of a chat stream: at any cut the same events, and in the end what was said. Pure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response

from genset.router.dialects.anthropic.client_writer import MessageWriter
from genset.router.dialects.client import ClientWriter
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.responses.tools import Tools
from genset.router.dialects.responses.writer import ResponseWriter
from genset.router.errors import VOCABULARY


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "up", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def call(index: int, arguments: str = "", identity: str = "", name: str = "") -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"tool_calls": [{"index": index, "function": function, **({"id": identity} if identity else {})}]}


USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def stream(*chunks: dict[str, Any], usage: bool = True) -> bytes:
    last = [{"model": "m", "choices": [], "usage": USAGE}] if usage else []
    said = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in [*chunks, *last])
    return said + b"data: [DONE]\n\n"


def messages() -> ClientWriter:
    return MessageWriter("m")


def responses() -> ClientWriter:
    return ResponseWriter({"model": "m"}, Tools(), (), 1.0)


def told(writer: ClientWriter, data: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.split(b"data: ", 1)[1]) for event in writer.events(data).split(b"\n\n") if event]


#: Streams, and the blocks that each holds: type, and text or (name, arguments).
STREAMS: dict[str, tuple[list[dict[str, Any]], list[tuple[str, Any]]]] = {
    "text": (
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hel"}),
            chunk({"content": "lo"}),
            chunk(finish="stop"),
        ],
        [("text", "Hello")],
    ),
    "the first chunk holds the first word": (
        [chunk({"role": "assistant", "content": "Hello"}), chunk(finish="stop")],
        [("text", "Hello")],
    ),
    "text beside an empty list of calls": (
        [chunk({"content": "Hello", "tool_calls": []}), chunk(finish="stop")],
        [("text", "Hello")],
    ),
    "thinking, then text": (
        [
            chunk({"reasoning_content": "hm"}),
            chunk({"reasoning_content": "m"}),
            chunk({"content": "Hi"}),
            chunk(finish="stop"),
        ],
        [("thinking", "hmm"), ("text", "Hi")],
    ),
    "thinking that is said twice": (
        [
            chunk({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}),
            chunk({"content": "Hi"}),
            chunk(finish="stop"),
        ],
        [("thinking", "hm"), ("text", "Hi")],
    ),
    "a call alone": (
        [chunk(call(0, "", "c1", "f")), chunk(call(0, '{"a"')), chunk(call(0, ": 1}")), chunk(finish="tool_calls")],
        [("call", ("f", {"a": 1}))],
    ),
    "a call whose opening holds its arguments": (
        [chunk(call(0, '{"a": 1}', "c1", "f")), chunk(finish="tool_calls")],
        [("call", ("f", {"a": 1}))],
    ),
    "a call without arguments": ([chunk(call(0, "", "c1", "f")), chunk(finish="tool_calls")], [("call", ("f", {}))]),
    "text, then two calls": (
        [
            chunk({"content": "Look"}),
            chunk(call(0, '{"a": 1}', "c1", "f")),
            chunk(call(1, '{"b": 2}', "c2", "g")),
            chunk(finish="tool_calls"),
        ],
        [("text", "Look"), ("call", ("f", {"a": 1})), ("call", ("g", {"b": 2}))],
    ),
    "calls whose pieces alternate": (
        [
            chunk(call(0, '{"a"', "c1", "f")),
            chunk(call(1, '{"b"', "c2", "g")),
            chunk(call(0, ": 1}")),
            chunk(call(1, ": 2}")),
            chunk(finish="tool_calls"),
        ],
        [("call", ("f", {"a": 1})), ("call", ("g", {"b": 2}))],
    ),
    "calls of one index with ids of their own": (
        [chunk(call(0, '{"a": 1}', "c1", "f")), chunk(call(0, '{"b": 2}', "c2", "g")), chunk(finish="tool_calls")],
        [("call", ("f", {"a": 1})), ("call", ("g", {"b": 2}))],
    ),
    "nothing at all": ([chunk({"role": "assistant"}), chunk(finish="stop")], []),
    "Azure: no choices first, no delta last": (
        [
            {"model": "", "choices": [], "prompt_filter_results": []},
            chunk({"content": "Hi"}),
            chunk(finish="stop"),
            {"model": "m", "choices": [{"index": 0, "content_filter_results": {}}]},
        ],
        [("text", "Hi")],
    ),
}


def message_blocks(content: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    made: list[tuple[str, Any]] = []
    for block in content:
        if block["type"] == "tool_use":
            made.append(("call", (block["name"], block["input"])))
        else:
            made.append((block["type"], block[block["type"]]))
    return made


def accumulated(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Makes a message as Anthropic's clients do, and refuses what they refuse."""
    assert events[0]["type"] == "message_start" and [e["type"] for e in events[-2:]] == [
        "message_delta",
        "message_stop",
    ]
    message = events[0]["message"]
    Message.model_validate(message)
    open_block = -1
    for event in events[1:-2]:
        kind = event["type"]
        if kind == "content_block_start":
            assert open_block == -1 and event["index"] == len(message["content"]), "one block at a time, without gaps"
            open_block = event["index"]
            message["content"].append({**event["content_block"], "_json": ""})
        elif kind == "content_block_delta":
            assert event["index"] == open_block
            block, delta = message["content"][-1], event["delta"]
            if delta["type"] == "input_json_delta":
                block["_json"] += delta["partial_json"]
            else:
                key = delta["type"].removesuffix("_delta")
                block[key] = block.get(key, "") + delta[key]
        elif kind == "content_block_stop":
            assert event["index"] == open_block
            block, open_block = message["content"][-1], -1
            said = block.pop("_json")
            if said:
                block["input"] = json.loads(said)
        else:
            assert kind == "ping", kind
    assert open_block == -1
    message |= events[-2]["delta"]
    message["usage"] |= events[-2]["usage"]
    Message.model_validate(message)
    return message


def response_blocks(output: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    made: list[tuple[str, Any]] = []
    for item in output:
        if item["type"] == "function_call":
            made.append(("call", (item["name"], json.loads(item["arguments"]))))
        else:
            kind = "thinking" if item["type"] == "reasoning" else "text"
            made.append((kind, "".join(part["text"] for part in item["content"])))
    return made


def finished(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Reads a response as OpenAI's helper does: items from their own events, which have to agree with the end."""
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    items: dict[int, dict[str, Any]] = {}
    texts: dict[int, str] = {}
    for event in events[2:-1]:
        at = event["output_index"]
        if event["type"] == "response.output_item.added":
            assert at == len(items)
            items[at], texts[at] = event["item"], ""
        elif event["type"].endswith(".delta"):
            assert event["item_id"] == items[at]["id"]
            texts[at] += event["delta"]
        elif event["type"] == "response.output_item.done":
            assert event["item"]["id"] == items[at]["id"]
            items[at] = event["item"]
            said = event["item"].get("arguments") or "".join(p["text"] for p in event["item"].get("content", ()))
            assert said == (texts[at] or "{}") or said == texts[at]
    last = events[-1]["response"]
    assert [(item["id"], item.get("content")) for item in last["output"]] == [
        (items[at]["id"], items[at].get("content")) for at in sorted(items)
    ]
    Response.model_validate(last)
    return last


@pytest.mark.parametrize("name", STREAMS)
def test_messages_say_what_was_said(name: str) -> None:
    chunks, wanted = STREAMS[name]
    message = accumulated(told(messages(), stream(*chunks)))
    assert message_blocks(message["content"]) == (wanted or [("text", "")])
    calls = any(kind == "call" for kind, _ in wanted)
    assert message["stop_reason"] == ("tool_use" if calls else "end_turn")
    assert message["usage"]["input_tokens"] == 8 and message["usage"]["cache_read_input_tokens"] == 4
    assert message["usage"]["output_tokens"] == 7


@pytest.mark.parametrize("name", STREAMS)
def test_responses_say_what_was_said(name: str) -> None:
    chunks, wanted = STREAMS[name]
    response = finished(told(responses(), stream(*chunks)))
    assert response_blocks(response["output"]) == wanted and response["status"] == "completed"
    assert (
        response["usage"]["input_tokens"] == 12 and response["usage"]["output_tokens_details"]["reasoning_tokens"] == 2
    )


@pytest.mark.parametrize("writer", [messages, responses])
@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_cut_gives_the_same_answer(name: str, writer: Any, data: st.DataObject) -> None:
    said = stream(*STREAMS[name][0])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=12)))
    pieces = [said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)]
    one, other = writer(), writer()
    events = [event for piece in pieces for event in told(one, piece)]
    if writer is messages:
        assert message_blocks(accumulated(events)["content"]) == message_blocks(
            accumulated(told(other, said))["content"]
        )
    else:
        assert response_blocks(finished(events)["output"]) == response_blocks(finished(told(other, said))["output"])


@pytest.mark.parametrize("writer", [messages, responses])
@pytest.mark.parametrize("name", STREAMS)
def test_a_cut_stream_never_looks_whole(name: str, writer: Any) -> None:
    said = stream(*STREAMS[name][0])
    for at in range(len(said) - len(b"data: [DONE]\n\n")):
        one = writer()
        events = told(one, said[:at])
        broken = one.broken(VOCABULARY["provider_interrupted"], "broke", ["house:interrupted:1ms"], partial=True)
        events += [json.loads(event.split(b"data: ", 1)[1]) for event in broken.split(b"\n\n") if event]
        kinds = [event["type"] for event in events]
        assert kinds[-1] in ("error", "response.failed")
        assert not {"message_stop", "message_delta", "response.completed", "response.incomplete"} & set(kinds)


@pytest.mark.parametrize(
    ("finish", "stop", "status"),
    [
        ("length", "max_tokens", "incomplete"),
        ("content_filter", "refusal", "incomplete"),
        ("stop", "end_turn", "completed"),
        ("tool_calls", "end_turn", "completed"),
        ("eos", "end_turn", "completed"),
    ],
)
def test_why_an_answer_ended(finish: str, stop: str, status: str) -> None:
    said = stream(chunk({"content": "Hi"}), chunk(finish=finish))
    assert accumulated(told(messages(), said))["stop_reason"] == stop
    response = finished(told(responses(), said))
    assert response["status"] == status
    assert (response["incomplete_details"] is None) == (status == "completed")
    assert response["output"][-1]["status"] == status


def test_a_call_that_was_cut_must_not_run() -> None:
    said = stream(chunk(call(0, '{"a": ', "c1", "f")), chunk(finish="length"))
    events = told(messages(), said)
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    assert told(responses(), said)[-1]["type"] == "response.incomplete"


def test_a_forced_call_that_ends_with_stop_is_a_call() -> None:
    said = stream(chunk(call(0, "{}", "c1", "f")), chunk(finish="stop"))
    assert accumulated(told(messages(), said))["stop_reason"] == "tool_use"


def test_sealed_thinking_keeps_its_seal_and_none_is_invented() -> None:
    sealed = {"reasoning_details": [{"type": "reasoning.text", "text": "", "signature": "sig"}]}
    said = stream(chunk({"reasoning_content": "hm"}), chunk(sealed), chunk({"content": "Hi"}), chunk(finish="stop"))
    content = accumulated(told(messages(), said))["content"]
    assert content[0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    plain = accumulated(told(messages(), stream(*STREAMS["thinking, then text"][0])))["content"]
    assert plain[0]["signature"] == ""


@pytest.mark.parametrize("name", [name for name in STREAMS if not name.startswith("Azure")])
def test_a_whole_answer_says_what_its_stream_says(name: str) -> None:
    rebuild = Rebuild(Api.CHAT)
    rebuild.feed(stream(*STREAMS[name][0]))
    body = rebuild.answer()
    message, response = json.loads(messages().whole(body)), json.loads(responses().whole(body))
    Message.model_validate(message)
    Response.model_validate(response)
    assert message_blocks(message["content"]) == (STREAMS[name][1] or [("text", "")])
    assert response_blocks(response["output"]) == STREAMS[name][1]


def test_signs_of_life_make_one_response() -> None:
    writer = responses()
    events = [writer.sign_of_life(), writer.sign_of_life(), writer.events(stream(*STREAMS["text"][0]))]
    read = [json.loads(event.split(b"data: ", 1)[1]) for event in b"".join(events).split(b"\n\n") if event]
    assert [event["type"] for event in read[:3]] == ["response.created", "response.in_progress", "response.in_progress"]
    assert len({event["response"]["id"] for event in read if "response" in event}) == 1
    assert messages().sign_of_life().startswith(b"event: ping\n")
