"""Clients that are slow, on purpose or not: nobody else waits for them, and what is kept for them has a bound."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from genset.router.http.client_timeouts import ClientTimeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, config, house, until
from testbed.upstream import client
from testbed.upstream.client import chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Silence

BIG = Answer(texts=tuple("x" * 50_000 for _ in range(400)))  # 20 MB


def post(body: Any, *headers: bytes) -> bytes:
    data = json.dumps(body).encode()
    lines = b"".join(line + b"\r\n" for line in (b"host: x", b"content-length: %d" % len(data), *headers))
    return b"POST /v1/chat/completions HTTP/1.1\r\n%b\r\n%b" % (lines, data)


async def slow_socket(router: RunningRouter) -> socket.socket:
    """A connected socket with a small receive buffer."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", router.router.listen_port))
    return sock


def unsent(router: RunningRouter) -> int:
    return sum(c.transport.get_write_buffer_size() for c in router.connections)


async def test_a_fast_client_never_waits_for_a_slow_one(tmp_path: Path) -> None:
    def choose(received: Any) -> Answer:
        return BIG if received.json.get("user") == "slow" else Answer(words=50)

    async with (
        ScriptedUpstream(choose=choose) as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
    ):
        loop = asyncio.get_running_loop()
        slow = [await slow_socket(router) for _ in range(8)]
        try:
            for sock in slow:
                await loop.sock_sendall(sock, post(chat(user="slow")))
            await until(lambda: sum(c.paused for c in router.connections) == 8, what="eight paused clients")
            times = []
            for _ in range(20):
                began = loop.time()
                answer = await router.ask(chat())
                times.append(loop.time() - began)
                assert answer.complete and fault(answer.text, 50) is None
            assert sorted(times)[10] < 0.1, (
                f"with slow clients about, half of the requests took {sorted(times)[10]:.3f} s"
            )
            assert unsent(router) < 8 * 1_000_000
            assert all(received.bytes_sent < 15_000_000 for received in local.requests if received.step is BIG)
        finally:
            for sock in slow:
                sock.close()
        await until(lambda: not router.exchanges)


async def test_who_pipelines_and_reads_nothing_gets_no_further_answers(tmp_path: Path) -> None:
    names = [f"model-{number:05d}" for number in range(5000)]  # 300 kB for each list of models
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url), models=names)) as router,
    ):
        loop = asyncio.get_running_loop()
        with await slow_socket(router) as sock:
            ask = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
            sending = asyncio.ensure_future(loop.sock_sendall(sock, ask * 20_000))  # 6 GB of answers
            await until(lambda: any(c.paused for c in router.connections))
            await asyncio.sleep(0.5)
            assert unsent(router) < 2_000_000, "answers pile up for a client that reads nothing"
            (connection,) = router.connections
            served = connection.answering.served
            got = 0
            while got < 3_000_000:  # it reads on: all is well
                got += len(await loop.sock_recv(sock, 1_000_000))
            await until(lambda: connection.answering.served > served)
            assert unsent(router) < 2_000_000
            sending.cancel()
        await until(lambda: not router.connections)


@pytest.mark.parametrize("how", [b"connection: close", b"connection: keep-alive"])
async def test_a_slow_download_is_not_cut_by_the_clocks_of_other_states(tmp_path: Path, how: bytes) -> None:
    times = ClientTimeouts(linger=0.2, idle=0.2)
    async with (
        ScriptedUpstream(default=BIG) as local,
        RunningRouter(tmp_path, config(house(local.base_url)), bounds=Bounds(clients=times)) as router,
    ):
        loop = asyncio.get_running_loop()
        with await slow_socket(router) as sock:
            await loop.sock_sendall(sock, post(chat(stream=False), how))
            data = b""
            while b"\r\n\r\n" not in data:
                data += await loop.sock_recv(sock, 65536)
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert length > 19_000_000
            got, slow_until = len(body), loop.time() + 3
            while got < length:
                if loop.time() < slow_until:
                    await asyncio.sleep(0.1)
                more = await loop.sock_recv(sock, 65536 if loop.time() < slow_until else 4_000_000)
                assert more, f"cut after {got} of {length} bytes"
                got += len(more)


