"""Adapters are models of their own on the endpoints that have them loaded: during a roll-out not all have the same."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from testbed.router import RunningRouter, config, house, pods, until
from testbed.upstream.client import Response, chat
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Status
from tests.support.router.names import Names, free_port, pod

HOST = "house.models.svc"
NAMES = ("invoices", "letters")


def lora_list(*names: str) -> Status:
    """What llama-server tells of adapters that were loaded in this order."""
    told = [{"id": n, "path": f"/companions/adapters/{name}/m.gguf", "scale": 0.0} for n, name in enumerate(names)]
    return Status(200, body=json.dumps(told))


def model_list(*names: str) -> Status:
    return Status(200, body=json.dumps({"object": "list", "data": [{"id": name} for name in names]}))


def scales(received: Received) -> dict[int, float]:
    return {one["id"]: one["scale"] for one in received.json["lora"]}


@contextlib.asynccontextmanager
async def served(
    tmp_path: Path, dns: Names, *health: Status, kind: str = "Paths", models: list[str] | None = None, **more: Any
) -> AsyncIterator[tuple[RunningRouter, list[ScriptedUpstream]]]:
    """A router before as many pods as there are lists."""
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        servers = [await pod(stack, f"127.0.0.{n + 2}", port, health=told) for n, told in enumerate(health)]
        dns.known[HOST] = tuple(server.host for server in servers)
        made = config(pods(HOST, port, adapters=list(NAMES), adapterList=kind, **more))
        made["routes"][0]["match"]["models"] = models or []
        yield await stack.enter_async_context(RunningRouter(tmp_path, made)), servers


async def listed(router: RunningRouter) -> set[str]:
    return {entry["id"] for entry in json.loads((await router.ask(None, "/v1/models")).body)["data"]}


async def test_each_server_is_asked_by_its_own_numbers(tmp_path: Path, names: Names) -> None:
    async with served(tmp_path, names, lora_list("letters", "gone", "invoices"), lora_list("invoices", "letters")) as (
        router,
        servers,
    ):
        assert await listed(router) == {"small", *NAMES}
        for model in ("invoices", "letters", "small") * 4:
            assert (await router.ask(chat(model=model))).status == 200
        first, second = servers
        assert first.requests and second.requests
        for received in first.requests:
            wanted = {"letters": 0, "invoices": 2}.get(received.json["model"])
            assert scales(received) == {number: float(number == wanted) for number in range(3)}
        for received in second.requests:
            wanted = {"invoices": 0, "letters": 1}.get(received.json["model"])
            assert scales(received) == {number: float(number == wanted) for number in range(2)}


async def test_what_only_one_server_has_goes_there(tmp_path: Path, names: Names) -> None:
    async with served(tmp_path, names, lora_list("invoices"), lora_list("invoices", "letters")) as (router, servers):
        for number in range(6):
            assert (await router.ask(chat(model="letters", stream=number % 2 == 0))).status == 200
        assert (len(servers[0].requests), len(servers[1].requests)) == (0, 6)


async def test_a_name_is_told_once_a_server_has_loaded_it(tmp_path: Path, names: Names) -> None:
    async with served(tmp_path, names, model_list("small", "invoices"), kind="Models") as (router, (server,)):
        assert await listed(router) == {"small", "invoices"}
        early = await router.ask(chat(model="letters"))
        assert early.status == 503 and b"not_loaded" in early.body and not server.requests
        server.health = model_list("small", "invoices", "letters")

        async def is_listed() -> bool:
            return "letters" in await listed(router)

        await until(is_listed)
        assert (await router.ask(chat(model="letters"))).status == 200
        assert server.requests[-1].json["model"] == "letters" and "lora" not in server.requests[-1].json


async def test_a_refused_adapter_costs_no_other_name(tmp_path: Path, names: Names) -> None:
    def choose(received: Received) -> Status | None:
        if received.json["model"] != "letters":
            return None
        return Status(404, body='{"error": {"message": "The model `letters` does not exist.", "code": 404}}')

    async with served(tmp_path, names, model_list("small", *NAMES), kind="Models") as (router, (server,)):
        server.choose = choose
        assert [(await router.ask(chat(model="letters"))).status for _ in range(4)] != [200] * 4
        for model in ("small", "invoices"):
            assert (await router.ask(chat(model=model))).status == 200


@pytest.mark.parametrize("model", ["letter", "Letters", "letters/", "gpt-4o", "x" * 200])
async def test_a_wrong_name_is_nobody_s(tmp_path: Path, names: Names, model: str) -> None:
    async with served(tmp_path, names, lora_list(*NAMES)) as (router, (server,)):
        refused = await router.ask(chat(model=model))
        assert refused.status == 404 and b"model_not_found" in refused.body and b"invoices" in refused.body
        assert not server.requests


async def test_a_name_that_the_route_takes_in_full_is_the_model_s(tmp_path: Path, names: Names) -> None:
    async with served(tmp_path, names, lora_list(*NAMES), models=["assistant", "letters"]) as (router, (server,)):
        assert (await router.ask(chat(model="assistant"))).status == 200
        assert (await router.ask(chat(model="letters"))).status == 200
        assert (await router.ask(chat(model="invoices"))).status == 404
        assert [set(scales(one).values()) for one in server.requests] == [{0.0}, {0.0, 1.0}]


async def test_no_client_chooses_by_itself(tmp_path: Path, names: Names) -> None:
    async with served(tmp_path, names, lora_list(*NAMES)) as (router, (server,)):
        answer: Response = await router.ask(chat(model="small", lora=[{"id": 0, "scale": 1.0}, {"id": 1, "scale": 9}]))
        assert answer.status == 200 and answer.headers["x-genset-dropped"] == "lora"
        assert scales(server.requests[-1]) == {0: 0.0, 1: 0.0}


async def test_clients_of_other_apis_ask_by_the_same_names(tmp_path: Path, names: Names) -> None:
    async with served(tmp_path, names, lora_list(*NAMES)) as (router, (server,)):
        async with anthropic.AsyncAnthropic(base_url=router.url, api_key="any", max_retries=0) as client:
            asked: Any = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
            await client.messages.create(model="letters", **asked)
            assert {entry.id async for entry in client.models.list()} == {"small", *NAMES}
        async with openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="any", max_retries=0) as other:
            await other.responses.create(model="invoices", input="hi")
        assert [scales(one) for one in server.requests] == [{0: 0.0, 1: 1.0}, {0: 1.0, 1: 0.0}]


async def test_another_list_keeps_what_servers_have_told(tmp_path: Path, names: Names) -> None:
    """A busy server may not tell anew, while a new configuration begins."""
    async with served(tmp_path, names, lora_list(*NAMES)) as (router, (server,)):
        server.health = Status(200, body="[]", delay=2.0)
        made = json.loads((router.config_dir / "router.json").read_text())
        made["backends"][0]["adapters"] = ["letters"]
        before = router.table
        router.write(made)
        await until(lambda: router.table is not before, 10)
        assert (await router.ask(chat(model="letters"))).status == 200
        assert (await router.ask(chat(model="invoices"))).status == 404
        assert scales(server.requests[-1]) == {0: 0.0, 1: 1.0}


async def test_a_backend_without_adapters_gets_the_client_s_bytes(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        await router.ask(chat(model="counting", lora=[]))
        assert local.requests[-1].json["lora"] == []
