"""What a chat request becomes for Anthropic, judged by Anthropic's own types and by the rules of its API."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.dialects.anthropic.backend import Messages
from genset.router.dialects.anthropic.backend_models import model_of
from genset.router.dialects.base import Untranslatable
from genset.router.dialects.openai.api import Api
from testbed.upstream.claude import mistake_in

OPUS = "claude-opus-5"
MODELS = (
    "claude-haiku-4-5-20251001", "claude-sonnet-4-6", "claude-opus-4-7", "claude-opus-4-8", OPUS, "claude-haiku-5-5",
    "claude-sonnet-5-5", "claude-fable-5-2", "anthropic.claude-opus-4-8", "claude-opus-9", "deepseek-chat",
)  # fmt: skip
USER = {"role": "user", "content": "What is the weather in Paris?"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PDF = base64.b64encode(b"%PDF-1.4").decode()
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}


def call(identity: str, arguments: str = '{"city":"Paris"}', name: str = "get_weather") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(identity: str, content: Any = "sunny") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def sent(*messages: dict[str, Any], model: str = OPUS, **more: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns what is sent, and what was dropped. The API would take it."""
    body = {"model": model, "messages": list(messages) or [USER], **more}
    before = json.dumps(body)
    asked = Messages().request(Api.CHAT, body)
    assert json.dumps(body) == before, "the request is not changed"
    made = json.loads(asked.body)
    headers = dict(line.split(": ", 1) for line in asked.headers.decode().split("\r\n") if line)
    assert asked.path == "/messages"
    assert mistake_in(made, headers) == "", made
    return made, asked.dropped


def refused(*messages: dict[str, Any], model: str = OPUS, **more: Any) -> str:
    with pytest.raises(Untranslatable) as problem:
        Messages().request(Api.CHAT, {"model": model, "messages": list(messages) or [USER], **more})
    return str(problem.value)


@pytest.mark.parametrize("model", MODELS)
def test_the_shortest_request_is_good_for_every_model(model: str) -> None:
    made, dropped = sent(model=model)
    assert made["messages"] == [{"role": "user", "content": [{"type": "text", "text": USER["content"]}]}]
    assert made["max_tokens"] >= 8192 and not dropped


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh"])
@pytest.mark.parametrize("limit", [None, 100, 5000])
@pytest.mark.parametrize("choice", ["auto", "none"])
def test_every_effort_is_good_for_every_model(model: str, effort: str, limit: int | None, choice: str) -> None:
    more = {} if limit is None else {"max_tokens": limit}
    sent(model=model, reasoning_effort=effort, temperature=0.3, top_p=0.9, tools=[WEATHER], tool_choice=choice, **more)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_forced_tool_is_sent_or_refused(model: str, choice: Any) -> None:
    if model_of(model).forced_tools:
        made, _ = sent(model=model, tools=[WEATHER], tool_choice=choice, reasoning_effort="high")
        assert made["tool_choice"]["type"] in ("any", "tool")
    else:
        assert "cannot be forced" in refused(model=model, tools=[WEATHER], tool_choice=choice)


