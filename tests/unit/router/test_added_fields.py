"""Fields that the router adds or renames: which of them a refusal means."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.router.backends.credentials import Credentials
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.backends.target import Target
from genset.router.dialects.openai.api import Api
from genset.router.exchange.payload import body_for
from genset.router.machine.added_fields import added_to, features_of, refused_field, refused_for, remember, sent_name
from testbed.router_config import made

ALL = ["stream_options", "max_tokens", "max_completion_tokens", "stream"]


def refusal(
    message: str, param: str | None = None, outcome: Outcome = Outcome.REJECTED, code: str | None = None
) -> Failure:
    body = json.dumps({"error": {"message": message, "param": param, "code": code}}).encode()
    return Failure(outcome, "answered 400", 400, body=body)


def pydantic(kind: str, place: str, message: str) -> Failure:
    said = {"object": "error", "message": {"detail": [{"type": kind, "loc": ["body", place], "msg": message}]}}
    return Failure(Outcome.UNSUPPORTED, "answered 422", 422, body=json.dumps(said).encode())


@pytest.mark.parametrize(
    ("failure", "field"),
    [
        (refusal("Unknown parameter: 'stream_options'.", "stream_options"), "stream_options"),
        (refusal("Unknown parameter: 'stream_options'."), "stream_options"),
        (refusal("extra fields", "stream_options.include_usage"), "stream_options"),
        (refusal("streaming is not supported"), "stream"),
        (refusal("no", "stream"), "stream"),
        (refusal("this is a stream of consciousness", "messages"), ""),
        (refusal("Unsupported parameter: 'max_tokens' is not supported with this model."), "max_tokens"),
        (refusal("max_completion_tokens: Extra inputs are not permitted"), "max_completion_tokens"),
        (refusal("max_tokens is too large: 32768"), ""),
        (refusal("streaming is not supported", outcome=Outcome.CONTENT_FILTER), ""),
        (refusal("temperature must be between 0 and 2"), ""),
        (refusal("max_tokens must be at least 1", "max_tokens"), ""),
        (refusal("max_tokens must be at least 1", "max_tokens", code="integer_below_min_value"), ""),
        (refusal("max_completion_tokens must be at least 1"), ""),
        (refusal("max_tokens: 99999 is more than the supported 4096"), ""),
        (refusal("no", "max_tokens", code="unsupported_parameter"), "max_tokens"),
        (refusal("no", "max_tokens", code="unknown_parameter"), "max_tokens"),
        (refusal("Unrecognized request argument supplied: max_completion_tokens"), "max_completion_tokens"),
        (refusal("Use 'max_completion_tokens' instead of max_tokens.", "max_tokens"), "max_tokens"),
        (refusal("Streaming is not allowed for this key", outcome=Outcome.DENIED), "stream"),
        (refusal("Request blocked", outcome=Outcome.DENIED), ""),
        (refusal("Cannot use tools with stream", outcome=Outcome.UNSUPPORTED), "stream"),
        (refusal("streaming is not supported", outcome=Outcome.SERVER_ERROR), "stream"),
        (refusal("the stream was reset by its peer", outcome=Outcome.SERVER_ERROR), ""),
        (refusal("unexpected end of stream", outcome=Outcome.INVALID_RESPONSE), ""),
        (refusal("unknown parameter stream_options", outcome=Outcome.INVALID_RESPONSE), "stream_options"),
        (pydantic("extra_forbidden", "stream_options", "Extra inputs are not permitted"), "stream_options"),
        (
            pydantic("extra_forbidden", "max_completion_tokens", "Extra inputs are not permitted"),
            "max_completion_tokens",
        ),
        (pydantic("greater_than_equal", "max_tokens", "Input should be greater than or equal to 0"), ""),
        (pydantic("extra_forbidden", "seed", "Extra inputs are not permitted"), ""),
    ],
)
def test_which_field_a_refusal_means(failure: Failure, field: str) -> None:
    assert refused_field(failure, ALL) == field


def test_a_field_of_the_clients_own_is_his() -> None:
    request = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    assert added_to(request, {}, streamed=True, usage=True, refused=()) == []
    assert added_to({"model": "m"}, {}, streamed=True, usage=True, refused=()) == ["stream_options", "stream"]
    assert added_to({"model": "m"}, {}, streamed=True, usage=True, refused=("stream_options",)) == ["stream"]


def test_a_bound_has_two_names_and_goes_no_further() -> None:
    assert sent_name("max_tokens", ()) == "max_tokens"
    assert sent_name("max_tokens", ("max_tokens",)) == "max_completion_tokens"
    assert sent_name("max_tokens", ("max_tokens", "max_completion_tokens")) == "max_tokens"


PLAIN: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 5,
    "seed": 1,
    "n": 1,
}
FEATURES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    (
        {"tools": [], "logprobs": False, "audio": None, "response_format": {"type": "text"}, "modalities": ["text"]},
        set(),
    ),
    ({"tools": [{}], "tool_choice": "auto"}, {"tools", "tool_choice"}),
    ({"functions": [{}]}, {"functions"}),
    ({"n": 2, "best_of": 3}, {"n", "best_of"}),
    ({"response_format": {"type": "json_object"}}, {"response_format"}),
    ({"modalities": ["text", "audio"], "audio": {"voice": "x"}}, {"modalities", "audio"}),
    ({"logprobs": True, "top_logprobs": 2}, {"logprobs", "top_logprobs"}),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, set()),
    ({"messages": [7, {"content": [{"type": "image_url"}]}]}, {"parts of messages"}),
    ({"some_servers_own": 1}, {"some_servers_own"}),
    ({"x" * 1000: 1}, {"x" * 64}),
]


@pytest.mark.parametrize(("more", "features"), FEATURES, ids=[str(row[0])[:60] for row in FEATURES])
def test_what_a_request_wants_besides_a_plain_answer(more: dict[str, Any], features: set[str]) -> None:
    assert features_of({**PLAIN, **more}) == features


def test_what_a_caller_names_is_bounded() -> None:
    refused: dict[str, list[frozenset[str]]] = {}
    for n in range(100):
        remember(refused, ["stream"], features_of({f"{n}-{i}-{'x' * 100}": 1 for i in range(1000)}))
    assert sum(len(name) for kinds in refused["stream"] for name in kinds) <= 16 * 16 * 64


@pytest.mark.parametrize(
    ("refused_to", "asks", "left_out"),
    [
        ({}, {}, True),
        ({}, {"tools": [{}]}, True),
        ({"tools": [{}]}, {}, False),
        ({"tools": [{}]}, {"tools": [{}]}, True),
        ({"tools": [{}]}, {"tools": [{}], "n": 2}, True),
        ({"tools": [{}], "n": 2}, {"tools": [{}]}, False),
        ({"foo": 1}, {"bar": 1}, False),
    ],
)
def test_a_refusal_counts_for_who_wants_no_less(
    refused_to: dict[str, Any], asks: dict[str, Any], left_out: bool
) -> None:
    refused: dict[str, list[frozenset[str]]] = {}
    remember(refused, ["stream"], features_of({**PLAIN, **refused_to}))
    assert ("stream" in refused_for({**PLAIN, **asks}, refused)) is left_out
    remember(refused, ["stream"], features_of(PLAIN))
    assert refused == {"stream": [frozenset()]}, "a plain request speaks for all"
    remember(refused, ["stream"], features_of({**PLAIN, "tools": [{}]}))
    assert refused == {"stream": [frozenset()]}


@pytest.mark.parametrize(
    ("refused", "more", "wanted"),
    [
        ((), {}, {"stream": True, "stream_options": {"include_usage": True}}),
        (("stream_options",), {}, {"stream": True}),
        (("max_tokens",), {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ((), {"max_tokens": 5}, {"max_tokens": 5}),
        (("max_tokens",), {"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 5, "max_completion_tokens": 6}),
    ],
)
def test_a_body_without_them(refused: tuple[str, ...], more: dict[str, Any], wanted: dict[str, Any]) -> None:
    url = UrlTarget(base_url="http://cloud.test/v1", provider="openAICompatible")
    target = Target(made(BackendConfig, name="c", kind="cloud", model="m", url=url), Credentials({}, "-"))
    request = {"model": "m", "messages": [], **more}
    raw = orjson.dumps(request)
    sent = orjson.loads(body_for(target, Api.CHAT, request, raw, True, refused))
    bounds = {key: sent[key] for key in wanted}
    assert bounds == wanted
    assert ("stream_options" in sent) is ("stream_options" not in refused)
