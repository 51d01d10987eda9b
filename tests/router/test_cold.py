"""Backends at rest, over real sockets: what clients see while a deployment wakes and while it is put to rest."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from genset.router.http import connect
from genset.router.machine.patience import Timeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config, pods, until
from testbed.upstream import client
from testbed.upstream.client import Response, chat
from testbed.upstream.counting import fault
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer


class FakeHouse:
    """Stands in for a Deployment with its headless Service: pods on loopback addresses, listed by name while ready."""

    def __init__(self) -> None:
        with socket.socket() as sock:
            sock.bind(("0.0.0.0", 0))  # free on every loopback address: pods of a Service share their port
            self.port = int(sock.getsockname()[1])
        self.listed: list[ScriptedUpstream] = []
        self.leaving: set[asyncio.Task[None]] = set()
        self.answered = 0
        self.answer = Answer()
        self.error = socket.EAI_NONAME  # of the name server, while no pod is listed
        self._made = 0

    def resolve(self, host: str) -> tuple[str, ...]:
        if host != "house.test" or not self.listed:
            raise socket.gaierror(self.error, "no such name")
        return tuple(pod.host for pod in self.listed)

    async def wake(self) -> ScriptedUpstream:
        """A pod becomes ready."""
        self._made += 1
        pod = ScriptedUpstream(host=f"127.0.1.{self._made}", default=self.answer)
        pod.port = self.port
        pod.listen()
        self.listed.append(pod)
        return pod

    def rest(self, notice: float = 1.5) -> None:
        """The last pod is deleted: it leaves DNS at once, and ends when it is idle, after the preStop hook's pause."""
        pod = self.listed.pop()

        async def end() -> None:
            await asyncio.sleep(notice)
            while pod.busy:
                await asyncio.sleep(0.05)
            await pod.kill()
            self.answered += len(pod.requests)

        task = asyncio.create_task(end())
        self.leaving.add(task)
        task.add_done_callback(self.leaving.discard)

    async def close(self) -> None:
        for task in list(self.leaving):
            task.cancel()
        for pod in self.listed:
            await pod.kill()

    def backend(self) -> dict[str, Any]:
        found = pods("house.test", self.port)
        found["local"]["wakes"] = "house-small"
        return found


@pytest_asyncio.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeHouse]:
    made = FakeHouse()
    monkeypatch.setattr(connect, "_getaddrinfo", made.resolve)
    try:
        yield made
    finally:
        await made.close()


QUICK_COMMENTS = Timeouts(comment=0.2)


def routes(house: FakeHouse, mode: str, *more: dict[str, Any], seconds: float = 30) -> dict[str, Any]:
    """The house first, then whatever else there is."""
    content = config(house.backend(), *more)
    content["routes"][0]["coldStart"] = {"mode": mode, "seconds": seconds}
    return content


async def demand(router: RunningRouter) -> dict[str, Any]:
    """What the operator reads."""
    found: dict[str, Any] = (await router.admin("/-/demand")).json["deployments"]["house-small"]
    return found


def whole(answer: Response, words: int = 10) -> None:
    assert answer.complete and fault(answer.text, words) is None, answer


def comments(answer: Response) -> list[str]:
    return [event.comment for event in answer.events if event.comment is not None]


@pytest.mark.parametrize("stream", [True, False])
async def test_bridge_answers_from_the_next_tier_and_reports_demand(
    tmp_path: Path, house: FakeHouse, stream: bool
) -> None:
    async with (
        ScriptedUpstream() as other,
        RunningRouter(tmp_path, routes(house, "Bridge", cloud(other.base_url))) as router,
    ):
        assert await demand(router) == {"lastRequestSeconds": None, "inFlight": 0, "waiting": 0}
        answer = await router.ask(chat(stream))
        whole(answer)
        assert answer.headers["x-genset-backend"] == "cloud" and answer.headers["x-genset-reason"] == "cold"
        assert answer.ended_at is not None and answer.ended_at - answer.started < 0.5
        asked = await demand(router)
        assert asked["lastRequestSeconds"] < 1 and asked["inFlight"] == 0


async def test_the_house_is_used_again_as_soon_as_it_is_awake(tmp_path: Path, house: FakeHouse) -> None:
    async with (
        ScriptedUpstream() as other,
        RunningRouter(tmp_path, routes(house, "Bridge", cloud(other.base_url))) as router,
    ):
        whole(await router.ask(chat()))
        await house.wake()
        began = asyncio.get_running_loop().time()
        while (await router.ask(chat())).headers["x-genset-backend"] != "house":
            assert asyncio.get_running_loop().time() - began < 2, "not used 2 s after it was ready"
            await asyncio.sleep(0.02)


