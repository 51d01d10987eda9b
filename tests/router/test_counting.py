"""How many tokens a prompt has is asked of a backend that tells it for nothing; only else it is estimated, and that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Status, server_error

MESSAGES: dict[str, Any] = {"model": "counting", "messages": [{"role": "user", "content": "count to five"}]}
RESPONSES: dict[str, Any] = {"model": "counting", "input": "count to five"}
PATHS = {"messages": ("/v1/messages/count_tokens", MESSAGES), "responses": ("/v1/responses/input_tokens", RESPONSES)}


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("counted", [{"count": 42, "max_model_len": 8192, "tokens": [1]}, {"tokens": list(range(42))}])
async def test_an_engine_of_the_house_counts(tmp_path: Path, api: str, counted: dict[str, Any]) -> None:
    """vLLM by the model's template, llama-server by the text."""
    path, body = PATHS[api]
    async with ScriptedUpstream(default=Status(200, counted)) as local, ScriptedUpstream() as away:
        content = config(cloud(away.base_url), house(local.base_url))
        async with RunningRouter(tmp_path, content, log=tmp_path / "log") as router:
            answer = await router.ask(body, path)
    assert answer.json["input_tokens"] == 42 and "x-genset-estimated" not in answer.headers, answer
    assert not away.requests and local.requests[0].path == "/tokenize"
    asked = local.requests[0].json
    assert asked["model"] == "small" and asked["content"] == "count to five" and "max_tokens" not in asked
    assert asked["messages"] == [{"role": "user", "content": "count to five"}]
    assert f'"POST {path}"' in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("api", "provider", "url", "asked"),
    [
        ("messages", "anthropic", {}, "/v1/messages/count_tokens"),
        ("responses", "openai", {"api": "Responses"}, "/v1/responses/input_tokens"),
    ],
)
async def test_a_server_of_the_clients_own_api_counts(
    tmp_path: Path, api: str, provider: str, url: dict[str, Any], asked: str
) -> None:
    path, body = PATHS[api]
    hosted = {**body, "tools": [{"type": "web_search_20260318", "name": "web_search"}]} if api == "messages" else body
    async with (
        ScriptedUpstream(default=Status(200, {"input_tokens": 77})) as away,
        RunningRouter(tmp_path, config(cloud(away.base_url, provider=provider, url=url))) as router,
    ):
        answer = await router.ask(hosted, path, headers={"anthropic-beta": "x"})
    assert answer.json["input_tokens"] == 77 and "x-genset-estimated" not in answer.headers, answer
    assert away.requests[0].path == asked and away.requests[0].json == {**hosted, "model": "large"}
    assert provider != "anthropic" or away.requests[0].headers["anthropic-beta"] == "x"


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("step", [server_error(), Status(404, {"detail": "Not Found"}), Status(200, {"x": 1})])
async def test_else_it_is_estimated_and_said(tmp_path: Path, api: str, step: Status) -> None:
    path, body = PATHS[api]
    async with (
        ScriptedUpstream(default=step) as local,
        ScriptedUpstream() as away,
        RunningRouter(tmp_path, config(house(local.base_url), cloud(away.base_url))) as router,
    ):
        answer = await router.ask(body, path)
        assert answer.status == 200 and answer.json["input_tokens"] == 3, answer
        assert answer.headers["x-genset-estimated"] == "true" and not away.requests
        unknown = await router.ask({**body, "model": "none"}, path)
        assert unknown.status == 404, unknown
