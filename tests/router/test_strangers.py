"""Whoever is not known is told so by the head of a request: nothing of its body is kept, whatever it announces."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from genset.router.access.trials import FREE_TRIALS, MOST_WAITING
from testbed.router import RunningRouter, config, house, until
from testbed.upstream import client
from testbed.upstream.client import chat, statuses
from testbed.upstream.scripted import ScriptedUpstream
from tests.support.router.consumers import KEYS, access, consumer, keys

MEGABYTE = 1024 * 1024
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
WRONG = b"x-api-key: gs-wrong-and-long-enough-0\r\n"
RIGHT = b"authorization: Bearer %b\r\n" % KEYS["lab"].encode()
BODY = json.dumps(chat(stream=False)).encode()
WHOLE = b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
LARGE = b"content-length: %d\r\n\r\n" % (8 * MEGABYTE)


def settings(base_url: str, **more: Any) -> dict[str, Any]:
    return {**config(house(base_url), **more), "access": access(consumer("lab"))}


async def raw(router: RunningRouter, data: bytes, within: float = 5.0) -> bytes:
    return await client.raw("127.0.0.1", router.router.listen_port, data, within)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (CHAT + LARGE, [401]),
        (CHAT + WRONG + LARGE, [401]),
        (CHAT + WRONG + b"content-length: 999999999999\r\n\r\n", [401]),
        (CHAT + WRONG + b"transfer-encoding: chunked\r\n\r\n", [401]),
        (CHAT + WRONG + b"expect: 100-continue\r\n" + LARGE, [401]),
        (CHAT + WRONG + b"connection: upgrade\r\nupgrade: h2c\r\n" + LARGE, [401]),
        (CHAT + WRONG + b"content-encoding: gzip\r\n" + LARGE, [401]),
        (b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n" + WRONG + LARGE, [401]),
        (b"POST /nowhere HTTP/1.1\r\nhost: x\r\n" + LARGE, [401]),
        (b"POST /health HTTP/1.1\r\nhost: x\r\n" + LARGE, [401]),
        (CHAT + RIGHT + WHOLE + CHAT + WRONG + LARGE, [200, 401]),
        (CHAT + RIGHT + WHOLE + CHAT + WRONG + WHOLE + CHAT + RIGHT + WHOLE, [200, 401]),
        (b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" + CHAT + LARGE, [200, 401]),
        (b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" + CHAT + LARGE, [200, 401]),
    ],
)
async def test_a_stranger_is_told_before_its_body_has_come(tmp_path: Path, sent: bytes, told: list[int]) -> None:
    log = tmp_path / "log"
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, settings(model.base_url), keys(), log=log) as router,
    ):
        got = await raw(router, sent)
        assert statuses(got) == told, got
        assert b"100 Continue" not in got and b"connection: close" in got.lower()
        assert router.budget.taken == 0 and len(model.requests) == sum(status == 200 for status in told) - (
            b"/health" in sent and 200 in told
        )
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    assert lines[-1]["status"] == 401 and lines[-1]["error"] == "policy_key_unknown"


async def test_the_envelope_is_that_of_the_api(tmp_path: Path) -> None:
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), keys()) as router:
        got = await raw(router, b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n" + WRONG + LARGE)
        told = json.loads(got.partition(b"\r\n\r\n")[2])
        assert told["type"] == "error" and told["error"]["type"] == "authentication_error"
        plain = json.loads((await raw(router, CHAT + WRONG + LARGE)).partition(b"\r\n\r\n")[2])
        assert plain["error"]["code"] == "invalid_api_key" and "gs-wrong" not in json.dumps(plain)


async def test_who_sends_all_of_it_first_reads_the_answer_all_the_same(tmp_path: Path) -> None:
    """The connection is read on for a moment: closing over unread bytes would reset it, and the answer be lost."""
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), keys()) as router:
        held = []

        async def look() -> None:
            while True:
                held.append(router.budget.taken)
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        answer = await router.ask(
            {**chat(), "padding": "x" * (20 * MEGABYTE)}, headers={"x-api-key": "gs-wrong-wrong-1"}
        )
        looking.cancel()
        assert answer.status == 401 and max(held) == 0, "a body of somebody unknown was held"


async def test_strangers_take_no_room_from_those_who_are_known(tmp_path: Path) -> None:
    """Bodies that come to nothing are not counted: with as many as would fill the budget, a consumer has its own."""
    async with ScriptedUpstream() as model:
        content = settings(model.base_url, limits={"maxBodyBytes": 2 * MEGABYTE, "memoryBytes": 64 * MEGABYTE})
        async with RunningRouter(tmp_path, content, keys()) as router:
            writers = []
            for _ in range(40):
                reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
                writer.write(CHAT + WRONG + b"content-length: %d\r\n\r\n" % (2 * MEGABYTE) + b"x" * MEGABYTE)
                writers.append((reader, writer))
            large = {**chat(), "padding": "x" * MEGABYTE}
            answer = await router.ask(large, headers={"authorization": f"Bearer {KEYS['lab']}"})
            assert answer.status == 200 and answer.complete, answer.body
            for _, writer in writers:
                writer.transport.abort()


async def test_trials_with_bodies_are_slowed_as_those_without(tmp_path: Path) -> None:
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), keys()) as router:
        for _ in range(FREE_TRIALS):
            assert statuses(await raw(router, CHAT + WRONG + LARGE)) == [401]
        waiting = [asyncio.create_task(raw(router, CHAT + WRONG + LARGE, 30.0)) for _ in range(MOST_WAITING)]
        await until(lambda: sum(c.exchange is not None for c in router.connections) == MOST_WAITING, what="all wait")
        # Behind another request, too, and whatever else comes over the connection.
        behind = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" + CHAT + WRONG + WHOLE
        assert statuses(await raw(router, behind)) == [200, 429]
        right = CHAT + RIGHT + b"connection: close\r\n" + WHOLE
        assert statuses(await raw(router, right)) == [200], "a right key waits for those who try"
        assert not any(one.done() for one in waiting[8:]), "trials are answered at once"
        assert [statuses(got) for got in await asyncio.gather(*waiting)] == [[401]] * MOST_WAITING


async def test_a_stranger_that_leaves_while_its_answer_waits_leaves_its_line_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, settings(model.base_url), keys(), log=log) as router,
    ):
        for _ in range(FREE_TRIALS):
            await raw(router, CHAT + WRONG + LARGE)
        for _ in range(MOST_WAITING + 4):
            _, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
            writer.write(CHAT + WRONG + LARGE + b"x" * MEGABYTE)
            await until(lambda: any(c.exchange is not None for c in router.connections), what="its answer waits")
            writer.transport.abort()
            await until(lambda: not router.connections, what="the stranger has left")
        assert statuses(await raw(router, CHAT + WRONG + LARGE)) == [401], "places of those who left are still taken"
        assert router.budget.taken == 0
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(line["error"], line["request"]) for line in told} == {("policy_key_unknown", "POST /v1/chat/completions")}
    assert [line["status"] for line in told].count(499) == MOST_WAITING + 4


async def test_a_key_that_comes_with_the_configuration_opens_at_once(tmp_path: Path) -> None:
    """Who asks is known by the configuration in force when the head comes, also over a connection that was open before."""
    async with ScriptedUpstream() as model:
        content = config(house(model.base_url))
        async with RunningRouter(tmp_path, content, keys()) as router:
            connection = await client.HttpConnection.open(router.chat_url)
            stream = await connection.start(router.chat_url, chat())
            assert (await stream.whole()).status == 200
            before = router.metrics.reloads
            router.write(settings(model.base_url))
            await until(lambda: router.metrics.reloads > before, what="access is taken")
            stream = await connection.start(router.chat_url, chat(), headers={"authorization": f"Bearer {KEYS['lab']}"})
            assert (await stream.whole()).status == 200
            stream = await connection.start(router.chat_url, chat())
            assert (await stream.whole()).status == 401
