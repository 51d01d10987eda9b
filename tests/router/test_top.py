"""What `genset top` shows is what a real router's clients have lived through meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from genset import load_now
from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Status

SECONDS = 10.0  # between two looks, as the readings are told


async def look(router: RunningRouter, at: float, pod: str = "router-0") -> load_now.MetricsReading:
    return load_now.read("law", "assistant", pod, at, (await router.admin("/metrics")).body.decode())


async def test_rates_are_those_of_the_requests(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer(words=10)) as near,
        ScriptedUpstream(default=Answer(words=10)) as far,
        RunningRouter(tmp_path, config(house(near.base_url), cloud(far.base_url))) as router,
    ):
        await router.ask(chat(stream=True))
        before = [await look(router, 0.0)]
        for _ in range(5):
            await router.ask(chat(stream=True))
        near.always(Status(503, {"error": {"message": "Loading model"}}))
        await router.ask(chat(stream=True))
        shown = {one.backend: one for one in load_now.between(before, [await look(router, SECONDS)])}
        assert shown["house"].answers == pytest.approx(5 / SECONDS) and shown["cloud"].answers == pytest.approx(
            1 / SECONDS
        )
        assert shown["house"].failed > 0 and shown["cloud"].failed == 0
        assert shown["house"].tokens == pytest.approx(50 / SECONDS)
        first = shown["house"].firstToken
        assert first is not None and 0 < first < 5
        assert shown["cloud"].state == "closed" and sum(one.inFlight or 0 for one in shown.values()) == 0


async def test_two_routers_add_up_and_one_that_began_anew_counts_from_nothing(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as near,
        RunningRouter(tmp_path, config(house(near.base_url))) as router,
    ):
        nothing = await look(router, 0.0)
        for _ in range(4):
            await router.ask(chat())
        four = await look(router, SECONDS)
    twin = load_now.MetricsReading("law", "assistant", "router-1", SECONDS, four.values)
    (sum_,) = load_now.between(
        [nothing, load_now.MetricsReading("law", "assistant", "router-1", 0.0, nothing.values)], [four, twin]
    )
    assert sum_.answers == pytest.approx(8 / SECONDS)
    anew = load_now.MetricsReading("law", "assistant", "router-0", 2 * SECONDS, nothing.values)
    (after,) = load_now.between([four], [anew])
    assert after.answers == after.tokens == after.failed == 0 and after.firstToken is None
    (newcomer,) = load_now.between([], [four])
    assert newcomer.answers == 0, "nobody knows yet what it does in a second"


def test_nothing_is_said_in_words() -> None:
    assert "make a RoutePolicy" in load_now.screen([])
    with pytest.raises(ValueError):
        load_now.read("law", "assistant", "router-0", 0.0, "<html>not { metrics")