def test_thinking_is_shown_where_it_is_on() -> None:
    assert sent(model="claude-opus-5")[0]["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert "thinking" not in sent(model="claude-opus-4-7")[0]
    made, _ = sent(model="claude-opus-4-7", reasoning_effort="xhigh")
    assert made["thinking"]["display"] == "summarized" and made["output_config"] == {"effort": "xhigh"}
    assert sent(model="claude-opus-5", reasoning_effort="none")[0]["thinking"] == {"type": "disabled"}
    made, dropped = sent(model="claude-fable-5-2", reasoning_effort="none")
    assert made["thinking"]["type"] == "adaptive" and dropped == ("reasoning_effort",)
    made, _ = sent(model="claude-haiku-4-5", reasoning_effort="low", max_tokens=8000)
    assert made["thinking"] == {"type": "enabled", "budget_tokens": 2048}


def test_sampling_is_sent_to_those_that_take_it() -> None:
    assert sent(model="claude-sonnet-4-6", temperature=0.5)[0]["temperature"] == 0.5
    made, dropped = sent(model="claude-sonnet-4-6", temperature=1.7, top_p=0.5)
    assert made["temperature"] == 1 and "top_p" not in made and dropped == ("temperature>1", "top_p")
    assert sent(model=OPUS, temperature=0.5, top_p=1)[1] == ("temperature", "top_p")
    assert sent(model="deepseek-chat", temperature=0.5) == ({**sent(model="deepseek-chat")[0], "temperature": 0.5}, ())


def test_system_prompts_go_where_the_model_takes_them() -> None:
    system, developer = {"role": "system", "content": "Be short."}, {"role": "developer", "content": "Be kind."}
    made, _ = sent(system, developer, USER)
    assert [block["text"] for block in made["system"]] == ["Be short.", "Be kind."]
    made, _ = sent(USER, developer)
    assert made["messages"][-1] == {"role": "system", "content": [{"type": "text", "text": "Be kind."}]}
    made, _ = sent(USER, developer, model="claude-opus-4-6")
    assert made["system"] == [{"type": "text", "text": "Be kind."}]
    made, _ = sent({"role": "system", "content": ""}, USER)
    assert "system" not in made
    made, _ = sent(system)
    assert made["messages"][0]["content"] == [{"type": "text", "text": "Be short."}]
    made, _ = sent(USER, {"role": "assistant", "content": "Hm."}, developer, USER)
    assert made["system"] == [{"type": "text", "text": "Be kind."}], "not behind an assistant's turn"


def test_results_of_one_turn_stand_together_and_first() -> None:
    """Trap 7 and 8."""
    turn = {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b", "")]}
    made, _ = sent(USER, turn, result("b"), result("a", [{"type": "text", "text": "rain"}]), USER)
    assert [message["role"] for message in made["messages"]] == ["user", "assistant", "user"]
    content = made["messages"][2]["content"]
    assert [block["type"] for block in content] == ["tool_result", "tool_result", "text"]
    assert made["messages"][1]["content"][1]["input"] == {}


def test_results_without_their_call_become_text() -> None:
    turn = {"role": "assistant", "content": None, "tool_calls": [call("a")]}
    made, _ = sent(USER, turn, result("gone", "late"), result("a"), USER)
    content = made["messages"][2]["content"]
    assert [block["type"] for block in content] == ["tool_result", "text", "text"] and "late" in content[1]["text"]
    assert "has no result" in refused(USER, turn, USER)
    assert "has no result" in refused(USER, turn)


def test_ids_of_calls_are_made_good_and_unique() -> None:
    turn = {"role": "assistant", "content": "", "tool_calls": [call("chatcmpl.tool:1/é"), call("0")]}
    again = {"role": "assistant", "content": "", "tool_calls": [call("0")]}
    made, _ = sent(USER, turn, result("0"), result("chatcmpl.tool:1/é"), again, result("0", "rain"))
    first, second = (made["messages"][place]["content"] for place in (1, 3))
    assert first[1]["id"] == "0" and second[0]["id"] == "0_2"
    assert made["messages"][4]["content"][0]["tool_use_id"] == "0_2"


@pytest.mark.parametrize("arguments", ["{", "[1]", "3", '"text"'])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    turn = {"role": "assistant", "content": None, "tool_calls": [call("a", arguments)]}
    assert "messages[1].tool_calls[0].function.arguments is no JSON" in refused(USER, turn, result("a"))


def test_images_and_files_are_sent() -> None:
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aGVsbG8="}},
    ]
    made, dropped = sent({"role": "user", "content": parts})
    assert [block["type"] for block in made["messages"][0]["content"]] == [
        "text",
        "image",
        "image",
        "document",
        "document",
    ]
    assert made["messages"][0]["content"][4]["source"]["data"] == "hello"
    assert dropped == ("messages[].content[].image_url.detail",)
    turn = {"role": "assistant", "content": None, "tool_calls": [call("a")]}
    made, _ = sent(USER, turn, result("a", parts[:2]))
    assert [block["type"] for block in made["messages"][2]["content"][0]["content"]] == ["text", "image"]


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}}, "image/tiff"),
        ({"type": "image_url", "image_url": {"url": "ftp://x"}}, "neither"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,raw"}}, "base64"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "input_audio"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file_id"),
        ({"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}}, "application/zip"),
        ({"type": "video_url", "video_url": {"url": "https://x"}}, "video_url"),
    ],
)
def test_parts_without_a_word_for_them_are_refused(part: dict[str, Any], told: str) -> None:
    words = refused({"role": "user", "content": [part]})
    assert told in words and words.startswith("messages[0].content[0]")


