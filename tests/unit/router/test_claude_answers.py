"""Anthropic's answers and streams become OpenAI's, whatever pieces their bytes come in, and no broken one becomes whole."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.backends.outcomes import Outcome
from genset.router.dialects.anthropic.backend import Messages
from genset.router.dialects.openai.aggregate import Aggregator
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.machine.classify import classify, classify_in_band
from testbed.upstream.claude import Told, error_event, event

NOW = 1_790_000_000
PLAIN = Told(texts=("Hello", " thére", " 👋"))
THINKING = Told(thoughts=("Let me", " think"), texts=("Rain",))
TOOLS = Told(
    texts=("I look",),
    calls=(
        ("toolu_1", "get_weather", ('{"ci', 'ty":"Paris"}')),
        ("toolu_2", "now", ()),
        ("toolu_3", "f", ('{"a":[1]}',)),
    ),
    stop_reason="tool_use",
)
ONLY_TOOL = Told(calls=(("toolu_1", "now", ()),), stop_reason="tool_use")
CUT_CALL = Told(texts=("I",), stop_reason="max_tokens")
REFUSED_LATE = Told(
    texts=("I can",), stop_reason="refusal", stop_details={"type": "refusal", "category": "bio", "explanation": None}
)
STREAMS = (PLAIN, THINKING, TOOLS, ONLY_TOOL, CUT_CALL, REFUSED_LATE)


def translated(data: bytes, *cuts: int) -> bytes:
    """Returns what a stream becomes if it comes in pieces."""
    one = Messages().stream(Api.CHAT, NOW)
    places = [0, *sorted(cuts), len(data)]
    return b"".join(one.feed(data[a:b]) for a, b in itertools.pairwise(places)) + one.end()


def chunks(out: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in out.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def rebuilt(out: bytes) -> dict[str, Any]:
    whole = Aggregator(Api.CHAT)
    for chunk in chunks(out):
        assert whole.add(chunk), chunk
    found: dict[str, Any] = json.loads(whole.answer())
    return found


@pytest.mark.parametrize("told", STREAMS)
def test_a_stream_says_what_the_whole_answer_says(told: Told) -> None:
    """Traps 1, 2, 4, 5, 6 and 9 are cases of it."""
    out = translated(b"".join(told.events()))
    assert out.endswith(b"data: [DONE]\n\n")
    streamed = rebuilt(out)
    whole = json.loads(Messages().answer(Api.CHAT, json.dumps(told.message()).encode(), NOW))
    assert streamed["usage"] == whole["usage"]
    assert streamed["usage"]["prompt_tokens"] == 497 and streamed["usage"]["completion_tokens"] == 65
    assert streamed["usage"]["prompt_tokens_details"] == {"cached_tokens": 100, "cache_write_tokens": 20}
    (left,), (right,) = streamed["choices"], whole["choices"]
    assert left["finish_reason"] == right["finish_reason"]
    for call in (*left["message"].get("tool_calls", ()), *right["message"].get("tool_calls", ())):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    for key in ("content", "tool_calls", "reasoning_content", "reasoning_details"):
        assert (left["message"].get(key) or None) == (right["message"].get(key) or None), key
    assert (streamed["id"], streamed["model"], streamed["created"]) == (whole["id"], whole["model"], NOW)


def test_calls_are_counted_and_have_arguments() -> None:
    calls = rebuilt(translated(b"".join(TOOLS.events())))["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"city":"Paris"}', "{}", '{"a":[1]}']
    indices = [c["index"] for chunk in chunks(translated(b"".join(TOOLS.events()))) for choice in chunk["choices"]
               for c in choice["delta"].get("tool_calls", ())]  # fmt: skip
    assert indices == [0, 0, 0, 1, 1, 2, 2], "counted over calls, not over blocks"


@pytest.mark.parametrize("told", STREAMS)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_cut_says_the_same(told: Told, ending: str) -> None:
    data = b"\xef\xbb\xbf: a comment\n\n" + b"".join(told.events())
    data = data.replace(b"\n", ending.encode())
    expected = translated(data)
    for cut in range(len(data)):
        assert translated(data, cut) == expected, cut


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(STREAMS), st.data())
def test_any_pieces_say_the_same(told: Told, data: st.DataObject) -> None:
    whole = b"".join(told.events())
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=30))
    assert translated(whole, *cuts) == translated(whole)


@pytest.mark.parametrize("told", STREAMS)
def test_no_stream_that_ends_early_is_whole(told: Told) -> None:
    """Of every beginning but those that hold the stop_reason."""
    data = b"".join(told.events())
    decided = data.index(b"event: message_delta")
    decided = data.index(b"\n\n", decided)
    for reader_of in (lambda: Forward(hide_usage=False), lambda: Rebuild(Api.CHAT)):
        for cut in range(decided):
            reader = reader_of()
            reader.feed(translated(data[:cut]))
            if not reader.failed:
                reader.end(True)
            assert reader.failed and not reader.done, cut
    reader = Forward(hide_usage=False)
    reader.feed(translated(data[: decided + 2]))
    reader.end(True)
    assert reader.done and not reader.failed


@pytest.mark.parametrize("kind", ["overloaded_error", "api_error", "rate_limit_error", "invalid_request_error"])
def test_an_error_event_ends_the_stream(kind: str) -> None:
    events = PLAIN.events()
    for place in range(len(events)):
        out = translated(b"".join(events[:place]) + error_event(kind) + b"".join(events[place:]))
        told = chunks(out)
        if place == len(events):
            continue
        assert told[-1].get("error", {}).get("type") == kind and b"[DONE]" not in out, place


@pytest.mark.parametrize(
    "bad",
    [
        b"event: x\ndata: no json\n\n", b"data: [1]\n\n", event("message_start", {"message": {"id": "other"}}),
        event("content_block_delta", {"index": 9, "delta": {"type": "input_json_delta", "partial_json": "{"}}),
        event("message_delta", {"delta": {"stop_reason": "pause_turn"}}),
        event("message_delta", {"delta": {"stop_reason": "new"}}),
        event("message_stop", {}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_stream_is_an_error_in_it(bad: bytes) -> None:
    events = PLAIN.events()
    out = translated(b"".join(events[:5]) + bad + b"".join(events[5:]))
    assert "error" in chunks(out)[-1] and b"[DONE]" not in out and b"Hello" in out
    reader = Forward(hide_usage=False)
    reader.feed(out)
    assert reader.failed


def test_what_is_new_is_no_error() -> None:
    new = event("content_block_start", {"index": 7, "content_block": {"type": "hologram"}})
    new += event("content_block_delta", {"index": 7, "delta": {"type": "light_delta"}}) + event("aurora", {})
    new += event("content_block_stop", {"index": 7}) + event(
        "content_block_delta", {"index": 0, "delta": {"type": "citations_delta"}}
    )
    events = PLAIN.events()
    assert translated(events[0] + new + b"".join(events[1:])) == translated(b"".join(events))


def test_a_stop_reason_without_the_last_event_is_an_end() -> None:
    out = translated(b"".join(PLAIN.events()[:-1]))
    assert chunks(out)[-1]["usage"]["completion_tokens"] == 65 and b"[DONE]" not in out


def test_a_refusal_without_a_word_is_a_filter() -> None:
    told = Told(stop_reason="refusal", stop_details={"type": "refusal", "category": None, "explanation": "Not this."})
    for found in (
        chunks(translated(b"".join(told.events())))[-1],
        json.loads(Messages().answer(Api.CHAT, json.dumps(told.message()).encode(), 0)),
    ):
        assert found["error"]["message"] == "Not this."
        assert classify_in_band(found["error"], "x").outcome is Outcome.CONTENT_FILTER
    bare = Told(stop_reason="refusal")
    assert "refused" in chunks(translated(b"".join(bare.events())))[-1]["error"]["message"]


def test_what_comes_in_place_of_a_stream_is_read() -> None:
    whole = json.dumps(PLAIN.message()).encode()
    for cut in (0, 1, 40):
        assert json.loads(translated(b" \n" + whole, cut))["choices"][0]["message"]["content"] == "Hello thére 👋"
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert json.loads(translated(json.dumps(error).encode()))["error"]["type"] == "overloaded_error"
    for garbage in (b"<html>", b"[]", b'{"a":1}', b"{"):
        with pytest.raises(ValueError):
            translated(garbage)


def test_a_block_may_hold_its_text_from_the_beginning() -> None:
    """Trap 1, as servers behind this format write it."""
    start = event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": "Hel"}})
    events = PLAIN.events()
    out = translated(events[0] + start + b"".join(events[3:]))
    assert rebuilt(out)["choices"][0]["message"]["content"].startswith("HelHello")
    whole = {"type": "tool_use", "id": "a", "name": "f", "input": {"a": 1}}
    out = translated(
        events[0]
        + event("content_block_start", {"index": 0, "content_block": whole})
        + event("content_block_stop", {"index": 0})
        + event("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}})
        + event("message_stop", {})
    )  # fmt: skip
    choice = rebuilt(out)["choices"][0]
    assert (
        choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":1}'
        and choice["finish_reason"] == "tool_calls"
    )


@pytest.mark.parametrize(
    ("start", "end", "prompt"),
    [
        (
            {"input_tokens": 500, "cache_read_input_tokens": 0},
            {"input_tokens": 100, "cache_read_input_tokens": 400, "output_tokens": 1},
            500,
        ),
        ({"input_tokens": 100, "cache_read_input_tokens": 400}, {"output_tokens": 1}, 500),
        ({"input_tokens": 100, "cache_read_input_tokens": 400}, {"output_tokens": 1, "input_tokens": None}, 500),
        ({"input_tokens": 0}, {"input_tokens": 377, "output_tokens": 1}, 377),
    ],
)
def test_the_last_count_counts(start: dict[str, Any], end: dict[str, Any], prompt: int) -> None:
    """Trap 9."""
    events = list(PLAIN.events())
    events[0] = event("message_start", {"message": {"id": "m", "model": "x", "usage": start}})
    events[-2] = event("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": end})
    assert chunks(translated(b"".join(events)))[-1]["usage"]["prompt_tokens"] == prompt


@pytest.mark.parametrize(
    ("status", "kind", "message", "details", "outcome"),
    [
        (400, "invalid_request_error", "temperature: range: 0..1", None, Outcome.REJECTED),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
            None,
            Outcome.CONTEXT_EXCEEDED,
        ),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 1 + 2 > 2",
            None,
            Outcome.CONTEXT_EXCEEDED,
        ),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API.",
            None,
            Outcome.AUTH,
        ),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", None, Outcome.AUTH),
        (
            400,
            "invalid_request_error",
            "This model does not support assistant message prefill.",
            None,
            Outcome.UNSUPPORTED,
        ),
        (400, "invalid_request_error", "role 'system' is not supported on this model", None, Outcome.UNSUPPORTED),
        (400, "invalid_request_error", "thinking_mode: Extra inputs are not permitted", None, Outcome.UNSUPPORTED),
        (401, "authentication_error", "invalid x-api-key", None, Outcome.AUTH),
        (402, "billing_error", "Billing", None, Outcome.AUTH),
        (403, "permission_error", "Your API key does not have permission", None, Outcome.AUTH),
        (404, "not_found_error", "model: claude-gone", None, Outcome.MODEL_NOT_FOUND),
        (408, "timeout_error", "x", None, Outcome.TOO_LATE),
        (409, "conflict_error", "x", None, Outcome.CONFLICT),
        (413, "request_too_large", "Request exceeds the maximum size", None, Outcome.CONTEXT_EXCEEDED),
        (429, "rate_limit_error", "x", None, Outcome.RATE_LIMITED),
        (429, "rate_limit_error", "x", {"error_code": "enforced_spend_limit_reached"}, Outcome.AUTH),
        (500, "api_error", "Internal server error", None, Outcome.SERVER_ERROR),
        (504, "timeout_error", "x", None, Outcome.SERVER_ERROR),
        (529, "overloaded_error", "Overloaded", None, Outcome.OVERLOADED),
    ],
)
def test_what_a_refusal_means(status: int, kind: str, message: str, details: Any, outcome: Outcome) -> None:
    error: dict[str, Any] = {"type": kind, "message": message, **({"details": details} if details else {})}
    body = Messages().error(status, json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode())
    found = classify(status, {}, body, "claude-gone", wall=0.0, may_wait=3.0)
    assert found.outcome is outcome, found
    assert set(json.loads(body)["error"]) >= {"message", "type", "param", "code"}, "OpenAI's envelope"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"type":"error"}'])
def test_errors_of_other_servers_stay_as_they_are(body: bytes) -> None:
    assert Messages().error(500, body) == body


KEYS = (
    "type", "index", "delta", "content_block", "message", "usage", "text", "thinking", "partial_json", "stop_reason", "id",
    "name", "input", "error", "signature", "content", "stop_details", "details", "input_tokens", "data",
)  # fmt: skip
KINDS = (
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    "error", "text_delta", "input_json_delta", "signature_delta", "tool_use", "text", "thinking", "refusal", "message",
)  # fmt: skip
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 5), st.floats(), st.text(max_size=4), st.sampled_from(KINDS)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)),
    max_leaves=15,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(ANYTHING, max_size=6))
def test_whatever_a_server_sends_is_an_answer_or_none(said: list[Any]) -> None:
    """Nothing but ValueError leaves the dialect, and what goes on can be read."""
    stream = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in said)
    reader = Forward(hide_usage=False)
    reader.feed(translated(PLAIN.events()[0] + stream))
    for one in said:
        body = json.dumps(one).encode()
        Messages().error(400, body)
        try:
            json.loads(Messages().answer(Api.CHAT, body, 0))
        except ValueError:
            pass
