"""A backend that lacks what a request needs is never asked; the answer tells the model as the route says."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house, pods, until
from testbed.upstream.client import chat, request
from testbed.upstream.scripted import Choose, ScriptedUpstream
from testbed.upstream.steps import Status
from tests.support.router.names import Names, free_port, pod

PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}]
ANTHROPIC = [
    {
        "role": "user",
        "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}],
    }
]
RESPONSES = [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,aGk="}]}]
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", chat(messages=PICTURE)),
    "messages": ("/v1/messages", {"model": "counting", "max_tokens": 99, "messages": ANTHROPIC}),
    "responses": ("/v1/responses", {"model": "counting", "input": RESPONSES}),
}


@pytest.mark.parametrize("api", ASKED)
async def test_who_lacks_it_is_never_asked(tmp_path: Path, api: str) -> None:
    path, body = ASKED[api]
    async with ScriptedUpstream() as blind, ScriptedUpstream() as sees:
        both = config(house(blind.base_url), cloud(sees.base_url), failover={"toCloudOn": ["Unsupported"]})
        async with RunningRouter(tmp_path, both) as router:
            answer = await router.ask(body, path)
            assert answer.status == 200 and answer.headers["x-genset-backend"] == "cloud", answer
            assert (await router.ask(chat())).headers["x-genset-backend"] == "house"
            models = (await request(router.url + "/v1/models")).json["data"]
            assert models[0]["capabilities"]["vision"] is True
        assert len(blind.requests) == 1
        async with RunningRouter(tmp_path, config(house(blind.base_url))) as router:
            refused = await router.ask(body, path)
            models = (await request(router.url + "/v1/models")).json["data"]
            assert models[0]["capabilities"]["vision"] is False and models[0]["capabilities"]["tools"] is True
        assert len(blind.requests) == 1 and refused.status == 400, refused
        message = refused.json["error"]["message"]
        assert "needs vision" in message and "house lacks vision" in message, message
        assert refused.headers["x-genset-error"] == "policy_capability"
        said = house(blind.base_url, capabilities={"vision": True})
        async with RunningRouter(tmp_path, config(said)) as router:
            assert (await router.ask(body, path)).status == 200


#: A template stands behind it, with words that look like it, and makes the answer longer than what is read of it.
TEMPLATE = json.dumps({"chat_template": '{"modalities": {"vision": true}}' + "x" * 100_000})[1:]
#: What a server says at /props -> what is asked of its model then, where the policy says nothing.
TOLD: dict[str, tuple[Status, set[str]]] = {
    "it sees": (Status(200, '{"total_slots":1,"modalities":{"vision":true,"audio":false},' + TEMPLATE), {"vision"}),
    "it sees and hears": (Status(200, '{ "modalities": { "audio": true, "vision": true, "x": 1 } }'), {"vision", "audio"}),
    "it reads": (Status(200, '{"modalities":{"vision":false,"audio":false},' + TEMPLATE), set()),
    "it is old": (Status(200, '{"total_slots":1,' + TEMPLATE), set()),
    "it is another server": (Status(404, '{"modalities":{"vision":true}}'), set()),
    "nonsense": (Status(200, '{"modalities":{"vision":"yes"}}'), set()),
}  # fmt: skip


def at_props(said: Status) -> Choose:
    return lambda received: said if received.path == "/props" else None


@pytest.mark.parametrize("name", TOLD)
async def test_a_server_of_the_house_says_whether_it_sees(tmp_path: Path, name: str) -> None:
    said, senses = TOLD[name]
    async with ScriptedUpstream(choose=at_props(said)) as one:
        content = config(house(one.base_url, url={"healthPath": "/health"}))
        async with RunningRouter(tmp_path, content) as router:
            told = (await request(router.url + "/v1/models")).json["data"][0]["capabilities"]
            answer = await router.ask(chat(messages=PICTURE))
        assert {word for word in ("vision", "audio") if told[word]} == senses
        assert answer.status == (200 if "vision" in senses else 400), answer
        asked = sum(1 for probe in one.probes if probe.path == "/props")
        assert asked == 1, "once, however often it is probed"


async def test_while_pods_differ_what_all_of_them_can_counts(tmp_path: Path, names: Names) -> None:
    """A roll-out gives the model a projector: no picture goes to a pod of before."""
    port, host = free_port(), "house.models.svc"
    async with contextlib.AsyncExitStack() as stack:
        blind = await pod(stack, "127.0.0.2", port, choose=at_props(TOLD["it reads"][0]))
        sees = await pod(stack, "127.0.0.3", port, choose=at_props(TOLD["it sees"][0]))
        names.known[host] = (blind.host, sees.host)
        router = await stack.enter_async_context(RunningRouter(tmp_path, config(pods(host, port))))
        mixed = [(await router.ask(chat(messages=PICTURE))).status for _ in range(4)]
        assert mixed == [400] * 4 and not blind.requests and not sees.requests
        names.known[host] = (sees.host,)

        async def is_seen() -> bool:
            return (await router.ask(chat(messages=PICTURE))).status == 200

        await until(is_seen)
        assert not blind.requests


@pytest.mark.parametrize("said", [{"vision": False}, {"vision": True}])
async def test_the_policy_counts_more_than_the_server(tmp_path: Path, said: dict[str, bool]) -> None:
    async with ScriptedUpstream(choose=at_props(TOLD["it sees and hears"][0])) as one:
        content = config(house(one.base_url, url={"healthPath": "/health"}, capabilities=said))
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(chat(messages=PICTURE))
            told = (await request(router.url + "/v1/models")).json["data"][0]["capabilities"]
    assert answer.status == (200 if said["vision"] else 400), answer
    assert told["vision"] is said["vision"] and told["audio"] is True


async def test_no_cloud_is_asked_for_it_against_the_policy(tmp_path: Path) -> None:
    """What the house lacks is as if it had refused it: `toCloudOn` says whether that may leave the house."""
    async with ScriptedUpstream() as blind, ScriptedUpstream() as sees:
        content = config(
            house(blind.base_url),
            cloud(sees.base_url),
            failover={"toCloudOn": ["Unreachable", "ServerError", "TooLong"]},
        )
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(chat(messages=PICTURE))
    assert answer.status == 400 and "failover.toCloudOn hold Unsupported" in answer.json["error"]["message"], answer
    assert not blind.requests and not sees.requests


async def test_only_those_who_lack_it_are_named(tmp_path: Path) -> None:
    async with ScriptedUpstream() as one:
        tiers = [
            house(one.base_url, "small", capabilities={"tools": False, "vision": True}),
            house(one.base_url, "large", capabilities={"tools": True}),
        ]
        tools = [{"type": "function", "function": {"name": "f"}}]
        async with RunningRouter(tmp_path, config(*tiers)) as router:
            assert (await router.ask(chat(tools=tools))).headers["x-genset-backend"] == "large"
            answer = await router.ask(chat(tools=tools, messages=PICTURE))
    assert answer.status == 400 and "needs tools, vision" in answer.json["error"]["message"], answer
    assert "small lacks tools; large lacks vision" in answer.json["error"]["message"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("api", ASKED)
async def test_the_asked_model_is_told_where_a_route_says_so(tmp_path: Path, api: str, stream: bool) -> None:
    path, body = ASKED[api]
    async with ScriptedUpstream() as one:
        for told, named in ((None, "large"), ({"model": "Actual"}, "large"), ({"model": "Asked"}, "counting")):
            content = config(cloud(one.base_url))
            if told is not None:
                content["routes"][0]["response"] = told
            async with RunningRouter(tmp_path, content) as router:
                answer = await router.ask({**body, "stream": stream}, path)
            found = {model for one_ in (answer.chunks or [answer.json]) if (model := _model(one_))}
            assert found == {named} and answer.ended == "clean", (told, answer)


def _model(said: dict[str, Any]) -> str | None:
    held = said.get("message") or said.get("response") or said
    return held.get("model") if isinstance(held, dict) else None
