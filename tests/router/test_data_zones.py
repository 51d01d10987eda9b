"""Requests stay in their data zones, whatever happens to them. Clouds are stubs that count their connections."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Status

HOUSE_ONLY = {"x-genset-data-zones": "house"}
MESSAGES = {"model": "counting", "max_tokens": 9, "messages": [{"role": "user", "content": "count"}]}
RESPONSES = {"model": "counting", "input": "count"}


def two(local: ScriptedUpstream, far: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    document = config(house(local.base_url), cloud(far.base_url, dataZone="eu"))
    document["routes"][0].update(more)
    return document


async def test_a_request_keeps_itself_in_the_house(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        await local.stop_listening()
        async with RunningRouter(tmp_path, two(local, far)) as router:
            kept = await router.ask(chat(), headers=HOUSE_ONLY)
            assert kept.status == 502 and far.accepted == 0, "the house is down, and the prompt stayed there"
            free = await router.ask(chat())
            assert free.status == 200 and far.accepted == 1


@pytest.mark.parametrize(
    ("zones", "status"),
    [("eu", 200), ("house,eu", 200), ("eu ,us", 200), ("us", 403), ("eu.house", 400), ("EU", 400), ("", 400)],
)
async def test_what_the_header_may_say(tmp_path: Path, zones: str, status: int) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        await local.stop_listening()
        async with RunningRouter(tmp_path, two(local, far)) as router:
            answer = await router.ask(chat(), headers={"x-genset-data-zones": zones})
    assert answer.status == status and far.accepted == (status == 200)
    if status == 403:
        told = answer.json["error"]
        assert (told["type"], told["code"]) == ("policy_data_zone", "data_zone")
        assert (
            "the header x-genset-data-zones of the request allows us; its backends are cloud (eu), house (house)"
            in told["message"]
        )
        assert answer.headers["x-should-retry"] == "false"


async def test_the_header_loosens_nothing(tmp_path: Path) -> None:
    """The route says house, the request says eu: nothing is left."""
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        async with RunningRouter(tmp_path, two(local, far, dataZones=["house"])) as router:
            for zones, status in (("house, eu", 200), ("eu", 403)):
                assert (await router.ask(chat(), headers={"x-genset-data-zones": zones})).status == status
        assert far.accepted == 0 and len(local.requests) == 1


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/v1/chat/completions", chat(), lambda told: told["error"]["type"]),
        ("/v1/embeddings", {"model": "counting", "input": "count"}, lambda told: told["error"]["type"]),
        ("/v1/messages", MESSAGES, lambda told: told["error"]["type"]),
        ("/v1/responses", RESPONSES, lambda told: told["error"]["code"]),
    ],
)
async def test_every_api_is_refused_in_its_own_words(tmp_path: Path, path: str, body: Any, kind: Any) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        document = two(local, far)
        document["dataZones"] = [{"saidBy": "namespace law (label genset.dev/data-zones)", "zones": ["us"]}]
        async with RunningRouter(tmp_path, document) as router:
            answer = await router.ask(body, path)
        assert (answer.status, local.accepted, far.accepted) == (403, 0, 0)
        assert "namespace law (label genset.dev/data-zones) allows us" in answer.body.decode()
        assert kind(answer.json) in ("policy_data_zone", "data_zone", "permission_error")


async def test_a_broken_stream_is_continued_in_its_zones(tmp_path: Path) -> None:
    broken = Answer(words=8, brk=Break("rst", after_chunks=3))
    async with ScriptedUpstream([broken] * 4) as local, ScriptedUpstream() as far:  # noqa: SIM117
        async with RunningRouter(tmp_path, two(local, far)) as router:
            kept = await router.ask(chat(stream=True), headers=HOUSE_ONLY)
            assert kept.events and "[DONE]" not in [event.data for event in kept.events] and far.accepted == 0
            free = await router.ask(chat(stream=True))
            assert [event.data for event in free.events][-1] == "[DONE]" and far.accepted > 0


async def test_another_site_is_told_of_the_zones(tmp_path: Path) -> None:
    """What may not leave the house does not leave it by way of another site's router, which is of the house."""
    async with ScriptedUpstream(default=Status(503)) as local, ScriptedUpstream() as site, ScriptedUpstream() as far:
        backends = [
            house(local.base_url),
            cloud(site.base_url, "site", dataZone="house"),
            cloud(far.base_url, dataZone="eu"),
        ]
        async with RunningRouter(tmp_path, config(*backends)) as router:
            assert (await router.ask(chat(), headers=HOUSE_ONLY)).status == 200
            assert (await router.ask(chat())).status == 200
        assert [seen.headers.get("x-genset-data-zones") for seen in site.requests] == ["house", None]
        assert far.accepted == 0


