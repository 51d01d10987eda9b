"""Probes over real sockets: what an answer is, and in which words one says that there was none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from genset.engines import CompletionRequest
from genset.kube import probe
from genset.kube.metrics import Metrics
from genset.kube.probe import LONGEST_BODY, Prober


@pytest_asyncio.fixture
async def prober() -> AsyncIterator[Prober]:
    made = Prober(Metrics())
    yield made
    await made.close()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[str]:
    """A pod that answers in several ways."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await asyncio.sleep(5)
        if request.path == "/away":
            raise web.HTTPFound("/well")
        if request.path == "/endless":
            return web.Response(body=b"x" * (LONGEST_BODY + 5))
        body = await request.read()
        return web.Response(text=f"{request.method} {request.headers.get('Authorization')} {body.decode()}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def ask(url: str, seconds: float = 2.0) -> CompletionRequest:
    return CompletionRequest(url, b'{"a": 1}', seconds)


async def test_an_answer(prober: Prober, server: str) -> None:
    answer = await prober.completion(ask(f"{server}/well"))
    assert (answer.status, answer.body, answer.failure) == (200, b'POST None {"a": 1}', "")


async def test_a_redirect_is_not_followed(prober: Prober, server: str) -> None:
    assert (await prober.completion(ask(f"{server}/away"))).status == 302


async def test_a_body_is_held_up_to_a_bound(prober: Prober, server: str) -> None:
    assert len((await prober.completion(ask(f"{server}/endless"))).body) == LONGEST_BODY
    assert (await prober.completion(ask(f"{server}/well"))).status == 200


async def test_no_proxy_comes_between_us_and_our_pods(
    prober: Prober, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await prober.completion(ask(f"{server}/well"))).status == 200


async def test_words_for_silence(prober: Prober, server: str) -> None:
    slow = await prober.completion(ask(f"{server}/slow", 0.2))
    assert (slow.status, slow.failure) == (0, "no answer within 0.2 s")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        refused = await prober.completion(ask(f"http://127.0.0.1:{port}/"))
    assert refused.status == 0 and refused.failure.startswith(f"could not connect to 127.0.0.1:{port}: ")
    assert "refused" in refused.failure.lower()
    assert (await prober.completion(ask("http://"))).failure.endswith("is no URL")


@pytest.mark.parametrize(("address", "shown"), [("10.0.0.1", "10.0.0.1"), ("fd00::1", "[fd00::1]")])
def test_addresses_in_urls(address: str, shown: str) -> None:
    assert probe.host(address) == shown
