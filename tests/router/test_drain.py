"""A router that leaves, and one whose table changes under running streams: nobody's answer is cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from genset.router.process.server import LATECOMER_SECONDS
from testbed.router import RunningRouter, config, house, spawn, until
from testbed.upstream import client
from testbed.upstream.client import chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer


async def test_sigterm_drains(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Answer(words=40, interval=0.1)) as local:
        process, port, admin = await spawn(tmp_path, config(house(local.base_url)), "--drain-grace", "0.8")
        url = f"http://127.0.0.1:{port}"
        try:
            kept = await client.HttpConnection.open(url)
            async with client.stream(url + "/v1/chat/completions", chat()) as running:
                await running.until_text(2)
                process.send_signal(signal.SIGTERM)
                for _ in range(100):
                    ready = await client.request(f"http://127.0.0.1:{admin}/-/ready")
                    if ready.status == 503:
                        break
                    await asyncio.sleep(0.01)
                assert ready.status == 503, "still ready after SIGTERM"
                # during the grace new requests are still served, and told to go elsewhere afterwards
                fresh = await client.request(url + "/v1/models")
                assert fresh.status == 200 and fresh.headers["connection"] == "close"
                old = await (await kept.start("/v1/models")).whole()
                assert old.status == 200 and old.headers["connection"] == "close"
                await asyncio.sleep(0.8 + LATECOMER_SECONDS)
                with pytest.raises(OSError):
                    await client.request(url + "/v1/models")
                answer = await running.whole()
            assert answer.complete and fault(answer.text, 40) is None, answer
            assert await asyncio.wait_for(process.wait(), 5) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    told = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    lines = [line for line in told if line["operation"] == "chat"]
    assert [line["backend"] for line in lines] == ["house"]
    assert lines[0]["attempts"][0].startswith("house:ok:") and lines[0]["outputTokens"] == 40
    assert "count" not in str({k: v for k, v in lines[0].items() if k != "model"}), "prompt text in the access log"


async def test_who_still_comes_after_the_grace_is_still_served(tmp_path: Path) -> None:
    """A node with much to do sends clients to a pod that is leaving for longer than usual."""
    async with (
        ScriptedUpstream(default=Answer(words=2)) as local,
        leaving(tmp_path, config(house(local.base_url)), "--drain-grace", "0.2") as (process, url),
    ):
        process.send_signal(signal.SIGTERM)
        for _ in range(8):
            assert (await client.request(url + "/v1/chat/completions", chat())).complete
            await asyncio.sleep(LATECOMER_SECONDS / 4)


async def test_drain_ends_when_its_time_is_over(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=Answer(words=500, interval=0.1)) as local:
        content = config(house(local.base_url), limits={"drainSeconds": 1})
        process, port, _ = await spawn(tmp_path, content, "--drain-grace", "0")
        try:
            async with client.stream(f"http://127.0.0.1:{port}/v1/chat/completions", chat()) as running:
                await running.until_text(2)
                process.send_signal(signal.SIGTERM)
                answer = await running.whole(within=5)
            assert not answer.complete and answer.error is not None and answer.error["code"] == "router_draining"
            assert await asyncio.wait_for(process.wait(), 5) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@contextlib.asynccontextmanager
async def leaving(
    tmp_path: Path, content: dict[str, Any], *more: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A router of its own process; killed if it does not end by itself."""
    process, port, _ = await spawn(tmp_path, content, *more)
    try:
        yield process, f"http://127.0.0.1:{port}"
        assert await asyncio.wait_for(process.wait(), 5) == 0, "it did not leave in peace"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_idle_clients_are_let_go_after_the_grace_and_new_ones_served_in_it(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer(words=30, interval=0.1)) as local,
        leaving(tmp_path, config(house(local.base_url)), "--drain-grace", "0.6") as (process, url),
    ):
        used, fresh = [await client.HttpConnection.open(url) for _ in range(2)]
        assert (await (await used.start("/v1/models")).whole()).keep_alive
        async with client.stream(url + "/v1/chat/completions", chat()) as running:
            await running.until_text(2)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            within_grace = await client.HttpConnection.open(url)
            async with asyncio.timeout(
                1.5
            ):  # the router closes them: their clients need not find out by a failed request
                for connection in (used, fresh, within_grace):
                    with contextlib.suppress(ConnectionResetError):
                        assert await connection._reader.read(1) == b""
            answer = await running.whole()
        assert answer.complete and fault(answer.text, 30) is None, answer


async def test_a_request_that_is_arriving_is_answered(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer(words=5)) as local,
        leaving(tmp_path, config(house(local.base_url)), "--drain-grace", "0.1") as (process, url),
    ):
        body = json.dumps(chat(stream=False)).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body[:10])
        await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(1.0)
        writer.write(body[10:])
        got = await asyncio.wait_for(reader.read(), 3)
        writer.close()
        assert got.startswith(b"HTTP/1.1 200 ") and b"connection: close" in got and b"0004" in got, got


async def test_an_answer_that_is_still_being_read_is_read_to_its_end(tmp_path: Path) -> None:
    big = Answer(texts=tuple("x" * 50_000 for _ in range(200)))  # 10 MB: more than kernels hold
    async with (
        ScriptedUpstream(default=big) as local,
        leaving(tmp_path, config(house(local.base_url)), "--drain-grace", "0") as (process, url),
    ):
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", int(url.rsplit(":", 1)[1])))
            body = json.dumps(chat(stream=False)).encode()
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            await loop.sock_sendall(sock, head + body)
            data = await loop.sock_recv(sock, 1000)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(1.0)
            while more := await loop.sock_recv(sock, 4_000_000):
                data += more
        head, _, body = data.partition(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % len(body) in head + b"\r\n", f"cut after {len(body)} bytes"


async def test_a_second_signal_ends_it_at_once_and_says_so_in_the_stream(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer(words=1000, interval=0.1)) as local,
        leaving(tmp_path, config(house(local.base_url)), "--drain-grace", "0") as (process, url),
        client.stream(url + "/v1/chat/completions", chat()) as running,
    ):
        await running.until_text(2)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert process.returncode is None
        process.send_signal(signal.SIGINT)
        answer = await running.whole(within=3)
        assert answer.ended == "clean" and not answer.done
        assert answer.error is not None and answer.error["code"] == "router_draining"


async def test_a_stream_outlives_the_table_that_it_began_with(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer(words=40, interval=0.03)) as old,
        ScriptedUpstream() as new,
        RunningRouter(tmp_path, config(house(old.base_url, "old"))) as router,
        client.stream(router.chat_url, chat()) as running,
    ):
        await running.until_text(3)
        backend = router.table.backends["old"]
        router.write(config(house(new.base_url, "new"), models=["counting", "more"], generation=2))
        await until(lambda: "new" in router.table.backends)
        other = await router.ask(chat())
        assert other.complete and other.headers["x-genset-backend"] == "new"
        answer = await running.whole()
        assert answer.complete and fault(answer.text, 40) is None and answer.headers["x-genset-backend"] == "old"
        await until(
            lambda: backend.endpoints[0].in_flight == 0 and not backend.endpoints[0].idle, what="the end of its pool"
        )
        text = (await router.admin("/metrics")).body.decode()
        assert 'genset_router_attempts_total{backend="old",outcome="ok"} 1.0' in text
