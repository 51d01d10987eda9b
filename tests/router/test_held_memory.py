"""What is held for clients is counted and shared, whatever it is: requests in work, heads, what nobody reads."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from testbed.router import RunningRouter, config, house, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Silence, Status
from tests.support.router.crowd import HEAD, MB, OTHER, Client, deaf, send_more

POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
MODELS = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture
async def local() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        yield upstream


def lines(count: int) -> bytes:
    return b"".join(b"x%d:\r\n" % number for number in range(count))


def post(head: bytes = b"", **more: object) -> bytes:
    data = json.dumps(chat(**more)).encode()
    return POST + head + b"content-length: %d\r\n\r\n" % len(data) + data


async def other_is_served(router: RunningRouter, size: int = 3_000) -> None:
    client = await Client.connect(router, OTHER)
    assert await client.ask(messages=[{"role": "user", "content": "x" * size}]) == 200
    client.close()


async def all_is_given_back(router: RunningRouter, crowd: Sequence[Client | socket.socket]) -> None:
    """Nothing is held for clients who have left."""
    for client in crowd:
        client.close()
    await until(lambda: router.buffered_bytes == 0, what="the release of all that was held")


# Requests in work


async def test_bodies_in_work_leave_room_to_others(tmp_path: Path, local: ScriptedUpstream) -> None:
    """Ever smaller ones, until not one byte more would fit."""
    local.always(Silence(headers=False))
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        router.budget.most = MB
        crowd = []
        for size in (200_000, 50_000, 10_000, 1_000):
            for _ in range(6):
                crowd.append(await Client.connect(router))
                crowd[-1].writer.write(post(messages=[{"role": "user", "content": "x" * size}]))
                await asyncio.sleep(0.02)
        assert 0.8 * MB < router.buffered_bytes <= 0.88 * MB
        local.always(Answer())
        await other_is_served(router)
        await all_is_given_back(router, crowd)


@pytest.mark.parametrize("coded", [False, True], ids=["plain", "gzip"])
async def test_slow_bodies_make_way_for_a_whole_one(tmp_path: Path, local: ScriptedUpstream, coded: bool) -> None:
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        router.budget.most = 4 * MB
        slow = [await Client.connect(router) for _ in range(3)]
        for client in slow:
            client.writer.write(HEAD % (2 * MB) + b" " * MB)
        await until(lambda: router.buffered_bytes > 2.9 * MB)
        data = json.dumps(
            chat(stream=False, messages=[{"role": "user", "content": secrets.token_hex(750_000)}])
        ).encode()
        data = gzip.compress(data) if coded else data
        head = b"content-encoding: gzip\r\n" if coded else b""
        honest = await Client.connect(router, OTHER)
        honest.writer.write(POST + head + b"content-length: %d\r\n\r\n" % len(data) + data)
        assert await honest.status() == 200
        for client in (*slow, honest):
            client.close()


async def test_no_tree_is_kept_while_a_refused_request_waits(tmp_path: Path, local: ScriptedUpstream) -> None:
    """The first backend refuses; the second is full."""
    refusal = {"error": {"message": "this model does not support tools", "type": "invalid_request_error"}}
    bound = {"maxInFlightPerEndpoint": 1, "maxQueued": 64, "queueSeconds": 20}
    async with ScriptedUpstream(default=Silence(headers=False)) as full:
        local.always(Status(400, {**refusal, "code": "unsupported_parameter"}))
        backends = house(local.base_url), house(full.base_url, "full", balancing=bound)
        async with RunningRouter(tmp_path, config(*backends)) as router:
            crowd = [await Client.connect(router) for _ in range(8)]
            for client in crowd:
                client.writer.write(post(max_tokens=5, tools=[[] for _ in range(1000)]))
            await local.until(lambda: len(local.requests) >= 8)
            waiting = router.table.backends["full"].line
            await until(lambda: len(waiting) == 7, what="those who wait for the full one")
            assert [exchange.request._tree for exchange in router.exchanges] == [None] * 8
            for client in crowd:
                client.close()


# Heads


@pytest.mark.parametrize(("count", "status"), [(254, b"200"), (300, b"431"), (9_000, b"431")])
async def test_headers_are_bounded_in_number(
    tmp_path: Path, local: ScriptedUpstream, count: int, status: bytes
) -> None:
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        client = await Client.connect(router)
        client.writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\n" + lines(count) + b"\r\n")
        assert (await asyncio.wait_for(client.reader.readline(), 5)).split()[1] == status
        if status == b"200":
            (connection,) = router.connections
            assert router.buffered_bytes == 0 and connection.reader.head.headers == {}, (
                "an idle connection keeps a head"
            )
        client.close()


async def test_a_head_counts_with_what_it_costs_from_its_first_bytes(tmp_path: Path, local: ScriptedUpstream) -> None:
    local.always(Silence(headers=False))
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        client = await Client.connect(router)
        request = post(lines(200))
        cut = request.index(b"x199:")
        client.writer.write(request[:cut])
        await until(lambda: router.buffered_bytes > 200 * 200, what="the half head")
        client.writer.write(request[cut:])
        await local.until(lambda: len(local.requests) == 1)
        assert 200 * 200 < router.buffered_bytes < 200 * 300, "it is counted twice, or no longer"
        client.close()
        await until(lambda: router.buffered_bytes == 0)


async def test_half_heads_make_way(tmp_path: Path, local: ScriptedUpstream) -> None:
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        router.budget.most = MB
        crowd = [await Client.connect(router) for _ in range(40)]
        for client in crowd:
            client.writer.write(POST + lines(200))
        await until(lambda: len(router.connections) < 40 or router.buffered_bytes > 0.8 * MB)
        await other_is_served(router)
        assert router.buffered_bytes <= 0.88 * MB
        await all_is_given_back(router, crowd)


# What nobody reads


def closed(client: socket.socket) -> bool:
    try:
        while client.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


async def test_whole_answers_that_nobody_reads_make_way(tmp_path: Path, local: ScriptedUpstream) -> None:
    local.always(Answer(words=2_500_000, stream=False))
    settings = config(house(local.base_url), failover={"rebuildAnswers": False})
    async with RunningRouter(tmp_path, settings) as router:
        router.budget.most = 32 * MB
        crowd = [deaf(router.router.listen_port, b"") for _ in range(6)]
        await until(lambda: len(router.connections) == 6)
        most = 0
        for client in crowd:
            send_more(client, post(stream=False))
            for _ in range(40):
                await asyncio.sleep(0.01)
                most = max(most, router.buffered_bytes)
        await until(lambda: not router.exchanges and len(router.connections) < 6)
        assert 10 * MB < most <= 32 * MB
        local.always(Answer())
        await other_is_served(router)
        await all_is_given_back(router, crowd)


async def test_an_answer_that_is_rebuilt_makes_way_when_it_grows(tmp_path: Path, local: ScriptedUpstream) -> None:
    """Its server is broken, or somebody's: it writes on and on."""
    local.always(Answer(texts=("x" * MB,) * 20))
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        router.budget.most = 8 * MB
        answer = await router.ask(chat(stream=False))
        assert answer.status == 429 and answer.json["error"]["code"] == "overloaded"
        local.always(Answer(texts=("x" * MB,) * 6))
        assert (await router.ask(chat(stream=False))).complete, "one that fits"
        await all_is_given_back(router, ())


