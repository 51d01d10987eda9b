"""Clients that come all at once, and a process that has run out of file descriptors."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genset.router.http.accept import ACCEPTED_AT_ONCE
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream.client import HttpConnection, chat
from testbed.upstream.scripted import ScriptedUpstream

NOBODY = config(house("http://127.0.0.1:9/v1"))
CLIENTS = 300


@contextmanager
def connected(port: int, count: int) -> Iterator[None]:
    """In the kernel's queue, before the router's loop has had a turn."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    try:
        yield
    finally:
        for client in clients:
            client.close()


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Of this process, which is the router's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)  # the lowest: whoever opens something would get this one
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_crowd_is_let_in_within_a_few_turns_of_the_loop(tmp_path: Path) -> None:
    """One connection a turn, and the last of a thousand clients of a busy router would wait for many seconds."""
    async with RunningRouter(tmp_path, NOBODY) as running:
        with connected(running.router.listen_port, CLIENTS):
            turns = 0
            while len(running.connections) < CLIENTS:
                turns += 1
                assert turns < 20 * CLIENTS / ACCEPTED_AT_ONCE, f"{len(running.connections)} of {CLIENTS} so far"
                await asyncio.sleep(0)


async def test_without_a_free_descriptor_clients_wait_until_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with RunningRouter(tmp_path, NOBODY) as running:
        with connected(running.router.listen_port, 3), caplog.at_level(logging.WARNING):
            with no_descriptor_left():
                await until(lambda: "Failed to accept a connection" in caplog.text, what="a warning")
                assert not running.connections
            await until(lambda: len(running.connections) == 3, what="letting all clients in")


async def test_without_a_free_descriptor_no_backend_is_blamed(tmp_path: Path) -> None:
    """The router cannot connect to anybody: its own fault, which the client is told and which leaves no trace."""
    async with ScriptedUpstream() as local, ScriptedUpstream() as far, ScriptedUpstream(host="127.0.0.2") as other:
        clouds = cloud(far.base_url), cloud(other.base_url, "other")
        async with RunningRouter(tmp_path, config(house(local.base_url), *clouds)) as router:
            client = await HttpConnection.open(router.url)
            await until(lambda: len(router.connections) == 1)
            with no_descriptor_left():
                for _ in range(4):
                    refused = await (await client.start("/v1/chat/completions", chat())).whole()
                    assert (refused.status, refused.json["error"]["type"]) == (429, "router_overloaded"), refused
                    assert "house:exhausted:" in refused.headers["x-genset-attempts"]
            answer = await (await client.start("/v1/chat/completions", chat())).whole()
            assert answer.complete and answer.headers["x-genset-attempts"] == "house:ok", answer
            assert (await router.admin("/-/state")).json["outages"] == []
            client.close()


async def test_nobody_is_let_in_once_it_is_closed(tmp_path: Path) -> None:
    async with RunningRouter(tmp_path, NOBODY) as running:
        port = running.router.listen_port
        await running.router.drain()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