@pytest.mark.parametrize(
    "field",
    [
        {"n": 2}, {"logprobs": True}, {"logprobs": True, "top_logprobs": 3}, {"modalities": ["text", "audio"]},
        {"audio": {"voice": "alloy"}}, {"response_format": {"type": "json_object"}}, {"guided_json": {"type": "object"}},
        {"grammar": "root ::= x"}, {"tools": [{"type": "custom", "custom": {"name": "x"}}]}, {"max_tokens": 0},
        {"tools": [{"type": "function", "function": {"name": "a.b"}}]}, {"tool_choice": "required?", "tools": [WEATHER]},
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_by_name(field: dict[str, Any]) -> None:
    words = refused(**field)
    assert any(key in words for key in field), words


@pytest.mark.parametrize(
    "field",
    [
        {"seed": 1}, {"logit_bias": {"1": 2}}, {"presence_penalty": 0.5}, {"frequency_penalty": 1}, {"store": True},
        {"metadata": {"a": "b"}}, {"prediction": {"type": "content", "content": "x"}}, {"verbosity": "low"},
        {"service_tier": "flex"}, {"min_p": 0.1}, {"whatever": [1]}, {"web_search_options": {}}, {"prompt_cache_key": "k"},
    ],
)  # fmt: skip
def test_what_only_shapes_the_answer_is_dropped_by_name(field: dict[str, Any]) -> None:
    made, dropped = sent(**field)
    assert dropped == tuple(field) and not made.keys() & field.keys() - {"metadata"}


def test_what_asks_for_nothing_is_left_out_without_a_word() -> None:
    usual = {"n": 1, "logprobs": False, "store": False, "presence_penalty": 0, "service_tier": "auto", "seed": None}
    assert sent(**usual, stream_options={"include_usage": True}, modalities=["text"])[1] == ()


def test_schemas_are_made_strict_and_lose_nothing() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
    made, _ = sent(response_format=form, model="claude-opus-4-8")
    schema = made["output_config"]["format"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["age"] == {"type": "integer", "description": "{minimum: 0}"}
    words = refused(
        response_format={"type": "json_schema", "json_schema": {"schema": {"type": "object", "properties": {"a": {}}}}}
    )
    assert "response_format.json_schema.schema" in words
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}  # type: ignore[dict-item]
    assert sent(tools=[strict])[0]["tools"][0]["input_schema"]["additionalProperties"] is False


def test_the_rest_of_a_request() -> None:
    made, dropped = sent(
        stop=["END", "\n"], user="me@example.com", parallel_tool_calls=False, tools=[WEATHER], stream=True
    )
    assert made["stop_sequences"] == ["END"] and dropped == ("stop",)
    assert made["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert "@" not in made["metadata"]["user_id"] and made["stream"] is True
    made, dropped = sent(max_tokens=10_000_000)
    assert made["max_tokens"] == 128_000 and dropped == ("max_tokens>128000",)
    assert sent(max_completion_tokens=50, max_tokens=70)[0]["max_tokens"] == 50


def test_allowed_tools_are_filtered() -> None:
    other = {"type": "function", "function": {"name": "other"}}
    only = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "other"}}]},
    }
    made, _ = sent(tools=[WEATHER, other], tool_choice=only)
    assert [tool["name"] for tool in made["tools"]] == ["other"] and made["tool_choice"] == {"type": "auto"}


def test_an_answer_that_has_begun_goes_to_models_that_go_on() -> None:
    """Trap 20."""
    begun = {"role": "assistant", "content": "The weather is \n"}
    made, _ = sent(USER, begun, model="claude-haiku-4-5", reasoning_effort="high", max_tokens=9000)
    assert made["messages"][-1]["content"] == [{"type": "text", "text": "The weather is"}] and "thinking" not in made
    for model in MODELS[1:]:
        assert "does not go on" in refused(USER, begun, model=model)


