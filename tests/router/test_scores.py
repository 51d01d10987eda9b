"""Requests for scores and moderation are routed by their model, and failed over like any other that is no stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream import steps
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Raw, Status
from tests.support.router.consumers import access, bearer, consumer, keys

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


JUDGED = {"id": "m", "model": "omni-moderation-latest", "results": [{"flagged": False, "categories": {}}]}


@pytest.mark.parametrize(
    ("routes", "asked"),
    [
        (
            {"chat": "m-1", "omni-moderation-latest": "omni-moderation-latest", "mistral-moderation": "m-2"},
            "omni-moderation-latest",
        ),
        ({"chat": "m-1", "safety": "omni-moderation-2024-09-26"}, "omni-moderation-2024-09-26"),
        ({"chat": "m-1", "Moderation": "m-2"}, "m-2"),
    ],
)
async def test_a_moderation_may_leave_its_model_to_the_only_one(
    tmp_path: Path, routes: dict[str, str], asked: str
) -> None:
    """OpenAI's libraries send none: the model is optional there, and nowhere else."""
    async with ScriptedUpstream(default=Status(200, JUDGED)) as upstream:
        content = _moderating(upstream, routes)
        async with RunningRouter(tmp_path, content) as router:
            got = await router.ask({"input": "a", "model": None}, "/v1/moderations")
            bare = await router.ask({"input": "a"}, "/v1/moderations")
            chat = await router.ask({"messages": []}, "/v1/chat/completions")
    assert (got.status, bare.status, got.json) == (200, 200, JUDGED), got
    assert [one.json for one in upstream.requests] == [{"input": "a", "model": asked}] * 2
    assert chat.status == 400 and chat.json["error"]["type"] == "caller_missing_model", chat


def _moderating(upstream: ScriptedUpstream, routes: dict[str, str]) -> dict[str, Any]:
    named = {f"b{n}": models for n, models in enumerate(routes.items())}
    return config(
        *(cloud(upstream.base_url, name) | {"model": model} for name, (_, model) in named.items()),
        routes=[
            {"name": f"r{name}", "match": {"models": [asked]}, "tiers": [[{"backend": name}]]}
            for name, (asked, _) in named.items()
        ],
    )


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ({"chat": "m-1"}, "none is known to moderate; models: chat"),
        ({"a-moderation": "m-1", "b": "text-moderation-stable"}, "several moderate: a-moderation, b"),
    ],
)
async def test_a_moderation_that_could_mean_several_models_is_told_them(
    tmp_path: Path, routes: dict[str, str], words: str
) -> None:
    async with ScriptedUpstream() as upstream, RunningRouter(tmp_path, _moderating(upstream, routes)) as router:
        got = await router.ask({"input": "a"}, "/v1/moderations")
    assert got.status == 400 and got.json["error"]["type"] == "caller_missing_model", got
    assert words in got.json["error"]["message"] and not upstream.requests


async def test_a_consumer_means_the_only_model_that_it_may_name(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Status(200, JUDGED)) as upstream:
        content = _moderating(upstream, {"a-moderation": "m-1", "b-moderation": "m-2", "omni-moderation-latest": "m-3"})
        content["access"] = access(consumer("lab", models=["b-*"]))
        async with RunningRouter(tmp_path, content, keys()) as router:
            got = await router.ask({"input": "a"}, "/v1/moderations", headers=bearer("lab"))
    assert got.status == 200 and upstream.requests[0].json["model"] == "m-2", got
