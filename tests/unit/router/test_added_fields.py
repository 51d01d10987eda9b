"""Fields that the router adds or renames: which of them a refusal means."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from genset.router.added_fields import added_to, refused_field, sent_name
from genset.router.backend import Backend
from genset.router.config import BackendConfig, UrlTarget
from genset.router.credentials import Credentials
from genset.router.outcome import Failure, Outcome
from genset.router.wire.payload import Api, body_for

ALL = ["stream_options", "max_tokens", "max_completion_tokens", "stream"]


def refusal(message: str, param: str | None = None, outcome: Outcome = Outcome.REJECTED) -> Failure:
    body = json.dumps({"error": {"message": message, "param": param}}).encode()
    return Failure(outcome, "answered 400", 400, body=body)


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
@pytest.mark.parametrize("known", [True, False])
def test_a_body_without_them(
    refused: tuple[str, ...], more: dict[str, Any], wanted: dict[str, Any], known: bool
) -> None:
    target = UrlTarget(base_url="http://cloud.test/v1", provider="openAICompatible")
    backend = Backend(BackendConfig(name="c", kind="cloud", model="m", url=target), Credentials({}, "-"), lambda: 0.5)
    if known:
        backend.refused_fields |= set(refused)
    request = {"model": "m", "messages": [], **more}
    raw = orjson.dumps(request)
    sent = orjson.loads(body_for(backend, Api.CHAT, request, raw, True, () if known else refused))
    bounds = {key: sent[key] for key in wanted}
    assert bounds == wanted
    assert ("stream_options" in sent) is ("stream_options" not in refused)
