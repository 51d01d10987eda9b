"""Clouds that are back, whatever their lists of models say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from genset.router.process.options import Bounds
from genset.router.watch.verify import VerifyTimeouts
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Close, Reset, Silence, Status, Step

#: What a cloud answers to `GET /models`, down or not.
LISTS: dict[str, Step] = {
    "500": Status(500, ""),
    "503": Status(503, ""),
    "a redirect": Status(301, "", {"location": "https://elsewhere.test/"}),
    "a reset": Reset(),
    "nothing": Close(),
    "404": Status(404, ""),
    "401": Status(401, ""),
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("asked", [True, False], ids=["with traffic", "without"])
async def test_a_list_that_fails_keeps_no_cloud_away(tmp_path: Path, kind: str, asked: bool) -> None:
    bounds = Bounds(verify=VerifyTimeouts(look=0.1, unlisted=0.3))
    down = True

    def choose(received: Received) -> Step | None:
        if received.method == "GET":
            return LISTS[kind]
        return Status(500, "") if down else None

    async with ScriptedUpstream(choose=choose) as far, ScriptedUpstream() as near:
        content = config(cloud(far.base_url, "cloud"), house(near.base_url, "house"))
        async with RunningRouter(tmp_path, content, bounds=bounds) as router:
            for number in range(6):
                assert (await router.ask(chat(user=str(number)))).complete
            table = router.table
            assert table is not None
            breaker = table.backends["cloud"].breaker
            await until(lambda: breaker.state == "open", what="the proved failure")
            down = False
            spent = len(far.requests)
            await until(
                lambda: breaker.view(router.router.shared.now()) != "open", within=15, what="the look at the cloud"
            )
            assert len(far.requests) == spent, "no request of a client was spent on it"
            async with asyncio.timeout(15):
                while asked and breaker.state != "closed":
                    assert (await router.ask(chat())).complete
                    await asyncio.sleep(0.1)
            assert not asked or (await router.ask(chat())).headers["x-genset-backend"] == "cloud"


async def test_no_request_is_spent_while_a_cloud_leaves_the_routers_own_unanswered(tmp_path: Path) -> None:
    bounds = Bounds(verify=VerifyTimeouts(look=0.1))

    def choose(received: Received) -> Step | None:
        return Silence(headers=False) if received.method == "GET" else Reset()

    async with ScriptedUpstream(choose=choose) as far, ScriptedUpstream() as near:
        content = config(cloud(far.base_url, "cloud"), house(near.base_url, "house"))
        async with RunningRouter(tmp_path, content, bounds=bounds) as router:
            table = router.table
            assert table is not None
            breaker = table.backends["cloud"].breaker
            while breaker.state == "closed":
                assert (await router.ask(chat())).complete
            spent = len(far.requests)
            ends = router.router.shared.now() + 6.5  # its pause is over after 6 s at most, and the probe still hangs
            while router.router.shared.now() < ends:
                assert (await router.ask(chat())).headers["x-genset-backend"] == "house"
                await asyncio.sleep(0.1)
            assert len(far.requests) == spent
