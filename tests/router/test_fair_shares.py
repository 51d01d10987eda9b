"""Many clients and little of something: nobody takes all of it, and one alone gets everything."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genset.router.wire import downstream
from tests.router import running
from tests.router.running import RunningRouter, config, house, until
from tests.upstream.client import chat, request
from tests.upstream.scripted import ScriptedUpstream
from tests.upstream.steps import Answer, Silence

OTHER = "127.0.0.2"  # the address of somebody else
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
MB = 1_000_000


class Client:
    """A raw connection from one of the addresses of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, router: RunningRouter, source: str = "127.0.0.1") -> Client:
        port = router.router.listen_port
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))

    async def ask(self, **more: object) -> int:
        """The status of a whole answer."""
        data = json.dumps(chat(stream=False, **more)).encode()
        self.writer.write(HEAD % len(data) + data)
        return await self.status()

    async def status(self, within: float = 5.0) -> int:
        async with asyncio.timeout(within):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await self.reader.readexactly(length)
        return int(head.split()[1])

    async def is_closed(self, within: float = 5.0) -> bool:
        async with asyncio.timeout(within):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self.writer.close()


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
        await until(
            lambda: router.router.buffered_bytes > 40 * MB or len(router.router.connections) < 4, what="the slow bodies"
        )
        await asyncio.sleep(2.5)  # the sweep looks once a second at how far each has come
        for _ in range(20):
            honest = await Client.connect(router, source)
            assert await honest.ask(messages=[{"role": "user", "content": "x" * 20_000}]) == 200
            honest.close()
        large = await Client.connect(router, source)
        assert await large.ask(messages=[{"role": "user", "content": "x" * 30 * MB}]) == 200
        assert router.router.buffered_bytes <= router.router.most_buffered_bytes
        for client in (*slow, large):
            client.close()
        await until(lambda: router.router.buffered_bytes == 0, what="the release of all bodies")


async def test_of_two_clients_the_one_that_holds_more_makes_way(tmp_path: Path, local: ScriptedUpstream) -> None:
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        router.router.most_buffered_bytes = 8 * MB
        greedy = [await Client.connect(router) for _ in range(3)]
        for client in greedy:
            client.writer.write(HEAD % (3 * MB) + b"x" * 2 * MB)
        await until(lambda: router.router.buffered_bytes == 6 * MB)
        modest = await Client.connect(router, OTHER)
        modest.writer.write(HEAD % (3 * MB) + b"x" * 2 * MB)

        def held() -> list[tuple[str, int]]:
            return sorted((c.origin, c.held_bytes) for c in router.router.connections if c.held_bytes)

        await until(
            lambda: held() == [("127.0.0.1", 2 * MB), ("127.0.0.1", 2 * MB), (OTHER, 2 * MB)],
            what="the place of the modest client's body",
        )
        for client in (*greedy, modest):
            client.close()


async def test_a_body_that_came_fast_and_then_trickles_is_refused(
    tmp_path: Path, local: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pace on the whole would be good for hours."""
    for name, seconds in (("HEAD_SECONDS", 0.2), ("BODY_SECONDS", 1.5), ("PACE_SECONDS", 1.0)):
        monkeypatch.setattr(downstream, name, seconds)
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        client = await Client.connect(router)
        client.writer.write(HEAD % (10 * MB) + b"x" * 9 * MB)
        status = asyncio.ensure_future(client.status(within=15))
        while not status.done():
            client.writer.write(b"x")
            await asyncio.sleep(0.2)
        assert await status == 408 and await client.is_closed()
        assert router.router.buffered_bytes == 0


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
        await until(lambda: router.router.buffered_bytes == len(data))
        (connection,) = router.router.connections
        assert len(connection._body) < 1500
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
        assert router.router.buffered_bytes > 50_000
        client.close()
        await until(lambda: router.router.buffered_bytes == 0)


# The line


async def test_a_long_line_of_one_client_keeps_no_other_waiting(tmp_path: Path, local: ScriptedUpstream) -> None:
    local.always(Answer(words=3, interval=0.05))
    limits = {"maxInFlight": 1, "maxQueued": 40}
    async with RunningRouter(tmp_path, config(house(local.base_url), limits=limits)) as router:
        crowd = [await Client.connect(router) for _ in range(41)]
        asked = [asyncio.ensure_future(client.ask()) for client in crowd]
        await until(lambda: router.router.gate.queued == 40, what="a full line")
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
        await until(lambda: router.router.gate.queued == 13, what="all that one client gets")
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
        assert router.router.table is not None
        (backend,) = router.router.table.backends.values()
        await until(lambda: len(backend.line) == 8, what="a full line")
        other = await Client.connect(router, OTHER)
        assert await other.ask() == 200, "the line is full, but not of this client's requests"
        assert sum(not task.done() for task in asked) > 4, "it had to wait for the others"
        assert [task.result() for task in asked if task.done()].count(429) == 1, "one of the crowd made way"
        for client in (*crowd, other):
            client.close()
        await asyncio.gather(*asked, return_exceptions=True)


# Descriptors


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """So many are left for this process, which is the router's and its clients'."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_idle_connections_make_way_the_oldest_of_the_greediest_first(
    tmp_path: Path, local: ScriptedUpstream
) -> None:
    async with RunningRouter(tmp_path, config(house(local.base_url))) as router:
        with descriptors(200):
            modest = await Client.connect(router, OTHER)
            assert await modest.ask() == 200
            idle = [await Client.connect(router) for _ in range(120)]  # two descriptors each
            await until(lambda: len(router.router.connections) < 121, what="the first that made way")
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
    process, port, admin = await running.spawn(tmp_path, config(house(local.base_url)))
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


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nhost: "], ids=["idle", "half a head"])
async def test_idle_connections_lock_nobody_out(tmp_path: Path, local: ScriptedUpstream, sent: bytes) -> None:
    process, port, admin = await running.spawn(tmp_path, config(house(local.base_url)))
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (100, 100))
    clients = []
    try:
        for _ in range(150):
            clients.append(await asyncio.open_connection("127.0.0.1", port))
            clients[-1][1].write(sent)
        answer = await request(f"http://127.0.0.1:{port}/v1/chat/completions", chat(), within=15)
        assert answer.complete
        assert (await request(f"http://127.0.0.1:{admin}/-/ready")).status == 200
    finally:
        for _, writer in clients:
            writer.close()
        process.terminate()
        await process.wait()