async def test_who_takes_nothing_of_a_whole_answer_is_dropped(tmp_path: Path) -> None:
    times = ClientTimeouts(write=1.0)
    async with (
        ScriptedUpstream(default=BIG) as local,
        RunningRouter(tmp_path, config(house(local.base_url)), bounds=Bounds(clients=times)) as router,
    ):
        with await slow_socket(router) as sock:
            await asyncio.get_running_loop().sock_sendall(sock, post(chat(stream=False)))
            await until(lambda: unsent(router) > 1_000_000, within=15, what="the answer in the router")
            await until(lambda: not router.connections, within=6, what="the end of a client that reads nothing")


async def trickle(router: RunningRouter, head: bytes, drop: bytes, every: float, within: float) -> bytes:
    """Sends `head`, then one `drop` after another until the router answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
    writer.write(head)
    got = asyncio.ensure_future(reader.read(4096))
    try:
        async with asyncio.timeout(within):
            while not got.done():
                writer.write(drop)
                await asyncio.sleep(every)
        return got.result()
    finally:
        got.cancel()
        writer.close()


POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (POST, b"x: y\r\n"),
        (b"GET /", b"a"),
        (POST + b"content-length: 100000\r\n\r\n", b"x"),
        (POST + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (POST + b"transfer-encoding: chunked\r\n\r\n1;", b"extension"),
        (POST + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"trailer: x\r\n"),
    ],
    ids=["headers", "url", "length", "chunks", "extension", "trailers"],
)
async def test_a_trickle_holds_nothing_for_long(tmp_path: Path, head: bytes, drop: bytes) -> None:
    times = ClientTimeouts(head=0.3, body=0.5)
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url)), bounds=Bounds(clients=times)) as router,
    ):
        got = await trickle(router, head, drop, 0.05, within=8)
        assert got.startswith(b"HTTP/1.1 408 ") and b"caller_timeout" in got, got
        await until(lambda: not router.connections)
        assert router.buffered_bytes == 0


async def test_bodies_in_work_count_until_they_are_answered(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Silence(headers=False)) as local:
        async with RunningRouter(tmp_path, config(house(local.base_url), limits={"maxBodyBytes": 1_000_000})) as router:
            router.budget.most = 2_500_000
            message = [{"role": "user", "content": "x" * 900_000}]
            held = [asyncio.ensure_future(router.ask(chat(messages=message))) for _ in range(2)]
            await local.until(lambda: len(local.requests) == 2)
            refused = await router.ask(chat(messages=message))
            assert refused.status == 429 and refused.json["error"]["type"] == "router_overloaded"
            local.always(Answer())
            assert (await asyncio.wait_for(asyncio.ensure_future(router.ask(chat())), 5)).complete
            for task in held:
                task.cancel()
            await until(lambda: router.buffered_bytes == 0, what="the release of what clients left behind")
            assert (await router.ask(chat(messages=message))).complete
        assert router.buffered_bytes == 0


async def test_trailers_have_no_say_and_tracestate_may_come_in_lines(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        body = json.dumps(chat(stream=False)).encode()
        head = (
            POST + b"traceparent: 00-%b-%b-01\r\ntracestate: a=1\r\ntracestate: b=2\r\n" % (b"a" * 32, b"b" * 16)
            + b"transfer-encoding: chunked\r\ntrailer: x-request-id\r\n\r\n"
        )  # fmt: skip
        end = b"0\r\nx-request-id: forged\r\nx-genset-timeout: 0.001\r\ntracestate: c=3\r\n\r\n"
        got = await client.raw(
            "127.0.0.1", router.router.listen_port, head + b"%x\r\n%b\r\n" % (len(body), body) + end, 1
        )
        assert got.startswith(b"HTTP/1.1 200 ") and b"forged" not in got
        assert local.requests[0].headers["tracestate"] == "a=1,b=2"
        assert local.requests[0].headers["x-request-id"] != "forged"
