"""The admin port: what it bounds, and that nobody who asks there slows down clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import pytest

from genset.router.process import admin
from genset.router.process.options import AdminTimeouts, Bounds
from testbed.router import RunningRouter, config, house, until
from testbed.upstream import client
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream

GET = b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture
def timeouts() -> AdminTimeouts:
    """Tests that wait for them have shorter ones."""
    return AdminTimeouts()


@pytest.fixture
async def router(tmp_path: Path, timeouts: AdminTimeouts) -> AsyncIterator[RunningRouter]:
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url)), bounds=Bounds(admin=timeouts)) as running,
    ):
        yield running


async def raw(router: RunningRouter, data: bytes, within: float = 1.0) -> bytes:
    return await client.raw("127.0.0.1", router.router.admin_port, data, within)


async def latency(router: RunningRouter) -> float:
    loop = asyncio.get_running_loop()
    times = []
    for _ in range(20):
        began = loop.time()
        assert (await router.ask(chat(stream=False))).status == 200
        times.append(loop.time() - began)
    return median(times)


@pytest.mark.parametrize("path", [b"/metrics", b"/-/state", b"/-/config", b"/-/demand"])
async def test_thousands_of_pipelined_requests_delay_no_client(router: RunningRouter, path: bytes) -> None:
    alone = await latency(router)
    connections = [await asyncio.open_connection("127.0.0.1", router.router.admin_port) for _ in range(4)]
    tasks = []
    for reader, writer in connections:
        writer.write(GET % path * 6000)
        tasks.append(asyncio.ensure_future(reader.read()))  # at most 64 KiB wait for it
    assert await latency(router) < max(0.05, 10 * alone)
    for task in tasks:
        task.cancel()
    for _, writer in connections:
        writer.close()


async def test_pipelined_requests_are_answered_one_by_one_in_order(router: RunningRouter) -> None:
    got = await raw(router, GET % b"/-/healthy" + GET % b"/-/nowhere" + b"HEAD /-/ready HTTP/1.1\r\nhost: x\r\n\r\n")
    assert got.count(b"HTTP/1.1 200 ") == 2 and got.index(b"200 OK") < got.index(b"404 Not Found")
    assert got.endswith(b"\r\n\r\n")
    assert (await raw(router, GET % b"/-/healthy" * 100)).count(b"HTTP/1.1 200 ") == 100


def test_a_page_is_made_once_in_its_time_and_once_more_for_a_second_look() -> None:
    clock, made = 0.0, 0

    def render() -> bytes:
        nonlocal made
        made += 1
        return b"%d" % made

    page = admin.Page(render, 1.0, lambda: clock)
    seen = []
    for step in range(1000):
        clock = step / 100
        seen.append(int(page.body()))
    assert [seen[at] for at in range(99, 1000, 100)] == list(range(2, 12))
    clock += 60
    assert (page.body(), page.body(), page.body()) == (b"12", b"13", b"13")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /-/state HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc" + GET % b"/-/healthy", 413),
        (b"GET /-/state HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", 413),
        (b"POST /-/state HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (b"GET /" + b"x" * 20_000, 413),
        (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n" + GET % b"/-/healthy", 400),
        (b"nonsense\r\n\r\n", 400),
    ],
)
async def test_what_is_no_get_is_refused(router: RunningRouter, data: bytes, status: int) -> None:
    got = await raw(router, data)
    assert got.startswith(b"HTTP/1.1 %d " % status), got
    assert got.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("timeouts", [AdminTimeouts(idle=0.2, head=0.1)], ids=["short"])
async def test_silent_connections_are_closed(router: RunningRouter) -> None:
    idle, begun = await asyncio.gather(raw(router, b"", 5), raw(router, b"GET /-/he", 5))
    assert idle == b"" and begun == b""
    await until(lambda: not router.admin_connections)


@pytest.mark.parametrize("timeouts", [AdminTimeouts(idle=1.0)], ids=["short"])
async def test_whoever_reads_no_answers_gets_no_more_and_is_dropped(router: RunningRouter) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", router.router.admin_port, limit=1)
    writer.write(GET % b"/metrics" * 5000)
    await until(lambda: any(c._stuck for c in router.admin_connections), what="an answer that is not taken")
    assert sum(c._transport.get_write_buffer_size() for c in router.admin_connections) < 1_000_000
    await until(lambda: not router.admin_connections, what="the end of who reads nothing")
    writer.close()


@pytest.mark.parametrize("probe", ["127.0.0.1", "127.0.0.2"], ids=["same address", "another address"])
async def test_half_requests_lock_no_probe_out(router: RunningRouter, probe: str) -> None:
    """As many as there may be, opened anew whenever one is closed."""
    port = router.router.admin_port
    half: list[asyncio.StreamWriter] = []

    async def open_more(count: int) -> None:
        for _ in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /-/healthy HTTP/1.1\r\n")
            half.append(writer)

    await open_more(admin.CONNECTIONS)
    await until(lambda: len(router.admin_connections) == admin.CONNECTIONS)
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(probe, 0))
        await open_more(3)
        writer.write(GET % b"/-/healthy")
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), 5)
        await open_more(1)
        writer.close()
    await until(lambda: len(router.admin_connections) <= admin.CONNECTIONS)
    for writer in half:
        writer.close()


async def test_of_many_connections_the_one_that_is_idle_longest_makes_way(router: RunningRouter) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", router.router.admin_port) for _ in range(admin.CONNECTIONS)]
    await until(lambda: len(router.admin_connections) == admin.CONNECTIONS)
    assert b"200 OK" in await raw(router, GET % b"/-/ready", 0.3)
    assert await asyncio.wait_for(idle[0][0].read(), 5) == b""
    assert len(router.admin_connections) <= admin.CONNECTIONS
    for _, writer in idle:
        writer.close()
