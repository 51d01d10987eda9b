"""A server elsewhere, and what counts as a real answer of any engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.api.engines import FIELDS
from genset.api.modeldeployment import ModelDeployment
from genset.engines import ENGINES, engine_of, managed_engine_of
from genset.engines.base import answer_failure


def external(url: str) -> ModelDeployment:
    return ModelDeployment.model_validate(
        {"metadata": {"name": "desk"}, "spec": {"engine": "external", "external": {"url": url}}}
    )


@pytest.mark.parametrize(
    ("url", "base", "health"),
    [
        ("http://10.0.0.7:1234", "http://10.0.0.7:1234/v1", "/v1/models"),
        ("http://10.0.0.7:1234/", "http://10.0.0.7:1234/v1", "/v1/models"),
        ("https://desk.example/openai", "https://desk.example/openai/v1", "/openai/v1/models"),
        ("https://desk.example/v1/", "https://desk.example/v1", "/v1/models"),
    ],
)
def test_urls(url: str, base: str, health: str) -> None:
    engine = engine_of(external(url))
    assert engine.base_url(external(url)) == base
    assert engine.health_path(external(url)) == health
    assert engine.completion(external(url)).url == f"{base}/chat/completions"


def test_a_server_may_have_a_health_path_of_its_own() -> None:
    of = ModelDeployment.model_validate(
        {
            "metadata": {"name": "desk"},
            "spec": {
                "engine": "external",
                "task": "Embeddings",
                "external": {"url": "http://desk.example/openai", "healthPath": "/healthz"},
            },
        }
    )
    assert engine_of(of).health_path(of) == "/healthz"
    assert engine_of(of).completion(of).url == "http://desk.example/openai/v1/embeddings"


def test_an_external_server_is_not_managed() -> None:
    assert managed_engine_of(external("http://a")) is None


def test_every_engine_is_registered_under_its_own_name() -> None:
    """Both registries: the one of the spec's settings, and the one of behaviour."""
    assert list(ENGINES) == list(FIELDS)


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (200, body(choices=[{"finish_reason": "length"}]), None),
        (200, body(data=[{"embedding": [0.1]}]), None),
        (200, body(results=[{"index": 0}]), None),
        (200, body(choices=[]), "without choices"),
        (200, body(error={"message": "no slot"}), "no slot"),
        (200, b"<html>hello</html>", "without a JSON object"),
        (200, b"", "empty body"),
        (501, body(error={"code": 501, "message": "This server does not support chat"}), "501: This server does not"),
        (502, b"<h1>Bad\n gateway</h1>", "502: <h1>Bad gateway</h1>"),
        (401, body(error="no key"), "401: no key"),
        (500, b"\xff\xfe", "500"),
        (500, b"x" * 10_000, "…"),
    ],
)
def test_what_counts_as_an_answer(status: int, answer: bytes, words: str | None) -> None:
    failure = answer_failure(status, answer)
    if words is None:
        assert failure is None
    else:
        assert failure is not None and words in failure
        assert len(failure) < 300, "a condition is for reading"


@given(st.integers(100, 599), st.binary(max_size=200))
def test_no_answer_breaks_the_check(status: int, answer: bytes) -> None:
    failure = answer_failure(status, answer)
    assert failure is None or failure
