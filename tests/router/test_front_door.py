"""What clients find before any backend: who this is, which models there are, CORS, and what is wrong with their URL."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import client, steps
from testbed.upstream.client import chat, request
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer

PAGE = "https://chat.example.org"
ASKS = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, x-team",
}


async def plain(router: RunningRouter, head: str) -> bytes:
    """The whole answer to a request without a body."""
    lines = head.replace("\n", "\r\n")
    return await client.raw("127.0.0.1", router.router.listen_port, f"{lines}\r\nhost: h:1\r\n\r\n".encode(), 0.4)


def fields(answer: bytes) -> dict[str, str]:
    lines = answer.split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/"])
async def test_who_this_is(tmp_path: Path, path: str) -> None:
    async with RunningRouter(tmp_path, config(house("http://127.0.0.1:1/v1"))) as router:
        answer = await request(router.url + path)
        assert answer.status == 200 and answer.json["name"] == "genset"
        assert answer.json["base_url"] == router.url + "/v1"
        assert "POST /v1/chat/completions" in answer.json["paths"]
        hostile = await plain(router, f"GET {path} HTTP/1.1\nx-forwarded-proto: https")
        assert b'"base_url":"https://h:1/v1"' in hostile


async def test_health(tmp_path: Path) -> None:
    async with RunningRouter(tmp_path, config(house("http://127.0.0.1:1/v1"))) as router:
        well = await request(router.url + "/health")
        assert (well.status, well.json) == (200, {"status": "ok"})
        assert (await plain(router, "HEAD /health HTTP/1.1")).endswith(b"\r\n\r\n")
        router.router.shared.drain()
        leaving = await request(router.url + "/health")
        assert (leaving.status, leaving.json["reason"]) == (503, "draining")
    async with RunningRouter(tmp_path, "{") as router:
        assert "no configuration" in (await request(router.url + "/health")).json["reason"]


async def test_wrong_urls_are_told_the_right_one(tmp_path: Path) -> None:
    async with RunningRouter(tmp_path, config(house("http://127.0.0.1:1/v1"))) as router:
        for path in ("/chat/completions", "/v1/v1/chat/completions", "/api/v1/chat/completions", "/"):
            answer = await router.ask(chat(), path)
            assert answer.status == 404 and answer.json["error"]["type"] == "caller_unknown_path"
            assert f"must end in /v1 and hold nothing behind it: use {router.url}/v1" in answer.json["error"]["message"]
            assert answer.headers["x-should-retry"] == "false"
        for path, name in (("/v1/responses/resp_1", "keeps none"), ("/v1/videos", "video")):
            told = (await router.ask(chat(), path)).json["error"]["message"]
            assert name in told and "POST /v1/chat/completions" in told
        for path in ("/v1", "/health"):
            assert (await router.ask(chat(), path)).status == 405


async def test_models_are_what_can_be_served(tmp_path: Path) -> None:
    backends = [
        house("http://127.0.0.1:1/v1", "a", model="qwen-9b", contextTokens=8192),
        cloud("http://127.0.0.1:1/v1", "b", model="gpt-5", contextTokens=32768),
        cloud("http://127.0.0.1:1/v1", "c", model="org/gpt-oss"),
        cloud("http://127.0.0.1:1/v1", "d", model="other"),
    ]
    for backend in backends:
        backend.setdefault("model", "x")
    routes: list[dict[str, Any]] = [
        {"name": "named", "match": {"models": ["assistant"]}, "tiers": [[{"backend": "a"}], [{"backend": "b"}]]},
        {"name": "pattern", "match": {"models": ["gpt-*", "org/*"]}, "tiers": [[{"backend": n} for n in "abcd"]]},
        {"name": "headers", "match": {"models": ["gpt-*"], "headers": [{"name": "a", "value": "b"}]}, "tiers": []},
    ]
    async with RunningRouter(tmp_path, config(*backends, routes=routes)) as router:
        listed = {m["id"]: m for m in (await request(router.url + "/v1/models")).json["data"]}
        assert list(listed) == ["assistant", "gpt-5", "org/gpt-oss"]
        can = listed["assistant"].pop("capabilities")
        assert can["tools"] and can["vision"], "the cloud may have it"
        assert listed["assistant"] == {
            "id": "assistant", "object": "model", "created": 0, "owned_by": "genset", "context_length": 32768,
        }  # fmt: skip
        assert (await request(router.url + "/v1/models/org/gpt-oss")).json == listed["org/gpt-oss"]
        nobody = await request(router.url + "/v1/models/nobody")
        assert nobody.status == 404 and "models: assistant, gpt-5" in nobody.json["error"]["message"]
    (tmp_path / "any").mkdir()
    anything = [{"name": "all", "match": {}, "tiers": [[{"backend": "c"}], [{"backend": "d"}]]}]
    async with RunningRouter(tmp_path / "any", config(*backends, routes=anything)) as router:
        listed = (await request(router.url + "/v1/models")).json["data"]
        assert [model["id"] for model in listed] == ["org/gpt-oss", "other"]
        assert "context_length" not in listed[0], "nobody knows it"


async def test_cors_is_off_by_default(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        asked = await plain(
            router, f"OPTIONS /v1/chat/completions HTTP/1.1\norigin: {PAGE}\naccess-control-request-method: POST"
        )
        assert asked.startswith(b"HTTP/1.1 405 ") and b"router.cors.allowedOrigins" in asked
        answer = await router.ask(chat(), headers={"origin": PAGE})
        assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(("allowed", "sent"), [([PAGE, "http://localhost:3000"], PAGE), (["*"], "*")])
async def test_pages_that_may_call(tmp_path: Path, allowed: list[str], sent: str) -> None:
    async with ScriptedUpstream([steps.invalid_request()]) as local:
        content = {**config(house(local.base_url)), "cors": {"allowedOrigins": allowed}}
        async with RunningRouter(tmp_path, content) as router:
            head = "\n".join(f"{name}: {value}" for name, value in ASKS.items())
            for path in ("/v1/chat/completions", "/v1/models", "/nowhere"):
                asked = await plain(router, f"OPTIONS {path} HTTP/1.1\n{head}")
                told = fields(asked)
                assert asked.startswith(b"HTTP/1.1 204 No Content\r\n") and b"content-length" not in asked
                assert (
                    told["access-control-allow-origin"] == sent and told["access-control-allow-methods"] == "GET, POST"
                )
                assert told["access-control-allow-headers"] == "authorization, x-team"
                assert told["access-control-max-age"] == "3600" and "x-request-id" in told
                assert told.get("vary") == (None if sent == "*" else "origin")
            origin = {"origin": PAGE}
            answers = [
                await router.ask(chat(), headers=origin),  # refused by the backend
                await router.ask(chat(), headers=origin),
                await router.ask(chat(stream=False), headers=origin),
                await router.ask(chat(model="nobody"), headers=origin),
                await router.ask(b"{", headers=origin),
                await request(router.url + "/v1/models", headers=origin),
                await request(router.url + "/nowhere", headers=origin),
            ]
            assert [answer.status for answer in answers] == [400, 200, 200, 404, 400, 200, 404]
            broken = await client.raw(
                "127.0.0.1",
                router.router.listen_port,
                f"GET / HTTP/1.1\r\norigin: {PAGE}\r\naccept: a\r\naccept: b\r\nb@d header\r\n\r\n".encode(),
                0.4,
            )
            assert broken.startswith(b"HTTP/1.1 400 ")
            for headers in (*(answer.headers for answer in answers), fields(broken)):
                assert headers["access-control-allow-origin"] == sent
                exposed = headers["access-control-expose-headers"].split(", ")
                assert {"x-request-id", "retry-after", "x-genset-backend", "x-genset-error"} <= set(exposed)
                assert "access-control-allow-credentials" not in headers


async def test_pages_that_may_not_call(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local:
        content = {**config(house(local.base_url)), "cors": {"allowedOrigins": [PAGE]}}
        async with RunningRouter(tmp_path, content) as router:
            for origin in (
                "https://evil.example",
                PAGE + ".evil.example",
                PAGE.upper(),
                "null",
                "http://chat.example.org",
            ):
                asked = await plain(
                    router, f"OPTIONS /v1/models HTTP/1.1\norigin: {origin}\naccess-control-request-method: GET"
                )
                answer = await router.ask(chat(), headers={"origin": origin})
                for headers in (fields(asked), answer.headers):
                    assert "access-control-allow-origin" not in headers and headers["vary"] == "origin"
            hostile = "a" * 2000
            asked = await plain(
                router,
                f"OPTIONS /v1/models HTTP/1.1\norigin: {PAGE}\naccess-control-request-method: GET\n"
                f"access-control-request-headers: {hostile}",
            )
            assert fields(asked)["access-control-allow-headers"] == "authorization, content-type"


async def test_a_stream_that_was_opened_early_is_for_the_page_too(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Answer(first_delay=12)) as local:
        content = {**config(house(local.base_url)), "cors": {"allowedOrigins": [PAGE]}}
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(chat(), headers={"origin": PAGE})
    assert answer.complete and b": working\n" in answer.body
    assert answer.headers["access-control-allow-origin"] == PAGE


async def test_it_introduces_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "genset")
    async with RunningRouter(tmp_path, config(house("http://127.0.0.1:1/v1"))) as router:
        await until(lambda: f"base URL for clients: {router.url}/v1" in caplog.text)
    assert "route route: counting -> house" in caplog.text and "admin: http://127.0.0.1:" in caplog.text
    assert json.dumps(caplog.text).count("base URL for clients") == 1


async def test_on_a_laptop_it_says_so_readably(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: genset.dev/v1alpha1\nkind: RoutePolicy\nmetadata: {name: assistant, namespace: models}\n"
        "spec:\n  backends:\n  - {name: house, deployment: {name: small}}\n"
        "  routes:\n  - {name: all, match: {models: [assistant]}, tiers: [{backends: [{name: house}]}]}\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "genset", "router", "-f", str(policy), "--endpoint", "small=http://127.0.0.1:1",
        "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--access-log", "off",
        stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stderr is not None
    told: list[str] = []
    async with asyncio.timeout(20):
        while not told or not told[-1].startswith("  backend house"):
            line = (await process.stderr.readline()).decode()
            assert line, told
            told.append(line)
    process.terminate()
    await process.wait()
    text = "".join(told)
    assert "\n  base URL for clients: http://127.0.0.1:" in text and "\n  route all: assistant -> house\n" in text
    assert "  backend house (house): model small at http://127.0.0.1:1/v1" in text