async def test_zones_that_change_hold_for_the_next_request(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Status(503)) as local, ScriptedUpstream() as far:  # noqa: SIM117
        async with RunningRouter(tmp_path, two(local, far)) as router:
            assert (await router.ask(chat())).status == 200
            router.write(two(local, far, dataZones=["house"]))
            assert await router.router.reload(), router.config_error
            answers = await asyncio.gather(*(router.ask(chat()) for _ in range(5)))
            assert {answer.status for answer in answers} == {503} and len(far.requests) == 1


async def test_a_consumer_stays_in_its_zones(tmp_path: Path) -> None:
    """Whoever asks without a key is a consumer, too."""
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        await local.stop_listening()
        document = two(local, far)
        anonymous = {"name": "anonymous", "allowance": {"dataZones": ["house", "us"]}}
        document["access"] = {"required": False, "routers": 1, "consumers": [anonymous], "defaults": {}}
        async with RunningRouter(tmp_path, document) as router:
            assert (await router.ask(chat())).status == 502 and far.accepted == 0
            answer = await router.ask(chat(), headers={"x-genset-data-zones": "eu"})
            assert (
                answer.status == 403
                and "consumer anonymous (dataZones) allows house, us" in answer.json["error"]["message"]
            )
        assert far.accepted == 0


@pytest.mark.parametrize(
    "tools", [[], [{"type": "web_search_20250305", "name": "web_search"}]], ids=["translated", "native"]
)
async def test_what_goes_to_claude_as_it_came_is_looked_at_as_it_came(tmp_path: Path, tools: list[Any]) -> None:
    """A server tool cannot be translated: only a server that speaks Messages could answer."""
    async with ScriptedUpstream() as far:
        document = config(cloud(far.base_url, provider="anthropic", dataZone="us"))
        document["routes"][0]["sensitive"] = {"detect": ["iban"], "countries": [], "patterns": [], "then": "House"}
        body = {**MESSAGES, "messages": [{"role": "user", "content": "to DE89370400440532013000"}]}
        async with RunningRouter(tmp_path, document) as router:
            answer = await router.ask({**body, **({"tools": tools} if tools else {})}, "/v1/messages")
        assert answer.status == 403 and far.accepted == 0, answer.body


@pytest.mark.parametrize(("ruled", "tools"), [(True, False), (True, True), (False, False)])
async def test_where_in_the_world_a_cloud_answers_is_for_the_rules_to_say(
    tmp_path: Path, ruled: bool, tools: bool
) -> None:
    """Anthropic lets each request name the geography of its inference: a caller would loosen what the account's default is."""
    search = [{"type": "web_search_20250305", "name": "web_search"}] if tools else []
    async with ScriptedUpstream() as claude, ScriptedUpstream() as other:
        backends = [
            cloud(claude.base_url, "claude", "anthropic", dataZone="us"),
            cloud(other.base_url, "other", dataZone="us"),
        ]
        document = config(*backends)
        document["dataZones"] = [{"saidBy": "RoutePolicy law/all (spec.dataZones)", "zones": ["us"]}] if ruled else None
        async with RunningRouter(tmp_path, document) as router:
            body = {**MESSAGES, "inference_geo": "global", **({"tools": search} if tools else {})}
            answer = await router.ask(body, "/v1/messages")
        if not ruled:
            assert claude.requests[0].json["inference_geo"] == "global", "nobody says anything of zones"
        elif tools:  # only a server of this API could answer
            assert answer.status == 403 and "inference_geo" in answer.json["error"]["message"]
            assert claude.accepted == other.accepted == 0
        else:
            assert answer.status == 200 and claude.accepted == 0 and "inference_geo" not in other.requests[0].json


async def test_nobody_names_another_server_behind_a_gateway(tmp_path: Path) -> None:
    """BerriAI/litellm#37053, #31467, mlflow/mlflow#25761: `api_base` of a request took prompt and key of the house elsewhere."""
    async with (
        ScriptedUpstream() as proxy,
        RunningRouter(tmp_path, config(cloud(proxy.base_url, provider="liteLLM", dataZone="eu"))) as router,
    ):
        body = {**chat(), "api_base": "http://evil.test/v1", "fallbacks": ["us/gpt"], "vertex_location": "us-east1"}
        answer = await router.ask(body)
        assert answer.status == 200
        assert not {"api_base", "fallbacks", "vertex_location"} & proxy.requests[0].json.keys()
        assert answer.headers["x-genset-dropped"] == "api_base, fallbacks, vertex_location"
