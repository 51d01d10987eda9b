"""Inside a backend, over real sockets: bounds, the line before a full backend, affinity, endpoints that drain."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house, pods, until
from testbed.upstream import client, steps
from testbed.upstream.client import Response, chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Answer, Reset, Step
from tests.support.router.names import Names, free_port, pod

ONE = {"maxInFlightPerEndpoint": 1}


def waits(content: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with `whenFull: Wait`."""
    content["routes"][0]["whenFull"] = "Wait"
    return content


def whole(answer: Response) -> bool:
    return answer.complete and fault(answer.text, 10) is None


async def test_a_free_place_is_taken_at_once(tmp_path: Path) -> None:
    """40 answers of 5 ms, one after another: looking ten times a second would take 2 s."""
    async with (
        ScriptedUpstream(default=Answer(first_delay=0.005)) as local,
        RunningRouter(tmp_path, config(house(local.base_url, balancing=ONE))) as router,
    ):
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = await asyncio.gather(*(router.ask(chat(stream=number % 2 == 0)) for number in range(40)))
        assert all(whole(answer) for answer in answers)
        assert loop.time() - began < 1.5, "requests waited for a sweep"
        gaps = [b.at - (a.finished_at or b.at) for a, b in zip(local.requests, local.requests[1:], strict=False)]
        assert sorted(gaps)[len(gaps) // 2] < 0.02
        state = await router.state("house")
        assert state["queued"] == 0 and state["endpoints"][0]["inFlight"] == 0 and state["admits"]
    assert router.metrics.backend("house").queued == 39


async def test_the_line_is_served_in_the_order_of_arrival(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(script=[Answer(first_delay=1)]) as local,
        RunningRouter(tmp_path, config(house(local.base_url, balancing=ONE))) as router,
    ):
        running = []
        for number in range(6):
            running.append(asyncio.ensure_future(router.ask(chat(user=str(number)))))
            await until(lambda n=number: len(router.exchanges) == n + 1)  # type: ignore[misc]
        assert (await router.state("house"))["queued"] == 5
        assert (await router.state("house"))["whyNot"] == "full"
        metrics = (await router.admin("/metrics")).body
        for line in (b"backend_waiting", b"backend_full_total", b"backend_queued_total"):
            assert b'genset_router_%b{backend="house"} 5.0\n' % line in metrics
        assert all(whole(answer) for answer in await asyncio.gather(*running))
        assert [received.json["user"] for received in local.requests] == list("012345")


async def test_when_full_the_next_tier_answers(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer(first_delay=0.3)) as local,
        ScriptedUpstream() as other,
        RunningRouter(tmp_path, config(house(local.base_url, balancing=ONE), cloud(other.base_url))) as router,
    ):
        first = asyncio.ensure_future(router.ask(chat()))
        await local.until(lambda: len(local.requests) == 1)
        second = await router.ask(chat())
        assert whole(second) and second.headers["x-genset-backend"] == "cloud"
        assert second.headers["x-genset-reason"] == "full"
        assert whole(await first) and (await first).headers["x-genset-backend"] == "house"
        assert (await router.ask(chat())).headers["x-genset-backend"] == "house"
        state = await router.state("house")
        assert state["breaker"]["state"] == "closed", "a full backend was taken for an ill one"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_route_may_wait_instead(tmp_path: Path, stream: bool) -> None:
    content = waits(config(house("URL", balancing={**ONE, "queueSeconds": 1}), cloud("URL")))
    async with ScriptedUpstream(default=Answer(first_delay=0.3)) as local, ScriptedUpstream() as other:
        for backend, upstream in zip(content["backends"], (local, other), strict=True):
            backend["url"]["baseUrl"] = upstream.base_url
        async with RunningRouter(tmp_path, content) as router:
            answers = await asyncio.gather(*(router.ask(chat(stream)) for _ in range(2)))
            assert all(whole(a) and a.headers["x-genset-backend"] == "house" for a in answers)
            local.always(Answer(first_delay=2))
            slow = asyncio.ensure_future(router.ask(chat(stream)))
            await local.until(lambda: len(local.requests) == 3)
            late = await router.ask(chat(stream))
            assert whole(late) and late.headers["x-genset-backend"] == "cloud"
            assert 1.0 <= (late.first_content_at or late.ended_at or 0) - late.started < 1.5
            assert whole(await slow)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_wait_in_vain_ends_with_429(tmp_path: Path, stream: bool) -> None:
    balancing = {**ONE, "maxQueued": 1, "queueSeconds": 1}
    async with (
        ScriptedUpstream(default=Answer(first_delay=2)) as local,
        RunningRouter(tmp_path, config(house(local.base_url, balancing=balancing))) as router,
    ):
        running = asyncio.ensure_future(router.ask(chat(stream)))
        await local.until(lambda: len(local.requests) == 1)
        waiting = asyncio.ensure_future(router.ask(chat(stream)))
        await until(lambda: len(router.exchanges) == 2)
        refused = await router.ask(chat(stream))
        assert refused.ended_at is not None and refused.ended_at - refused.started < 0.5
        for answer in (refused, await waiting):
            assert answer.status == 429 and answer.headers["retry-after"] == "1"
            assert (
                answer.json["error"]["type"] == "router_backend_full"
                and "house: full" in answer.json["error"]["message"]
            )
        assert whole(await running) and len(local.requests) == 1


