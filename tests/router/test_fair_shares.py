"""Many clients and little of something: nobody takes all of it, and one alone gets everything."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genset.router.http.client_timeouts import ClientTimeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, config, house, spawn, until
from testbed.upstream.client import chat, request
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Silence
from tests.support.router.crowd import HEAD, MB, OTHER, Client, deaf, descriptors


@pytest.fixture
async def local() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        yield upstream


# Bodies


@pytest.mark.parametrize("source", ["127.0.0.1", OTHER], ids=["same address", "another address"])
async def test_slow_bodies_make_way_for_whoever_comes(tmp_path: Path, local: ScriptedUpstream, source: str) -> None:
    """Four bodies of 32 MiB that never end, and a small request every now and then."""
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        slow = [await Client.connect(router) for _ in range(4)]
        for client in slow:
            client.writer.write(HEAD % (32 * 1024 * 1024) + b"x" * 16 * MB)
        await until(lambda: router.buffered_bytes > 40 * MB or len(router.connections) < 4, what="the slow bodies")
        await asyncio.sleep(2.5)  # the sweep looks once a second at how far each has come
        for _ in range(20):
            honest = await Client.connect(router, source)
            assert await honest.ask(messages=[{"role": "user", "content": "x" * 20_000}]) == 200
            honest.close()
        large = await Client.connect(router, source)
        assert await large.ask(messages=[{"role": "user", "content": "x" * 30 * MB}]) == 200
        assert router.buffered_bytes <= router.budget.most
        for client in (*slow, large):
            client.close()
        await until(lambda: router.buffered_bytes == 0, what="the release of all bodies")


async def test_of_two_clients_the_one_that_holds_more_makes_way(tmp_path: Path, local: ScriptedUpstream) -> None:
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        router.budget.most = 8 * MB
        greedy = [await Client.connect(router) for _ in range(3)]
        for client in greedy:
            client.writer.write(HEAD % (3 * MB) + b"x" * 2 * MB)
        await until(lambda: router.buffered_bytes == 6 * MB)
        modest = await Client.connect(router, OTHER)
        modest.writer.write(HEAD % (3 * MB) + b"x" * 2 * MB)

        def held() -> list[tuple[str, int]]:
            return sorted((c.origin, c.held_bytes) for c in router.connections if c.held_bytes)

        await until(
            lambda: held() == [("127.0.0.1", 2 * MB), ("127.0.0.1", 2 * MB), (OTHER, 2 * MB)],
            what="the place of the modest client's body",
        )
        for client in (*greedy, modest):
            client.close()


async def test_a_body_that_came_fast_and_then_trickles_is_refused(tmp_path: Path, local: ScriptedUpstream) -> None:
    """Its pace on the whole would be good for hours."""
    times = ClientTimeouts(head=0.2, body=1.5, pace=1.0)
    async with RunningRouter(tmp_path, config(house(local.base_url)), bounds=Bounds(clients=times)) as router:
        client = await Client.connect(router)
        client.writer.write(HEAD % (10 * MB) + b"x" * 9 * MB)
        status = asyncio.ensure_future(client.status(within=15))
        while not status.done():
            client.writer.write(b"x")
            await asyncio.sleep(0.2)
        assert await status == 408 and await client.is_closed()
        assert router.buffered_bytes == 0


async def test_a_body_in_pieces_of_two_bytes_takes_no_more_than_its_bytes(
    tmp_path: Path, local: ScriptedUpstream
) -> None:
    data = json.dumps(chat(stream=False, messages=[{"role": "user", "content": "x" * 200_000}])).encode()
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(data[at : at + 2]), data[at : at + 2]) for at in range(0, len(data), 2))
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        client = await Client.connect(router)
        client.writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + pieces
        )
        await until(lambda: router.buffered_bytes == len(data))
        (connection,) = router.connections
        assert connection.reader.pieces < 1500
        client.writer.write(b"0\r\n\r\n")
        assert await client.status() == 200
        client.close()


async def test_large_heads_count_like_bodies(tmp_path: Path, local: ScriptedUpstream) -> None:
    local.always(Silence(headers=False))
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        client = await Client.connect(router)
        data = json.dumps(chat()).encode()
        client.writer.write(HEAD[:-2] % len(data) + b"x-large: %b\r\n\r\n" % (b"y" * 50_000) + data)
        await local.until(lambda: len(local.requests) == 1)
        assert router.buffered_bytes > 50_000
        client.close()
        await until(lambda: router.buffered_bytes == 0)


# The line


async def test_a_long_line_of_one_client_keeps_no_other_waiting(tmp_path: Path, local: ScriptedUpstream) -> None:
    local.always(Answer(words=3, interval=0.05))
    limits = {"maxInFlight": 1, "maxQueued": 40}
    async with RunningRouter(tmp_path, config(house(local.base_url), limits=limits)) as router:
        crowd = [await Client.connect(router) for _ in range(41)]
        asked = [asyncio.ensure_future(client.ask()) for client in crowd]
        await until(lambda: router.gate.queued == 40, what="a full line")
        other = await Client.connect(router, OTHER)
        assert await other.ask() == 200, "the line is full, but not of this client's requests"
        assert sum(not task.done() for task in asked) > 30, "it had to wait for the others"
        refused = [task.result() for task in asked if task.done()].count(429)
        assert refused == 1, "one of the crowd made way"
        for client in (*crowd, other):
            client.close()
        await asyncio.gather(*asked, return_exceptions=True)


async def test_silent_streams_of_one_client_leave_places_to_others(tmp_path: Path, local: ScriptedUpstream) -> None:
    local.always(Silence(headers=False))
    async with RunningRouter(tmp_path, config(house(local.base_url), limits={"maxInFlight": 20})) as router:
        crowd = [await Client.connect(router) for _ in range(30)]
        asked = [asyncio.ensure_future(client.ask()) for client in crowd]
        await until(lambda: router.gate.queued == 13, what="all that one client gets")
        await local.until(lambda: len(local.requests) == 17)  # the upstream takes up a script per request that has come
        local.always(Answer())
        other = await Client.connect(router, OTHER)
        for _ in range(3):
            assert await other.ask() == 200
        assert not any(task.done() for task in asked)
        for client in (*crowd, other):
            client.close()
        await asyncio.gather(*asked, return_exceptions=True)


async def test_the_line_before_a_full_backend_is_shared(tmp_path: Path, local: ScriptedUpstream) -> None:
    local.always(Answer(words=3, interval=0.05))
    bound = {"maxInFlightPerEndpoint": 1, "maxQueued": 8, "queueSeconds": 30}
    async with RunningRouter(tmp_path, config(house(local.base_url, balancing=bound))) as router:
        crowd = [await Client.connect(router) for _ in range(9)]
        asked = [asyncio.ensure_future(client.ask()) for client in crowd]
        (backend,) = router.table.backends.values()
        await until(lambda: len(backend.line) == 8, what="a full line")
        other = await Client.connect(router, OTHER)
        assert await other.ask() == 200, "the line is full, but not of this client's requests"
        assert sum(not task.done() for task in asked) > 4, "it had to wait for the others"
        assert [task.result() for task in asked if task.done()].count(429) == 1, "one of the crowd made way"
        for client in (*crowd, other):
            client.close()
        await asyncio.gather(*asked, return_exceptions=True)


# Descriptors


async def test_idle_connections_make_way_the_oldest_of_the_greediest_first(
    tmp_path: Path, local: ScriptedUpstream
) -> None:
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        with descriptors(200):
            modest = await Client.connect(router, OTHER)
            assert await modest.ask() == 200
            idle = [await Client.connect(router) for _ in range(120)]  # two descriptors each
            await until(lambda: len(router.connections) < 121, what="the first that made way")
            assert await idle[0].is_closed()
            for _ in range(5):
                honest = await Client.connect(router, OTHER)
                assert await honest.ask() == 200
                honest.close()
            assert (await router.admin("/-/ready")).status == 200
            assert await modest.ask() == 200, "whoever holds little keeps it"
            assert await idle[-1].ask() == 200, "and so does the youngest"
        for client in (*idle, modest):
            client.close()


async def test_busy_connections_leave_the_last_descriptors_to_the_admin_port(
    tmp_path: Path, local: ScriptedUpstream
) -> None:
    """Of a process with few descriptors; the kubelet would kill it if its probes went unanswered."""
    local.always(Silence(headers=False))
    process, port, admin = await spawn(tmp_path, config(house(local.base_url)))
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (100, 100))
    data = json.dumps(chat()).encode()
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(150)]
    try:
        for _, writer in clients:
            writer.write(HEAD % len(data) + data)
        await local.until(lambda: len(local.requests) > 10)
        for _ in range(10):
            assert (await request(f"http://127.0.0.1:{admin}/-/ready")).status == 200
        state = (await request(f"http://127.0.0.1:{admin}/-/state")).json
        assert 20 < state["connections"] < 100
    finally:
        for _, writer in clients:
            writer.close()
        process.terminate()
        await process.wait()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: ",
        HEAD % 1000 + b"{",
        HEAD % 1000,
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n" * 50_000,
        b"no HTTP\r\n\r\n",
    ],
    ids=["idle", "half a head", "half a body", "no body", "unread answers", "refused"],
)
async def test_idle_connections_lock_nobody_out(tmp_path: Path, local: ScriptedUpstream, sent: bytes) -> None:
    """Nor do slow ones: the client that holds most loses what matters least, until a newcomer has its place."""
    process, port, admin = await spawn(tmp_path, config(house(local.base_url)))
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (100, 100))
    crowd: list[socket.socket] = []
    try:
        for _ in range(150):
            crowd.append(deaf(port, sent))
            await asyncio.sleep(0.005)
        for _ in range(3):
            other = Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=(OTHER, 0)))
            async with asyncio.timeout(20):
                assert await other.ask() == 200
            other.close()
        assert (await request(f"http://127.0.0.1:{admin}/-/ready")).status == 200
    finally:
        for client in crowd:
            client.close()
        process.terminate()
        await process.wait()