async def test_a_held_stream_hears_comments_and_then_its_whole_answer(tmp_path: Path, house: FakeHouse) -> None:
    async with (
        ScriptedUpstream() as other,
        RunningRouter(
            tmp_path, routes(house, "Hold", cloud(other.base_url)), bounds=Bounds(attempts=QUICK_COMMENTS)
        ) as router,
    ):
        async with client.stream(router.chat_url, chat()) as running:
            while len(comments(running.response)) < 3:
                assert await running.read()
            assert running.response.status == 200
            assert (await demand(router))["waiting"] == 1
            await house.wake()
            answer = await running.whole()
        whole(answer)
        assert set(comments(answer)[:3]) == {"waking"}
        assert any("x-genset-backend: house" in words for words in comments(answer)), "evidence, though the head is out"
        assert re.search(rb"\n: x-genset-backend: house;[^\n]*\ndata: \{", answer.body), (
            "in front of an event, not one of its own"
        )
        assert not other.requests
        left = await demand(router)
        assert (left["waiting"], left["inFlight"]) == (0, 0)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_short_wait_leaves_no_trace_but_time(tmp_path: Path, house: FakeHouse, stream: bool) -> None:
    async with RunningRouter(tmp_path, routes(house, "Hold")) as router:
        asking = asyncio.ensure_future(router.ask(chat(stream)))
        await until(lambda: bool(router.exchanges))
        await asyncio.sleep(0.3)
        await house.wake()
        ready = asyncio.get_running_loop().time()
        answer = await asking
        whole(answer)
        assert answer.headers["x-genset-backend"] == "house" and not comments(answer)
        assert answer.headers_at is not None and answer.headers_at - ready < 1.0


async def test_hold_goes_on_to_the_next_tier_when_its_time_is_over(tmp_path: Path, house: FakeHouse) -> None:
    async with (
        ScriptedUpstream() as other,
        RunningRouter(tmp_path, routes(house, "Hold", cloud(other.base_url), seconds=0.5)) as router,
    ):
        answer = await router.ask(chat())
        whole(answer)
        assert answer.headers["x-genset-backend"] == "cloud" and answer.headers["x-genset-reason"] == "cold"
        assert answer.headers_at is not None and 0.5 <= answer.headers_at - answer.started < 1.5


async def test_a_stream_that_waited_in_vain_is_told_inside_it(tmp_path: Path, house: FakeHouse) -> None:
    async with RunningRouter(
        tmp_path, routes(house, "Bridge", seconds=1), bounds=Bounds(attempts=QUICK_COMMENTS)
    ) as router:
        answer = await router.ask(chat())
        assert answer.status == 200 and answer.ended == "clean" and not answer.done and answer.finish_reason is None
        assert answer.error is not None and answer.error["code"] == "router_no_backend"
        assert "cold" in answer.error["message"]


async def test_without_a_stream_it_is_a_503(tmp_path: Path, house: FakeHouse) -> None:
    async with RunningRouter(tmp_path, routes(house, "Hold", seconds=0.3)) as router:
        answer = await router.ask(chat(stream=False))
        assert answer.status == 503 and "cold" in answer.json["error"]["message"]
        assert answer.headers["x-genset-reason"] == "cold" and int(answer.headers["retry-after"]) >= 1


async def test_a_client_that_leaves_no_longer_waits(tmp_path: Path, house: FakeHouse) -> None:
    async with RunningRouter(tmp_path, routes(house, "Hold")) as router:
        async with client.stream(router.chat_url, chat()) as running:
            await until(lambda: bool(router.exchanges))
            assert (await demand(router))["waiting"] == 1
            running.leave()
        await until(lambda: not router.exchanges, within=1)
        assert (await demand(router))["waiting"] == 0 and router.gate.in_flight == 0


