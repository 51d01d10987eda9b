"""Sites that fail over to each other, and a router that is its own backend: one request ends soon, and costs little."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Silence, Status

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


# One deadline


async def sites_in_a_ring(tmp_path: Path, dead: ScriptedUpstream, count: int, seconds: float) -> list[RunningRouter]:
    """Makes sites whose houses say nothing, and which ask each other then: each the next one, and so around."""
    sites = [await site(tmp_path, f"site{number}") for number in range(count)]
    for number, router in enumerate(sites):
        others = [sites[(number + step) % count] for step in range(1, count)]
        failover = {"maxAttempts": 4, "firstTokenSeconds": 0.2, "totalSeconds": seconds}
        elsewhere = [{**cloud(f"{other.url}/v1", f"site-{at}"), "model": "counting"} for at, other in enumerate(others)]
        router.write({**config(house(dead.url), *elsewhere, failover=failover, generation=2)})
        assert await router.router.reload(), router.config_error
    return sites


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("stream", [True, False])
async def test_requests_of_sites_whose_houses_are_down_end_in_time(tmp_path: Path, count: int, stream: bool) -> None:
    async with ScriptedUpstream(default=Silence()) as dead:
        sites = await sites_in_a_ring(tmp_path, dead, count, seconds=1.5)
        try:
            began = asyncio.get_running_loop().time()
            answers = await asyncio.gather(*(router.ask(chat(stream=stream)) for router in sites for _ in range(10)))
            took = asyncio.get_running_loop().time() - began
            assert {answer.status for answer in answers} <= {504, 508, 502}, {answer.status for answer in answers}
            assert took < 1.5 + 1.0, f"they took {took:.1f} s"
            for router in sites:
                await until(lambda r=router: not r.exchanges, 1.0)
        finally:
            for router in sites:
                await router.__aexit__()


async def test_a_site_is_told_how_much_time_is_left(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Silence()) as dead, ScriptedUpstream(default=Answer()) as far:
        router = await site(tmp_path, "one")
        elsewhere = {**cloud(far.base_url, "far"), "model": "counting"}
        failover = {"firstTokenSeconds": 0.5, "totalSeconds": 20}
        router.write(config(house(dead.url), elsewhere, failover=failover, generation=2))
        try:
            assert await router.router.reload(), router.config_error
            for given, most in (({}, 20.0), ({"x-genset-timeout": "9"}, 9.0), ({"x-genset-deadline": "7.5"}, 7.5)):
                assert (await router.ask(chat(), headers=given)).complete
                told = float(far.requests[-1].headers["x-genset-deadline"])
                assert most - 3.0 < told <= most - 0.5, (given, told)
        finally:
            await router.__aexit__()


async def test_a_site_ends_a_request_whose_sender_it_cannot_hear_any_more(tmp_path: Path) -> None:
    """A way between sites that lost the end of a connection: only the deadline tells the other site that nobody waits."""
    async with ScriptedUpstream(default=Silence()) as dead:
        far = await RunningRouter(folder(tmp_path, "far"), config(house(dead.url))).__aenter__()
        kept: list[asyncio.StreamWriter] = []

        async def deaf(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            _, onward = await asyncio.open_connection("127.0.0.1", far.router.listen_port)
            kept.append(onward)
            while data := await reader.read(65536):
                onward.write(data)

        server = await asyncio.start_server(deaf, "127.0.0.1", 0)
        near = await site(tmp_path, "near")
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        elsewhere = {**cloud(url, "far"), "model": "counting"}
        near.write(config(house(DEAD), elsewhere, failover={"totalSeconds": 1.0}, generation=2))
        try:
            assert await near.router.reload(), near.config_error
            answer = await near.ask(chat(stream=False))
            assert answer.status == 504 and answer.headers["x-genset-error"] == "router_deadline"
            await until(lambda: not far.exchanges, 1.5)
        finally:
            server.close()
            for writer in kept:
                writer.close()
            await near.__aexit__()
            await far.__aexit__()


async def test_a_forged_deadline_costs_only_its_sender(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer()) as far,
        RunningRouter(tmp_path, config(cloud(far.base_url))) as router,
    ):
        for value in ("0", "-3", "-inf"):
            answer = await router.ask(chat(), headers={"x-genset-deadline": value})
            assert answer.status == 504 and answer.headers["x-genset-error"] == "router_deadline", value
        assert not far.requests, "nobody was asked"
        for value in ("nan", "inf", "1e300", "soon", "7 s", "", "9" * 400):
            assert (await router.ask(chat(), headers={"x-genset-deadline": value})).complete, value
            assert float(far.requests[-1].headers["x-genset-deadline"]) <= 600
        assert (await router.state("cloud"))["breaker"]["state"] == "closed"


async def test_a_site_that_runs_out_of_our_time_is_no_broken_one(tmp_path: Path) -> None:
    """Callers in a hurry: the other site had a moment, and says so before we do."""
    async with ScriptedUpstream(default=Silence()) as dead:
        far = await RunningRouter(folder(tmp_path, "far"), config(house(dead.url))).__aenter__()
        near = await site(tmp_path, "near")
        try:
            await point(near, far)
            for _ in range(12):
                answer = await near.ask(chat(stream=False), headers={"x-genset-timeout": "0.3"})
                assert answer.status == 504 and answer.headers["x-genset-error"] == "router_deadline", answer
                assert "site-0:out_of_time" in answer.headers["x-genset-attempts"]
            assert (await near.state("site-0"))["breaker"]["state"] == "closed"
        finally:
            await near.__aexit__()
            await far.__aexit__()


async def test_a_site_that_has_time_enough_and_never_answers_is_a_broken_one(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Silence()) as dead:
        far = await RunningRouter(folder(tmp_path, "far"), config(house(dead.url))).__aenter__()
        near = await site(tmp_path, "near")
        elsewhere = {**cloud(f"{far.url}/v1", "site-0"), "model": "counting"}
        near.write(config(house(DEAD), elsewhere, failover={"totalSeconds": 0.5}, generation=2))
        try:
            assert await near.router.reload(), near.config_error
            for _ in range(3):
                answer = await near.ask(chat(stream=False))
                assert answer.status == 504 and "site-0:too_late" in answer.headers["x-genset-attempts"], answer
        finally:
            await near.__aexit__()
            await far.__aexit__()


async def test_a_site_whose_own_time_is_shorter_is_not_the_last_one_asked(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Silence()) as dead, ScriptedUpstream(default=Answer()) as other:
        far = await RunningRouter(
            folder(tmp_path, "far"), config(house(dead.url), failover={"totalSeconds": 0.3})
        ).__aenter__()
        near = await site(tmp_path, "near")
        try:
            await point(near, far, other)
            answer = await near.ask(chat(stream=False))
            assert answer.status == 200 and answer.headers["x-genset-backend"] == "site-1", answer
        finally:
            await near.__aexit__()
            await far.__aexit__()


@pytest.mark.parametrize(("patience", "word"), [("0.8", "out_of_time"), ("30", "server_error")])
async def test_the_word_of_a_site_counts_only_at_our_own_end(tmp_path: Path, patience: str, word: str) -> None:
    """Whoever says that the time was over while there is more of it has no excuse."""
    late = Status(504, headers={"x-genset-error": "router_deadline"})
    async with ScriptedUpstream(default=late) as far:
        near = await site(tmp_path, "near")
        try:
            await point(near, far)
            answer = await near.ask(chat(stream=False), headers={"x-genset-timeout": patience})
            assert f"site-0:{word}" in answer.headers["x-genset-attempts"], answer.headers
        finally:
            await near.__aexit__()
