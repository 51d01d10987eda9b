"""What each provider takes of a request, and what only a policy may say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genset.router.backends.outcomes import Outcome
from genset.router.backends.shape import Shape, merged
from genset.router.continuation.seam import Direct
from genset.router.continuation.splice import Splice
from genset.router.dialects.base import Untranslatable
from genset.router.dialects.openai.events import counts_of
from genset.router.dialects.openai.transcript import Transcript
from genset.router.dialects.openai.whole_answer import usage_of
from genset.router.machine.classify import classify
from genset.router.providers import PROVIDERS
from tests.unit.router import test_client_streams as client_streams

USER = {"role": "user", "content": "hi"}
NAMED = {"role": "user", "content": "hi", "name": "ann"}
STRICT = {"type": "function", "function": {"name": "f", "strict": True}}


def shaped(name: str, added: dict[str, Any] | None = None, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = {"model": "m", "messages": [USER], **fields}
    before = repr(request)
    made = Shape(PROVIDERS[name], added).of(request)
    assert repr(request) == before, "the client's request is not changed"
    return made


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_plain_request_is_the_same_for_everybody(name: str) -> None:
    request = {"model": "m", "messages": [USER], "temperature": 0.5, "tools": [], "stream": True}
    made, dropped = Shape(PROVIDERS[name], None).of(request)
    assert made is request and not dropped


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_provider_is_told_by_one_file(name: str) -> None:
    provider = PROVIDERS[name]
    assert provider.name == name and provider.telemetry_name
    assert provider.base_url is None or (
        provider.base_url.startswith("https://") and not provider.base_url.endswith("/")
    )
    assert provider.probe_path.startswith("/") and provider.key_header == provider.key_header.lower()
    assert not provider.probe_headers or provider.probe_headers.endswith(b"\r\n")


@pytest.mark.parametrize(
    ("provider", "fields", "left", "dropped"),
    [
        (
            "groq",
            {"logit_bias": {"1": 2}, "messages": [NAMED]},
            {"messages": [USER]},
            ("logit_bias", "messages[].name"),
        ),
        ("groq", {"n": 1, "logprobs": False}, {"n": 1, "logprobs": False}, ()),
        ("mistral", {"seed": 3, "user": "u", "store": None}, {"random_seed": 3}, ("user",)),
        (
            "xai",
            {"tools": [STRICT]},
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            ("tools[].function.strict",),
        ),
        ("ollama", {"user": "u"}, {}, ("user",)),
        ("openRouter", {"models": ["dear"]}, {}, ("models",)),
        ("openai", {"seed": 1, "user": "u"}, {"seed": 1, "user": "u"}, ()),
    ],
)
def test_what_is_left_out(
    provider: str, fields: dict[str, Any], left: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    if PROVIDERS[provider].fields is None:
        return
    assert shaped(provider, **fields) == ({"model": "m", "messages": [USER], **left}, dropped)


@pytest.mark.parametrize(
    ("provider", "fields"),
    [
        ("groq", {"n": 2}), ("groq", {"logprobs": True}), ("cohere", {"n": 3}), ("ollama", {"tool_choice": "required"}),
        ("ollama", {"tool_choice": "none"}), ("lmStudio", {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
    ],
)  # fmt: skip
def test_what_is_asked_elsewhere(provider: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Untranslatable) as problem:
        shaped(provider, **fields)
    assert str(problem.value).startswith(next(iter(fields)))


def test_results_of_tools_keep_their_names() -> None:
    result = {"role": "tool", "tool_call_id": "a", "name": "f", "content": "x"}
    assert shaped("groq", messages=[result])[0]["messages"] == [result]


def test_no_client_changes_what_the_policy_says() -> None:
    added = {"provider": {"data_collection": "deny", "zdr": True}, "models": ["a", "b"]}
    made, dropped = shaped("openRouter", added, provider={"data_collection": "allow", "sort": "price"}, models=["dear"])
    assert made["provider"] == {"data_collection": "deny", "sort": "price", "zdr": True}
    assert made["models"] == ["a", "b"] and dropped == ("models",)
    assert shaped("openRouter", added, provider="nonsense")[0]["provider"] == added["provider"]


def test_merged_is_deep_and_new() -> None:
    request = {"a": {"b": {"c": 1}}}
    assert merged(request, {"a": {"b": {"d": 2}}}) == {"a": {"b": {"c": 1, "d": 2}}}
    assert request == {"a": {"b": {"c": 1}}}


@pytest.mark.parametrize(
    ("status", "headers", "body", "outcome", "wait"),
    [
        (429, {}, b'[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"x"},{"retryDelay":"34s"}]}}]',
         Outcome.RATE_LIMITED, 34.0),
        (429, {}, b'{"error":{"details":[{"retryDelay":"2.5s"}]}}', Outcome.RATE_LIMITED_SHORT, 2.5),
        (429, {}, b'{"error":{"details":[{"retryDelay":"nans"},{"retryDelay":7}]}}', Outcome.RATE_LIMITED, None),
        (400, {b"x-amzn-errortype": b"ServiceQuotaExceededException:http://x"}, b'{"message":"quota"}', Outcome.AUTH, None),
        (403, {b"x-amzn-errortype": b"AccessDeniedException"}, b'{"message":"no"}', Outcome.AUTH, None),
        (424, {b"x-amzn-errortype": b"ModelErrorException"}, b'{"message":"x"}', Outcome.SERVER_ERROR, None),
    ],
)  # fmt: skip
def test_what_google_and_amazon_say_beside_the_message(
    status: int, headers: dict[bytes, bytes], body: bytes, outcome: Outcome, wait: float | None
) -> None:
    found = classify(status, headers, body, "m", wall=0.0, may_wait=3.0)
    assert (found.outcome, found.retry_after) == (outcome, wait)


def test_an_answers_name_is_the_first_that_says_something() -> None:
    """Azure begins its streams with events whose id, created and model are empty."""
    sent = Transcript()
    sent.add(b'data: {"id":"","created":0,"model":"","choices":[],"prompt_filter_results":[]}\n\n')
    sent.add(b'data: {"id":"a","created":5,"model":"m","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n')
    sent.add(b'data: {"id":"b","created":6,"model":"n","choices":[{"index":0,"delta":{"content":"y"}}]}\n\n')
    assert (sent.head["id"], sent.head["created"], sent.head["model"], sent.text) == ("a", 5, "m", "xy")


#: How usage is told -> tokens of the completion, with those of its thoughts.
THOUGHTS: dict[str, tuple[str, int]] = {
    "xAI: beside it": ('{"prompt_tokens":10,"completion_tokens":5,"total_tokens":35,%s}', 25),
    "xAI, spaced": ('{"prompt_tokens": 10, "completion_tokens": 5, %s, "total_tokens": 35}', 25),
    "OpenAI: among them": ('{"prompt_tokens":10,"completion_tokens":25,"total_tokens":35,%s}', 25),
    "no total": ('{"prompt_tokens":10,"completion_tokens":25,%s}', 25),
}
_DETAILS = '"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":20}'


@pytest.mark.parametrize("name", THOUGHTS)
def test_thoughts_are_a_part_of_the_completion(name: str) -> None:
    """In streams, in whole answers that are passed on, for clients of each API, and in what is written on."""
    told, wanted = THOUGHTS[name]
    usage = json.loads(told % _DETAILS)
    assert counts_of(usage) == (10, wanted)
    assert usage_of(b'{"choices":[{}],"usage":%b}' % (told % _DETAILS).encode()) == (10, wanted)
    said = client_streams.chunk({"content": "Hi"}), client_streams.chunk(finish="stop")
    events = client_streams.stream(*said, {"model": "m", "choices": [], "usage": usage}, usage=False)
    message = client_streams.accumulated(client_streams.told(client_streams.messages(), events))
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (7, wanted)
    response = client_streams.finished(client_streams.told(client_streams.responses(), events))
    assert (response["usage"]["output_tokens"], response["usage"]["total_tokens"]) == (wanted, 10 + wanted)
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 20}
    sent = Transcript()
    sent.add(b'data: {"id":"a","created":5,"model":"m","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n')
    splice = Splice(sent, Direct("x"), want_usage=True, told=4)
    last = b'data: {"choices":[{"index":0,"delta":{"content":"y"},"finish_reason":"stop"}]}\n\n'
    out = splice.feed(last + b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n")
    merged_usage = next(json.loads(line[6:])["usage"] for line in out.split(b"\n\n") if b'"usage"' in line)
    assert merged_usage["completion_tokens"] == 1 + wanted