async def test_a_client_that_leaves_the_line_frees_its_place(tmp_path: Path) -> None:
    balancing = {**ONE, "maxQueued": 1}
    async with (
        ScriptedUpstream(default=Answer(first_delay=0.5)) as local,
        RunningRouter(tmp_path, config(house(local.base_url, balancing=balancing))) as router,
    ):
        running = asyncio.ensure_future(router.ask(chat()))
        await local.until(lambda: len(local.requests) == 1)
        async with client.stream(router.chat_url, chat()) as waiting:
            await until(lambda: len(router.exchanges) == 2)
            waiting.leave()
            await until(lambda: len(router.exchanges) == 1)
        assert (await router.state("house"))["queued"] == 0
        assert whole(await router.ask(chat())) and whole(await running)
        assert len(local.requests) == 2


async def test_those_who_wait_outlive_a_new_configuration(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Answer(first_delay=0.1)) as local:
        before = config(house(local.base_url, balancing=ONE))
        async with RunningRouter(tmp_path, before) as router:
            running = [asyncio.ensure_future(router.ask(chat())) for _ in range(8)]
            await local.until(lambda: len(local.requests) == 1)
            router.write(config(house(local.base_url, balancing={"maxInFlightPerEndpoint": 5}), generation=2))
            table = router.table
            await until(lambda: router.table is not table)
            running += [asyncio.ensure_future(router.ask(chat())) for _ in range(8)]
            assert all(whole(answer) for answer in await asyncio.gather(*running))


async def test_those_who_wait_are_answered_before_the_router_leaves(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer(first_delay=0.1)) as local,
        RunningRouter(tmp_path, config(house(local.base_url, balancing=ONE))) as router,
    ):
        running = [asyncio.ensure_future(router.ask(chat())) for _ in range(5)]
        await until(lambda: len(router.exchanges) == 5)
        await router.router.drain()
        assert all(whole(answer) for answer in await asyncio.gather(*running))


async def test_bounds_hold_whatever_fails(tmp_path: Path, names: Names) -> None:
    """200 requests over two pods of three places that fail in every way: never a fourth at once, all answered."""
    port, chance = free_port(), random.Random(11)
    most: Counter[str] = Counter()

    def runs(request: Received) -> bool:
        """Whether a pod works on it, as far as the router can know: its last word has not been sent."""
        ended = request.finished_at is not None or request.client_left_at is not None or request.chunks_sent >= 10
        return isinstance(request.step, Answer) and not ended

    def choose(received: Received) -> Step | None:
        if received.method != "POST":
            return None  # a probe
        name = received.headers["host"]
        running = sum(runs(request) for pod in both for request in pod.requests if request.headers["host"] == name)
        most[name] = max(most[name], 1 + running)
        ill = [steps.server_error(500), steps.server_error(503), steps.rate_limited(0.05), Reset()]
        return chance.choice(ill) if chance.random() < 0.1 else Answer(interval=0.001)

    async with contextlib.AsyncExitStack() as stack:
        both = [await pod(stack, host, port, choose=choose) for host in ("127.0.0.1", "127.0.0.2")]
        other = await stack.enter_async_context(ScriptedUpstream(default=Answer(interval=0.001)))
        names.known["house.test"] = ("127.0.0.1", "127.0.0.2")
        local = pods("house.test", port, balancing={"maxInFlightPerEndpoint": 3, "queueSeconds": 20})
        async with RunningRouter(tmp_path, config(local, cloud(other.base_url, balancing={**ONE}))) as router:
            gate = asyncio.Semaphore(30)

            async def ask(number: int) -> Response:
                async with gate:
                    return await router.ask(chat(stream=number % 3 > 0))

            answers = await asyncio.gather(*(ask(number) for number in range(200)))
            assert all(whole(answer) for answer in answers), Counter((a.status, str(a.error)) for a in answers)
            state = await router.state("house")
            assert [e["inFlight"] for e in state["endpoints"]] == [0, 0] and state["queued"] == 0
        assert router.gate.in_flight == 0
    assert max(most.values()) == 3, f"an endpoint had {most}"


def customer(name: str) -> dict[str, Any]:
    return chat(
        messages=[{"role": "system", "content": f"You serve customer {name}."}, {"role": "user", "content": "count"}]
    )


