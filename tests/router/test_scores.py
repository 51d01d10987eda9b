"""Requests for scores and moderation are routed by their model, and failed over like any other that is no stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream import steps
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Raw

USAGE = {"prompt_tokens": 4, "total_tokens": 4}
RESULTS: dict[str, Any] = {"model": "large", "usage": USAGE, "results": [{"index": 0, "relevance_score": 0.5}]}
SCORES: dict[str, Any] = {"object": "list", "data": [{"index": 0, "object": "score", "score": 0.5}], "usage": USAGE}
RERANK = {"query": "q", "documents": ["a"]}

CALLS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "/v1/rerank": ("/v1/rerank", RERANK, RESULTS),
    "/rerank": ("/v1/rerank", RERANK, RESULTS),
    "/v2/rerank": ("/v1/rerank", RERANK, RESULTS),
    "/v1/score": ("/v1/score", {"text_1": "a", "text_2": "b"}, SCORES),
    "/v1/moderations": (
        "/v1/moderations",
        {"input": "a"},
        {"id": "m", "results": [{"flagged": False, "categories": {}}]},
    ),
}


@pytest.mark.parametrize("path", CALLS)
async def test_scores_fail_over(tmp_path: Path, path: str) -> None:
    asked_at, body, answer = CALLS[path]
    text = json.dumps(answer).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(text)
    seen: list[str] = []

    def answers(received: Any) -> Raw | None:
        if received.method != "POST":
            return None
        seen.append(received.path)
        return Raw(head + text, "continue")

    async with (
        ScriptedUpstream(default=steps.server_error()) as local,
        ScriptedUpstream(choose=answers) as away,
        RunningRouter(tmp_path, config(house(local.base_url), cloud(away.base_url))) as router,
    ):
        got = await router.ask({"model": "counting", **body}, path)
    assert (got.status, got.json) == (200, answer) and got.headers["x-genset-backend"] == "cloud"
    assert seen == [asked_at]


async def test_a_model_is_named(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        got = await router.ask({"input": "a"}, "/v1/moderations")
    assert got.status == 400 and got.json["error"]["type"] == "caller_missing_model"
