"""Cancel, back-pressure, limits, drain, reload, endpoints, return: the router as it lives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from testbed.router import RunningRouter, cloud, config, house, pods, until
from testbed.upstream import client, steps
from testbed.upstream.client import chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Silence, Step
from tests.support.router.names import Names, free_port, pod


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize(
    "default",
    [Silence(headers=False), Silence(), Answer(words=1000, interval=0.01)],
    ids=["waiting", "held", "streaming"],
)
async def test_upstream_is_cancelled_when_the_client_leaves(tmp_path: Path, default: Step, reset: bool) -> None:
    async with (
        ScriptedUpstream(default=default) as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
    ):
        async with client.stream(router.chat_url, chat()) as exchange:
            await local.until(lambda: bool(local.requests))
            if isinstance(default, Answer):
                await exchange.until_text(3)
            exchange.leave(reset=reset)
            await local.until(lambda: local.requests[0].client_left_at is not None, within=1)
        await until(lambda: not router.exchanges)
        state = await router.state("house")
        assert state["breaker"]["state"] == "closed" and state["endpoints"][0]["inFlight"] == 0
        assert router.gate.in_flight == 0


async def test_a_client_that_leaves_while_its_request_is_repeated(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=steps.rate_limited(retry_after=2)) as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
    ):
        async with client.stream(router.chat_url, chat()) as exchange:
            await local.until(lambda: len(local.requests) == 1)
            exchange.leave()
        await until(lambda: not router.exchanges, within=1)
        assert router.gate.in_flight == 0


async def test_a_slow_reader_holds_its_upstream_back_not_our_memory(tmp_path: Path) -> None:
    big = Answer(texts=tuple("x" * 50_000 for _ in range(1000)))  # 50 MB
    async with ScriptedUpstream(default=big) as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", router.router.listen_port))
            body = json.dumps(chat()).encode()
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            await loop.sock_sendall(sock, head + body)
            await until(lambda: any(c.paused for c in router.connections), what="pausing")
            sent = -1
            while sent != local.requests[0].bytes_sent:  # until the kernel's buffers are full as well
                sent = local.requests[0].bytes_sent
                await asyncio.sleep(0.3)
            assert sent < 25_000_000, "a client that reads nothing was sent half of the answer"
            connection = next(iter(router.connections))
            assert connection.transport.get_write_buffer_size() < 1_000_000
            got = 0
            while got < 30_000_000:  # reads on: all is well
                got += len(await loop.sock_recv(sock, 1_000_000))


async def test_limits_queue_and_refuse(tmp_path: Path) -> None:
    limits = {"maxInFlight": 1, "maxQueued": 1, "queueSeconds": 1}
    async with (
        ScriptedUpstream(default=Answer(first_delay=0.5)) as local,
        RunningRouter(tmp_path, config(house(local.base_url), limits=limits)) as router,
    ):
        first = asyncio.ensure_future(router.ask(chat()))
        await local.until(lambda: len(local.requests) == 1)
        second = asyncio.ensure_future(router.ask(chat()))
        await until(lambda: router.gate.queued == 1)
        refused = await router.ask(chat())
        assert refused.status == 429 and refused.headers["retry-after"] == "1"
        assert refused.json["error"]["type"] == "router_overloaded"
        assert (await first).complete and (await second).complete
        local.always(Answer(first_delay=3))
        slow = asyncio.ensure_future(router.ask(chat()))
        await local.until(lambda: len(local.requests) == 3)
        waited = await router.ask(chat())
        assert waited.status == 429 and waited.json["error"]["type"] == "router_queue_timeout"
        assert (await slow).complete
        assert router.gate.in_flight == router.gate.queued == 0


async def test_reload_under_load_loses_nothing(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer(interval=0.002)) as one,
        ScriptedUpstream(default=Answer()) as two,
        RunningRouter(tmp_path, config(house(one.base_url))) as router,
    ):
        stop = False
        seen: Counter[str] = Counter()

        async def load() -> None:
            while not stop:
                answer = await router.ask(chat())
                assert answer.complete and fault(answer.text, 10) is None, answer
                seen[answer.headers["x-genset-backend"]] += 1

        clients = [asyncio.ensure_future(load()) for _ in range(8)]
        for generation in range(2, 8):
            name = "other" if generation % 2 == 0 else "house"
            target = two if generation % 2 == 0 else one
            router.write(config(house(target.base_url, name), generation=generation))
            table = router.table
            await until(lambda before=table: router.table is not before, what="the new table")  # type: ignore[misc]
            await asyncio.sleep(0.1)
        stop = True
        await asyncio.gather(*clients)
        view = (await router.admin("/-/config")).json
        assert view["generation"] == 7 and view["error"] is None
        assert seen["house"] > 10 and seen["other"] > 10


async def test_a_bad_configuration_changes_nothing_and_is_told(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local:
        good = config(house(local.base_url))
        async with RunningRouter(tmp_path, good) as router:
            before = (await router.admin("/-/config")).json
            for bad, words in (
                ("{", "router.json"),
                (json.dumps({**good, "colour": "blue"}), "colour"),
                (json.dumps(config(cloud(local.base_url, url={"keyFile": "cloud.key"}))), "cloud.key"),
                (json.dumps(config(house(local.base_url), tiers=[["nobody"]])), "nobody"),
            ):
                router.write(bad)
                await until(lambda w=words: w in (router.config_error or ""), what=words)  # type: ignore[misc]
                view = (await router.admin("/-/config")).json
                assert words in view["error"] and view["hash"] == before["hash"]
                assert (await router.ask(chat())).complete
                assert (await router.admin("/-/ready")).status == 200
            router.write(good)
            await until(lambda: router.config_error is None)


async def test_breakers_and_pools_survive_a_reload_of_something_else(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=steps.server_error(500)) as ill, ScriptedUpstream() as well:
        backends = (house(ill.base_url), cloud(well.base_url))
        async with RunningRouter(tmp_path, config(*backends)) as router:
            for _ in range(3):
                assert (await router.ask(chat())).complete
            assert (await router.state("house"))["breaker"]["state"] == "open"
            router.write(config(*backends, models=["counting", "other"], generation=2))
            await until(lambda: "other" in router.table.models)
            assert (await router.state("house"))["breaker"]["state"] == "open"
            asked = len(ill.requests)
            assert (await router.ask(chat())).complete
            assert len(ill.requests) == asked and well.accepted == 1


async def test_without_a_configuration_it_waits_unready(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, {"version": 2}) as router:
        assert (await router.admin("/-/healthy")).status == 200
        ready = await router.admin("/-/ready")
        assert ready.status == 503 and b"no configuration" in ready.body
        answer = await router.ask(chat())
        assert answer.status == 503 and answer.json["error"]["type"] == "router_not_configured"
        router.write(config(house(local.base_url)))
        await until(lambda: router.configured)
        assert (await router.admin("/-/ready")).status == 200
        assert (await router.ask(chat())).complete


async def test_endpoints_come_and_go_with_dns(tmp_path: Path, names: Names) -> None:
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        one = await pod(stack, "127.0.0.1", port)
        two = await pod(stack, "127.0.0.2", port)
        names.known["house.test"] = ("127.0.0.1",)
        async with RunningRouter(tmp_path, config(pods("house.test", port))) as router:
            assert (await router.ask(chat())).complete
            names.known["house.test"] = ("127.0.0.1", "127.0.0.2")
            table = router.table
            assert table is not None
            backend = table.backends["house"]
            await until(lambda: [e.healthy for e in backend.endpoints] == [True, True], what="two endpoints")
            for _ in range(6):
                assert (await router.ask(chat())).complete
            assert len(two.requests) == 3, "requests were not shared evenly"
            for broken in ("down", "empty"):
                names.down = broken == "down"
                if broken == "empty":
                    names.known.clear()
                await asyncio.sleep(1.5)
                assert len(backend.endpoints) == 2, "the last good endpoints were thrown away"
                assert (await router.ask(chat())).complete
            names.known["house.test"] = ("127.0.0.2",)
            await until(lambda: len(backend.endpoints) == 1, what="the end of one endpoint")
            before = len(one.requests)
            for _ in range(4):
                assert (await router.ask(chat())).complete
            assert len(one.requests) == before


async def test_one_dead_pod_of_two_costs_nobody_anything(tmp_path: Path, names: Names) -> None:
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        one = await pod(stack, "127.0.0.1", port, default=Answer(first_delay=0.3))
        await pod(stack, "127.0.0.2", port, default=Answer(first_delay=0.3))
        other = await stack.enter_async_context(ScriptedUpstream())
        names.known["house.test"] = ("127.0.0.1", "127.0.0.2")
        async with RunningRouter(tmp_path, config(pods("house.test", port), cloud(other.base_url))) as router:
            running = [asyncio.ensure_future(router.ask(chat())) for _ in range(20)]
            await one.until(lambda: len(one.requests) >= 10)
            await one.kill()
            answers = await asyncio.gather(*running)
            answers += [await router.ask(chat()) for _ in range(20)]
            assert all(a.complete and a.headers["x-genset-backend"] == "house" for a in answers)
            assert not other.requests
            state = await router.state("house")
            assert state["breaker"]["state"] == "closed" and state["admits"]


async def test_the_house_dies_under_load_and_comes_back(tmp_path: Path, names: Names) -> None:
    port = free_port()
    names.known["house.test"] = ("127.0.0.1",)
    async with contextlib.AsyncExitStack() as stack:
        local = await pod(stack, "127.0.0.1", port, default=Answer(first_delay=0.01))
        other = await stack.enter_async_context(ScriptedUpstream())
        async with RunningRouter(tmp_path, config(pods("house.test", port), cloud(other.base_url))) as router:
            answers: list[tuple[float, str]] = []
            stop = False
            loop = asyncio.get_running_loop()

            async def load() -> None:
                while not stop:
                    answer = await router.ask(chat(stream=False))
                    assert answer.complete and fault(answer.text, 10) is None, answer
                    answers.append((loop.time(), answer.headers["x-genset-backend"]))
                    await asyncio.sleep(0.01)

            clients = [asyncio.ensure_future(load()) for _ in range(10)]
            await until(lambda: len(answers) > 50)
            killed = loop.time()
            await local.kill()
            await until(lambda: sum(1 for at, name in answers if name == "cloud") > 50)
            local.listen()
            returned = loop.time()
            await until(lambda: answers[-1][1] == "house", within=30, what="the return to the house")
            await asyncio.sleep(0.3)
            stop = True
            await asyncio.gather(*clients)
            assert min(at for at, name in answers if name == "cloud") - killed < 0.5
            back = min(at for at, name in answers if name == "house" and at > returned) - returned
            assert 9.0 < back < 20.0, f"traffic came back after {back:.1f} s"


async def test_a_flapping_house_does_not_drag_traffic_along(tmp_path: Path, names: Names) -> None:
    port = free_port()
    names.known["house.test"] = ("127.0.0.1",)
    async with contextlib.AsyncExitStack() as stack:
        local = await pod(stack, "127.0.0.1", port)
        other = await stack.enter_async_context(ScriptedUpstream())
        async with RunningRouter(tmp_path, config(pods("house.test", port), cloud(other.base_url))) as router:
            await local.kill()
            for _ in range(4):
                assert (await router.ask(chat())).complete
            local.listen()
            began = time.monotonic()
            while time.monotonic() - began < 4:  # well for 4 s is not well enough
                answer = await router.ask(chat())
                assert answer.complete and answer.headers["x-genset-backend"] == "cloud"
                await asyncio.sleep(0.1)


async def test_a_hung_pod_is_no_reason_to_give_up_while_another_is_well(tmp_path: Path, names: Names) -> None:
    port = free_port()
    names.known["house.test"] = ("127.0.0.1", "127.0.0.2")
    async with contextlib.AsyncExitStack() as stack:
        await pod(stack, "127.0.0.1", port, default=Silence())
        await pod(stack, "127.0.0.2", port)
        content = config(pods("house.test", port), failover={"firstTokenSeconds": 0.3})
        async with RunningRouter(tmp_path, content) as router:
            answers = [await router.ask(chat()) for _ in range(4)]
        assert all(answer.complete for answer in answers)
        assert any("too_late" in answer.headers["x-genset-attempts"] for answer in answers)
