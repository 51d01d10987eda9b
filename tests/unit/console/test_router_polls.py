"""Routers that are none, break, or answer without end; EndpointSlices that lead elsewhere."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import orjson
import pytest
from aiohttp import web

from genset import names
from genset.console import router_polls
from genset.console.heard import HeardRouter
from genset.console.router_polls import RouterPolls
from genset.off_limits import OffLimits

OURS = {"hash": "h", "namespace": "law", "name": "assistant"}


def item(address: str, service: str = "assistant-router", namespace: str = "law") -> dict[str, Any]:
    labels = {names.LABEL_ROUTE_POLICY: "assistant", router_polls.SERVICE_LABEL: service}
    endpoints = [{"addresses": [address], "targetRef": {"name": "r-1"}}]
    return {"metadata": {"namespace": namespace, "name": "s", "labels": labels}, "endpoints": endpoints}


async def asked(handler: Any, off_limits: OffLimits | None = None, namespace: str = "law") -> HeardRouter:
    """Has a server of this test asked as a router; returns what was heard."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    heard: asyncio.Future[HeardRouter] = asyncio.get_running_loop().create_future()

    def told(one: HeardRouter, _: object) -> None:
        if not heard.done():
            heard.set_result(one)

    polls = RouterPolls(told, lambda _: True, off_limits or OffLimits().but_loopback(), runner.addresses[0][1])
    polls.changed(("law", "s"), item("127.0.0.1", namespace=namespace))
    task = asyncio.create_task(polls.ask_forever())
    try:
        return await asyncio.wait_for(heard, 20)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


async def test_a_router_that_answers_a_hundred_megabytes_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(1600):
            await answer.write(b"x" * 65536)
            sent += 65536
        return answer

    tracemalloc.start()
    heard = await asked(endless)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "more than 2 MiB" in heard.problem and heard.at is None
    assert most < 16 * 2**20 and sent < 50 * 2**20


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "is no router"),
        (orjson.dumps({**OURS, "namespace": "plant"}), "router of another policy"),
        (b"[" * 100_000, "is no router"),
    ],
)
async def test_what_is_no_router_of_this_policy_counts_for_nothing(body: bytes, words: str) -> None:
    """Whoever may write an EndpointSlice could have the page ask somebody else for him."""
    heard = await asked(lambda _: answered(body))
    assert words in heard.problem and heard.state is None and heard.config is None


async def test_a_router_that_sends_elsewhere_is_not_followed() -> None:
    async def elsewhere(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://169.254.169.254/latest/meta-data")

    assert "answered with 302" in (await asked(elsewhere)).problem


async def test_a_router_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_polls, "ANSWER_SECONDS", 0.3)

    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    assert "was not answered" in (await asked(silent)).problem


async def answered(body: bytes) -> web.Response:
    return web.Response(body=body)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1"])
def test_addresses_that_are_off_limits_are_never_asked(address: str) -> None:
    polls = RouterPolls(lambda *_: None, lambda _: True, OffLimits())
    polls.changed(("law", "s"), item(address))
    (one,) = polls.routers()
    assert one.problem == "its address is off limits"


def test_only_the_service_that_clients_dial_names_routers() -> None:
    polls = RouterPolls(lambda *_: None, lambda _: True, OffLimits())
    polls.changed(("law", "s"), item("10.0.0.1", service="assistant-peers"))
    assert polls.routers() == []
    for broken in ({}, {"endpoints": None}, {"endpoints": [{}]}, {"endpoints": ["x", None]}):
        polls.changed(("law", "s"), {"metadata": item("10.0.0.1")["metadata"], **broken})
        assert polls.routers() == []
