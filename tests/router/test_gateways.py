"""What a provider or a gateway wants to be told goes with each request, and nothing of it comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genset.router.process.options import Bounds
from genset.router.watch.verify import VerifyTimeouts
from testbed.router import RunningRouter, cloud, config
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Status, error_body

KEY, TENANT = "azure-key-0123456789", "tenant-secret-0123456789"
FILES = {"b.key": KEY.encode(), "b.header": f"{TENANT}\n".encode()}

OFTEN = Bounds(verify=VerifyTimeouts(look=0.1))


def backend(upstream: ScriptedUpstream, provider: str, path: str = "/v1", **url: Any) -> dict[str, Any]:
    target = {"baseUrl": upstream.url + path, "provider": provider, "keyFile": "b.key", **url}
    return cloud(upstream.base_url, provider=provider) | {"url": target}


@pytest.mark.parametrize(
    ("provider", "url", "header", "value"),
    [
        ("openai", {}, "authorization", f"Bearer {KEY}"),
        ("azureOpenAI", {}, "api-key", KEY),
        ("azureOpenAI", {"keyHeader": "Authorization"}, "authorization", f"Bearer {KEY}"),
        ("portkey", {}, "x-portkey-api-key", KEY),
        ("openAICompatible", {"keyHeader": "XApiKey"}, "x-api-key", KEY),
        ("openAICompatible", {"keyHeader": "ApiKey"}, "api-key", KEY),
    ],
)
async def test_the_key_stands_in_one_header(
    tmp_path: Path, provider: str, url: dict[str, Any], header: str, value: str
) -> None:
    mine = {"authorization": "Bearer mine", "api-key": "mine"}
    async with (
        ScriptedUpstream() as upstream,
        RunningRouter(tmp_path, config(backend(upstream, provider, **url)), FILES) as router,
    ):
        assert (await router.ask(chat(), headers=mine)).complete
    asked = upstream.requests[0].headers
    assert asked[header] == value
    assert not {"authorization", "api-key", "x-api-key", "x-portkey-api-key"} & asked.keys() - {header}


async def test_azures_older_paths(tmp_path: Path) -> None:
    way = {"query": "api-version=2024-10-21"}
    async with ScriptedUpstream() as upstream:
        content = config(backend(upstream, "azureOpenAI", "/openai/deployments/gpt%20prod", **way))
        async with RunningRouter(tmp_path, content, FILES) as router:
            assert (await router.ask(chat(max_tokens=5))).complete
            (only,) = router.table.backends.values()
            assert only.target.probe_path == "/openai/models?api-version=2024-10-21"
    assert upstream.requests[0].path == "/openai/deployments/gpt%20prod/chat/completions?api-version=2024-10-21"
    assert upstream.requests[0].json["max_completion_tokens"] == 5


async def test_headers_go_there_and_their_secrets_nowhere_else(tmp_path: Path) -> None:
    headers = [{"name": "x-team", "value": "gold"}, {"name": "x-tenant", "file": "b.header"}]
    quoted = Status(400, error_body(f"tenant {TENANT} of key {KEY} is no good", "invalid_request_error"))
    async with (
        ScriptedUpstream(script=[quoted]) as upstream,
        RunningRouter(tmp_path, config(backend(upstream, "openAICompatible", headers=headers)), FILES) as router,
    ):
        refused = await router.ask(chat(), headers={"x-team": "lead", "x-tenant": "another"})
        assert refused.status == 400 and TENANT not in refused.body.decode() and KEY not in refused.body.decode()
        shown = (await router.admin("/-/state")).body + (await router.admin("/-/config")).body
        assert TENANT.encode() not in shown and KEY.encode() not in shown
    asked = upstream.requests[0].headers
    assert asked["x-team"] == "gold" and asked["x-tenant"] == TENANT


async def test_a_header_without_its_file_refuses_the_configuration(tmp_path: Path) -> None:
    headers = [{"name": "x-tenant", "file": "missing.header"}]
    async with (
        ScriptedUpstream() as upstream,
        RunningRouter(tmp_path, config(backend(upstream, "openAICompatible", headers=headers)), FILES) as router,
    ):
        assert router.config_error is not None and "missing.header" in router.config_error


@pytest.mark.parametrize("stream", [True, False])
async def test_the_policys_fields_are_in_every_request(tmp_path: Path, stream: bool) -> None:
    body = {"provider": {"data_collection": "deny"}, "models": ["large", "small"]}
    theirs = {"provider": {"data_collection": "allow", "only": ["a"]}, "models": ["dear"]}
    async with (
        ScriptedUpstream() as upstream,
        RunningRouter(tmp_path, config(backend(upstream, "openRouter", body=body)), FILES) as router,
    ):
        answer = await router.ask(chat(stream=stream, **theirs))
    assert answer.complete and answer.headers["x-genset-dropped"] == "models"
    asked = upstream.requests[0].json
    assert asked["provider"] == {"data_collection": "deny", "only": ["a"]} and asked["models"] == ["large", "small"]


async def test_openrouter_is_asked_for_its_key_while_it_is_down(tmp_path: Path) -> None:
    """Its list of models needs no key, so it says nothing of one."""
    async with (
        ScriptedUpstream(default=Status(500)) as upstream,
        RunningRouter(tmp_path, config(backend(upstream, "openRouter")), FILES, bounds=OFTEN) as router,
    ):
        for _ in range(10):
            await router.ask(chat())
        await upstream.until(lambda: bool(upstream.probes))
        asked = upstream.probes[0]
        assert asked.path == "/v1/key" and asked.headers["authorization"] == f"Bearer {KEY}"


async def test_what_a_provider_cannot_do_is_asked_elsewhere(tmp_path: Path) -> None:
    async with ScriptedUpstream() as first, ScriptedUpstream() as second:
        content = config(backend(first, "groq") | {"name": "groq"}, cloud(second.base_url))
        async with RunningRouter(tmp_path, content, FILES) as router:
            assert (await router.ask(chat(n=2, stream=False))).headers["x-genset-backend"] == "cloud"
            plain = await router.ask(chat(logit_bias={"1": 1}))
            assert plain.headers["x-genset-backend"] == "groq" and plain.headers["x-genset-dropped"] == "logit_bias"
    assert len(first.requests) == 1 and "logit_bias" not in first.requests[0].json