async def test_prompts_find_their_endpoint_again(tmp_path: Path, names: Names) -> None:
    port = free_port()
    (second := tmp_path / "second").mkdir()
    hosts = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    async with contextlib.AsyncExitStack() as stack:
        upstreams = {host: await pod(stack, host, port) for host in hosts}
        names.known["house.test"] = hosts
        local = pods("house.test", port, balancing={"strategy": "PrefixAffinity"})

        async def homes(router: RunningRouter) -> dict[str, str]:
            """Where each customer's request went."""
            found = {}
            for number in range(24):
                before = {host: len(upstream.requests) for host, upstream in upstreams.items()}
                assert whole(await router.ask(customer(str(number))))
                (found[str(number)],) = (h for h, u in upstreams.items() if len(u.requests) > before[h])
            return found

        async with RunningRouter(tmp_path, config(local)) as router:
            first = await homes(router)
            assert await homes(router) == first and len(set(first.values())) > 1
            async with RunningRouter(second, config(local)) as again:
                assert await homes(again) == first, "another router sent the prompts elsewhere"
            gone = max(hosts, key=list(first.values()).count)
            await upstreams[gone].kill()
            names.known["house.test"] = tuple(host for host in hosts if host != gone)
            table = router.table
            assert table is not None
            await until(lambda: len(table.backends["house"].endpoints) == 2, what="the end of one endpoint")
            after = await homes(router)
            assert {c: h for c, h in after.items() if first[c] != gone} == {c: h for c, h in first.items() if h != gone}
            assert gone not in after.values()
        numbers = router.metrics.backend("house")
        assert (numbers.affinity_hits, numbers.affinity_misses) == (72, 0)


async def test_a_popular_prompt_does_not_pile_up(tmp_path: Path, names: Names) -> None:
    port = free_port()
    hosts = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
    async with contextlib.AsyncExitStack() as stack:
        upstreams = [await pod(stack, host, port, default=Answer(first_delay=0.5)) for host in hosts]
        names.known["house.test"] = hosts
        local = pods("house.test", port, balancing={"strategy": "PrefixAffinity"})
        async with RunningRouter(tmp_path, config(local)) as router:
            answers = await asyncio.gather(*(router.ask(customer("the same")) for _ in range(40)))
            assert all(whole(answer) for answer in answers)
            assert max(len(upstream.requests) for upstream in upstreams) <= 13, "more than 1.25 times the average"


async def test_a_terminating_endpoint_drains(tmp_path: Path, names: Names) -> None:
    """A pod that is going away: DNS no longer lists it, its server works on until it is idle (preStop).

    Streams on it run to their end, nothing new goes there, its idle connections are closed.
    """
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        old = await pod(stack, "127.0.0.1", port, default=Answer(words=40, interval=0.1))
        names.known["house.test"] = ("127.0.0.1",)
        async with RunningRouter(tmp_path, config(pods("house.test", port))) as router:
            short = [asyncio.ensure_future(router.ask(chat(max_tokens=1))) for _ in range(3)]
            assert all(answer.complete for answer in await asyncio.gather(*short))
            async with client.stream(router.chat_url, chat()) as running:
                await running.until_text(2)
                assert (await router.state("house"))["endpoints"][0]["idleConnections"] == 2
                new = await pod(stack, "127.0.0.2", port)
                names.known["house.test"] = ("127.0.0.2",)
                table = router.table
                assert table is not None
                await until(lambda: [e.host for e in table.backends["house"].endpoints] == ["127.0.0.2"])
                served, probes = len(old.requests), len(old.probes)
                await old.until(lambda: old.open_connections == 1)
                for _ in range(5):
                    assert whole(await router.ask(chat()))
                answer = await running.whole()
            assert answer.complete and fault(answer.text, 40) is None, "a stream on the leaving pod was cut"
            assert len(answer.headers["x-genset-attempts"].split(",")) == 1
            assert len(old.requests) == served and len(new.requests) == 5
            assert len(old.probes) <= probes + 1, "a pod that has left was still probed"
            await old.until(lambda: old.open_connections == 0)


async def test_a_prompt_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    """Also where its beginning is looked at."""
    nested: list[Any] = []
    for _ in range(300):
        nested = [nested]
    answers = []
    for strategy in ("LeastInFlight", "PrefixAffinity"):
        (folder := tmp_path / strategy).mkdir()
        async with (
            ScriptedUpstream() as local,
            RunningRouter(folder, config(house(local.base_url, balancing={"strategy": strategy}))) as router,
        ):
            body = {"model": "counting", "prompt": [1, nested]}
            answers.append(await router.ask(body, "/v1/completions", within=5.0))
    assert [answer.status for answer in answers] == [400, 400]