async def test_an_answer_that_is_rebuilt_has_an_end(tmp_path: Path, local: ScriptedUpstream) -> None:
    local.always(Answer(texts=("x" * MB,) * 70))
    async with (
        ScriptedUpstream() as other,
        RunningRouter(tmp_path, config(house(local.base_url), house(other.base_url, "b"))) as router,
    ):
        router.budget.most = 1024 * MB
        answer = await router.ask(chat(stream=False))
        assert answer.complete and answer.headers["x-genset-backend"] == "b"
        assert "house:invalid_response" in answer.headers["x-genset-attempts"]
        await all_is_given_back(router, ())


@pytest.mark.parametrize("in_work", [False, True], ids=["answers", "requests"])
async def test_pipelines_that_nobody_reads_make_way(tmp_path: Path, local: ScriptedUpstream, in_work: bool) -> None:
    local.always(Silence(headers=False))
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        router.budget.most = 4 * MB
        crowd = [deaf(router.router.listen_port, b"") for _ in range(40)]
        await until(lambda: len(router.connections) == 40)
        if in_work:
            for client in crowd:
                send_more(client, post())
            await local.until(lambda: len(local.requests) == 40)
        local.always(Answer())
        most = 0
        for _ in range(30):
            for client in crowd:
                send_more(client, MODELS * 8_000)
            await asyncio.sleep(0.05)
            most = max(most, router.buffered_bytes)
            await other_is_served(router)
        assert 2 * MB < most <= 4 * MB
        assert any(closed(client) for client in crowd)
        await all_is_given_back(router, crowd)
