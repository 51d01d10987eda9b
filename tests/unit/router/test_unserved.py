"""What a 404 says."""

from __future__ import annotations

import pytest

from genset.router.routing.unserved import what_is_wrong

URL = "http://router:8080/v1"
BASE = f"the base URL must end in /v1 and hold nothing behind it: use {URL}"


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions", "/completions", "/embeddings", "/models", "/models/qwen", "/", "/v1/v1/chat/completions",
        "/api/v1/chat/completions", "/openai/v1/models", "/v1/chat/completions/chat/completions", "/v1//chat/completions",
        "/openai/deployments/gpt/chat/completions", "//v1/chat/completions", "/v1/v1/models",
    ],
)  # fmt: skip
def test_a_wrong_base_url(path: str) -> None:
    assert what_is_wrong(path, URL) == BASE


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/responses/resp_1", "this router keeps none"),
        ("/v1/responses/resp_1/cancel", "this router keeps none"),
        ("/v1/messages/batches", "Anthropic's batches"),
        ("/v1/audio/voices", "audio"),
        ("/v1/images/variations", "images"),
        ("/v1/reranking", "reranking"),
        ("/v1/files", "files"),
        ("/v1/threads", "assistants"),
        ("/v1/realtime", "Realtime"),
        ("/api/chat", "Ollama's own API"),
        ("/api/tags", "Ollama's own API"),
        ("/v1beta/models/gemini-2.5:generateContent", "the Gemini API"),
        ("/props", "an engine's own API"),
    ],
)
def test_another_api(path: str, name: str) -> None:
    told = what_is_wrong(path, URL)
    assert name in told and "is not served here; served are POST /v1/chat/completions" in told


def test_other_paths() -> None:
    assert "ends with a slash" in what_is_wrong("/v1/chat/completions/", URL)
    for path in ("/metrics", "/-/state", "/favicon.ico", "", "/v2", "\xff" * 1000):
        told = what_is_wrong(path, URL)
        assert told.startswith("this path is not served; served are") and URL in told
