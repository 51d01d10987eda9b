"""Sites that fail over to each other, and a router that is its own backend: one request ends soon, and costs little."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer

DEAD = "http://127.0.0.1:1/v1"


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


def most_in_flight(*routers: RunningRouter) -> asyncio.Task[int]:
    """Watches until it is cancelled or nobody has anything in work any more."""

    async def watch() -> int:
        most = 0
        while True:
            most = max(most, *(len(each.exchanges) for each in routers))
            try:
                await asyncio.sleep(0.002)
            except asyncio.CancelledError:
                return most

    return asyncio.create_task(watch())


async def site(tmp_path: Path, name: str) -> RunningRouter:
    return await RunningRouter(folder(tmp_path, name), config(house(DEAD))).__aenter__()


async def point(router: RunningRouter, *others: RunningRouter | ScriptedUpstream, site: str | None = None) -> None:
    """The router's own dead house, then the other sites in this order."""
    backends = [house(DEAD)]
    for number, other in enumerate(others):
        url = f"{other.url}/v1" if isinstance(other, RunningRouter) else other.base_url
        backends.append({**cloud(url, f"site-{number}"), "model": "counting"})
    router.write({**config(*backends, failover={"maxAttempts": 4}, generation=2), "site": site})
    assert await router.router.reload(), router.config_error


async def test_two_dead_sites_end_a_request_that_they_send_each_other(tmp_path: Path) -> None:
    one, two = await site(tmp_path, "one"), await site(tmp_path, "two")
    await point(one, two)
    await point(two, one)
    watch = most_in_flight(one, two)
    try:
        answers = await asyncio.gather(*(one.ask(chat(stream=stream)) for stream in (True, False) * 2))
        watch.cancel()
        assert await watch <= 2 * len(answers), "requests went round and round"
        for answer in answers:
            assert answer.status == 508, answer
            assert answer.error is not None and answer.error["code"] == "router_loop"
            way = " > ".join(each.site.decode() for each in (one, two, one))
            assert way in answer.error["message"], answer.error
            assert answer.headers["x-genset-error"] == "router_loop"
        for router in (one, two):
            assert (await router.state("site-0"))["breaker"]["state"] == "closed", "a loop closed a site"
            await until(lambda r=router: not r.exchanges)
    finally:
        await one.__aexit__()
        await two.__aexit__()


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/chat/completions"])
@pytest.mark.parametrize(
    ("provider", "api"), [("anthropic", None), ("openai", "Responses"), ("openai", None), ("liteLLM", None)]
)
async def test_every_api_in_which_sites_ask_each_other_has_an_end(
    tmp_path: Path, path: str, provider: str, api: str | None
) -> None:
    """Routers speak the APIs of Anthropic and OpenAI, so that a site may be named as either, at its own URL."""
    one, two = await site(tmp_path, "one"), await site(tmp_path, "two")
    for router, other in ((one, two), (two, one)):
        elsewhere = cloud(f"{other.url}/v1", "elsewhere", provider, url={"api": api} if api else {}) | {
            "model": "counting"
        }
        router.write(config(house(DEAD), elsewhere, failover={"maxAttempts": 4}, generation=2))
        assert await router.router.reload(), router.config_error
    watch = most_in_flight(one, two)
    try:
        asked = chat(stream=False) if path != "/v1/responses" else {"model": "counting", "input": "count"}
        answer = await one.ask({**asked, "max_tokens": 9} if path == "/v1/messages" else asked, path)
        watch.cancel()
        assert await watch <= 2, "the request went round and round"
        assert answer.headers["x-genset-error"] == "router_loop" and answer.status in (500, 508), answer
        way = " > ".join(each.site.decode() for each in (one, two, one))
        assert way in answer.json["error"]["message"], answer
        for router in (one, two):
            assert (await router.state("elsewhere"))["breaker"]["state"] == "closed", "a loop closed a site"
    finally:
        await one.__aexit__()
        await two.__aexit__()


async def test_a_cloud_behind_the_loop_still_answers(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Answer()) as far:
        one, two = await site(tmp_path, "one"), await site(tmp_path, "two")
        try:
            await point(one, two, far)
            await point(two, one)
            for _ in range(6):
                answer = await one.ask(chat())
                assert answer.complete and answer.headers["x-genset-backend"] == "site-1"
            assert (await one.state("site-0"))["breaker"]["state"] == "closed"
            assert [received.headers["x-genset-hops"] for received in far.requests] == [one.site.decode()] * 6
        finally:
            await one.__aexit__()
            await two.__aexit__()


async def test_a_chain_of_sites_has_an_end(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Answer()) as far:
        sites = [await site(tmp_path, f"site{number}") for number in range(5)]
        try:
            for number, router in enumerate(sites[:-1]):
                await point(router, sites[number + 1])
            await point(sites[-1], far)
            answer = await sites[1].ask(chat())
            assert answer.complete, "four sites are allowed"
            assert far.requests[0].headers["x-genset-hops"].split(",") == [s.site.decode() for s in sites[1:]]
            answer = await sites[0].ask(chat())
            assert answer.status == 508 and answer.error is not None
            assert " > ".join(s.site.decode() for s in sites) in answer.error["message"]
        finally:
            for router in sites:
                await router.__aexit__()


async def test_replicas_of_one_policy_are_one_site(tmp_path: Path) -> None:
    one, two = await site(tmp_path, "one"), await site(tmp_path, "two")
    try:
        await point(one, two, site="shared")
        await point(two, one, site="shared")
        answer = await one.ask(chat())
        assert answer.status == 508 and answer.error is not None
        assert "shared > shared" in answer.error["message"]
        assert json.loads((await one.admin("/-/config")).body)["site"] == "shared"
    finally:
        await one.__aexit__()
        await two.__aexit__()


async def test_a_router_that_is_its_own_backend_by_another_name(tmp_path: Path) -> None:
    """As behind a Service whose address it cannot know: here behind something that passes everything on."""
    router = await site(tmp_path, "one")
    target = ("127.0.0.1", router.router.listen_port)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*target)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        external = {**house(f"http://127.0.0.1:{port}/v1", "itself"), "model": "counting"}
        router.write(config(external, generation=2))
        assert await router.router.reload()
        watch = most_in_flight(router)
        answer = await router.ask(chat(stream=False, max_tokens=1))  # as the operator's probe asks
        watch.cancel()
        assert answer.status == 508 and await watch <= 2
        assert (await router.state("itself"))["breaker"]["state"] == "closed"
    finally:
        server.close()
        await router.__aexit__()


async def test_a_forged_header_costs_only_its_sender(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer()) as far,
        RunningRouter(tmp_path, config(cloud(far.base_url))) as router,
    ):
        own = router.site.decode()
        for value, status in ((own, 508), ("a,b,c,d", 508), ("nonsense here", 400), ("a" * 5000, 400), ("a,b", 200)):
            answer = await router.ask(chat(), headers={"x-genset-hops": value})
            assert answer.status == status, value
        assert (await router.ask(chat())).complete
    assert [received.headers["x-genset-hops"] for received in far.requests] == [f"a,b,{own}", own]


async def test_a_configuration_that_names_the_router_itself_is_refused(tmp_path: Path) -> None:
    router = await site(tmp_path, "one")
    try:
        router.write(config({**cloud(f"{router.url}/v1", "other"), "model": "counting"}, generation=2))
        assert not await router.router.reload()
        assert router.config_error is not None and "this router itself" in router.config_error
    finally:
        await router.__aexit__()