async def test_the_last_endpoint_finishes_its_work_and_gets_nothing_new(tmp_path: Path, house: FakeHouse) -> None:
    house.answer = Answer(words=30, interval=0.1)
    old = await house.wake()
    async with (
        ScriptedUpstream() as other,
        RunningRouter(tmp_path, routes(house, "Bridge", cloud(other.base_url))) as router,
    ):
        running = asyncio.ensure_future(router.ask(chat()))
        await old.until(lambda: len(old.requests) == 1)
        house.rest()
        table = router.table
        assert table is not None
        await until(lambda: table.backends["house"].pool.rests, within=3, what="the router's notice of the rest")
        assert (await demand(router))["inFlight"] == 1, "the running answer keeps it from being taken for idle"
        bridged = await router.ask(chat())
        assert bridged.headers["x-genset-backend"] == "cloud"
        whole(await running, 30)
        assert len(old.requests) == 1
        assert (await demand(router))["inFlight"] == 0 and (await demand(router))["lastRequestSeconds"] < 1


async def test_a_server_that_ended_before_dns_knew(tmp_path: Path, house: FakeHouse) -> None:
    """A name server that fails instead of saying "no such name": the request meets a dead address, and waits."""
    house.error = socket.EAI_AGAIN
    await house.wake()
    async with RunningRouter(tmp_path, routes(house, "Hold")) as router:
        whole(await router.ask(chat()))
        pod = house.listed.pop()
        await pod.kill()
        asking = asyncio.ensure_future(router.ask(chat()))
        await until(lambda: any(e.waits_for_waking for e in router.exchanges), what="waiting")
        await house.wake()
        answer = await asking
        whole(answer)
        assert answer.headers["x-genset-backend"] == "house"


async def test_reloads_forget_no_demand(tmp_path: Path, house: FakeHouse) -> None:
    house.answer = Answer(words=20, interval=0.1)
    await house.wake()
    content = routes(house, "Bridge")
    async with RunningRouter(tmp_path, content) as router:
        running = asyncio.ensure_future(router.ask(chat()))
        await until(lambda: bool(router.exchanges))
        table = router.table
        content["backends"][0]["model"] = "another"  # another backend, the same deployment
        router.write(content)
        await until(lambda: router.table is not table)
        told = await demand(router)
        assert told["inFlight"] == 1 and told["lastRequestSeconds"] is not None
        whole(await running, 20)
        assert (await demand(router))["inFlight"] == 0


async def test_what_is_not_wakeable_is_not_told(tmp_path: Path, house: FakeHouse) -> None:
    found = house.backend()
    del found["local"]["wakes"]
    async with RunningRouter(tmp_path, config(found)) as router:
        assert (await router.admin("/-/demand")).json["deployments"] == {}
        answer = await router.ask(chat())
        assert answer.status == 503 and answer.ended_at is not None and answer.ended_at - answer.started < 1


class FakeOperator:
    """Reads /-/demand as the operator does, and wakes and rests the FakeHouse: with no patience, to do it often."""

    def __init__(self, house: FakeHouse, router: RunningRouter, idle: float) -> None:
        self.house, self.router, self.idle = house, router, idle
        self.wakes = self.rests = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            told = await demand(self.router)
            last, busy = told["lastRequestSeconds"], told["inFlight"] + told["waiting"]
            if not self.house.listed and (busy or (last is not None and last < self.idle)):
                await asyncio.sleep(0.2)  # loading
                await self.house.wake()
                self.wakes += 1
            elif self.house.listed and not busy and last is not None and last >= self.idle:
                self.house.rest()
                self.rests += 1


@pytest.mark.parametrize("error", [socket.EAI_NONAME, socket.EAI_AGAIN], ids=["says no such name", "fails"])
@pytest.mark.parametrize("mode", ["Hold", "Bridge"])
async def test_no_request_is_lost_while_it_rests_and_wakes(
    tmp_path: Path, house: FakeHouse, mode: str, error: int
) -> None:
    """Clients come with pauses about as long as the idle time, so that many meet the very moment of rest."""
    house.error = error
    house.answer = Answer(words=20, interval=0.01)
    async with RunningRouter(tmp_path, routes(house, mode)) as router:
        operator = FakeOperator(house, router, idle=0.3)
        running = asyncio.ensure_future(operator.run())
        answers: list[Response] = []
        turn = 0
        while operator.rests < 4:
            assert turn < 60, f"{operator.rests} rests after {turn} requests: nothing was tried"
            pause = 0.3 + 0.02 * (turn * 7 % 13)  # about the time after which it rests
            more = await asyncio.gather(*(router.ask(chat(stream=bool((turn + n) % 2))) for n in range(3)))
            answers += more
            turn += 1
            await asyncio.sleep(pause)
        answers.append(await router.ask(chat()))
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        for answer in answers:
            whole(answer, 20)