def test_signed_thoughts_come_back_and_others_do_not() -> None:
    signed = {"type": "reasoning.text", "text": "Hm", "signature": "abc", "format": "anthropic-claude-v1"}
    hidden = {"type": "reasoning.encrypted", "data": "xyz", "format": "anthropic-claude-v1"}
    turn = {"role": "assistant", "content": "Rain.", "reasoning_details": [signed, hidden], "reasoning_content": "Hm"}
    made, dropped = sent(USER, turn, USER)
    assert [block["type"] for block in made["messages"][1]["content"]] == ["thinking", "redacted_thinking", "text"]
    assert not dropped
    made, dropped = sent(USER, {"role": "assistant", "content": "Rain.", "reasoning_content": "Hm"}, USER)
    assert [block["type"] for block in made["messages"][1]["content"]] == ["text"]
    assert dropped == ("messages[].reasoning_content",)


def test_marks_of_cached_prefixes_stay() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    part = {"type": "text", "text": "long", "cache_control": mark}
    made, dropped = sent(
        {"role": "system", "content": [part]},
        {"role": "user", "content": [part]},
        tools=[{**WEATHER, "cache_control": mark}],
    )
    assert made["system"][0]["cache_control"] == made["messages"][0]["content"][0]["cache_control"] == mark
    assert made["tools"][0]["cache_control"] == mark and not dropped
    assert sent({"role": "user", "content": [{**part, "cache_control": {"type": "for ever"}}]})[1] == ("cache_control",)


TEXTS = st.text(max_size=8)
PARTS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}), max_size=3)
CALLS = st.lists(st.text(max_size=5), max_size=3)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["system", "user", "assistant"]), st.one_of(TEXTS, PARTS, st.none()), CALLS),
        max_size=6,
    )
)
def test_any_conversation_is_one_that_the_api_takes(turns: list[tuple[str, Any, list[str]]]) -> None:
    messages: list[dict[str, Any]] = []
    for role, content, calls in turns:
        message: dict[str, Any] = {"role": role, "content": content}
        if role == "assistant" and calls:
            message["tool_calls"] = [call(identity) for identity in dict.fromkeys(calls)]
        messages.append(message)
        if role == "assistant":
            messages += [result(identity, content) for identity in reversed(list(dict.fromkeys(calls)))]
    try:
        sent(*messages, model="claude-opus-4-8") if messages else None
        sent(*messages, model="claude-haiku-4-5") if messages else None
    except Untranslatable as problem:
        assert str(problem).startswith("messages")


def test_other_paths_are_refused() -> None:
    for api in (Api.COMPLETIONS, Api.EMBEDDINGS):
        with pytest.raises(Untranslatable):
            Messages().request(api, {"model": OPUS, "input": "x", "prompt": "x"})


WORDS = (
    "type", "text", "image_url", "url", "file", "file_data", "file_id", "function", "name", "arguments", "id", "parameters",
    "strict", "json_schema", "schema", "properties", "effort", "enabled", "allowed_tools", "mode", "tools", "format", "data",
    "signature", "enable_thinking", "ttl",
)  # fmt: skip
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)),
    max_leaves=12,
)
FIELDS = st.sampled_from([
    "messages", "tools", "tool_choice", "functions", "function_call", "max_tokens", "temperature", "top_p", "stop", "user",
    "response_format", "reasoning_effort", "reasoning", "modalities", "cache_control", "chat_template_kwargs", "n", "logprobs",
    "parallel_tool_calls", "stream", "metadata", "service_tier", "audio",
])  # fmt: skip
PART_OF_MESSAGE = st.dictionaries(st.sampled_from(WORDS), ANYTHING, max_size=4)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool", "function"])}, optional={
        "content": st.one_of(ANYTHING, st.lists(PART_OF_MESSAGE, max_size=3)),
        "tool_calls": ANYTHING, "tool_call_id": ANYTHING, "name": ANYTHING, "reasoning_details": ANYTHING,
        "function_call": ANYTHING, "refusal": ANYTHING, "audio": ANYTHING, "cache_control": ANYTHING,
    }), max_size=4,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(MESSAGES, st.dictionaries(FIELDS, ANYTHING, max_size=4), st.sampled_from(MODELS))
def test_whatever_a_client_sends_is_sent_or_refused(messages: list[Any], fields: dict[str, Any], model: str) -> None:
    """Nothing but Untranslatable leaves the dialect, whose message is short."""
    try:
        Messages().request(Api.CHAT, {"model": model, "messages": messages, **fields})
    except Untranslatable as problem:
        assert 0 < len(str(problem)) < 400
