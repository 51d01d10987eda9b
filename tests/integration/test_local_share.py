"""What routers count of the house's share reaches status, Event and column, and costs nothing while it does not change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from genset import kinds
from genset.controllers import outages
from tests.integration.test_outages import until_event
from tests.integration.test_route_policy import applied, routers
from tests.support.integration.fakes import FakePod
from tests.support.integration.world import World


def count(pod: FakePod, route: str, answers: int, house: int) -> None:
    pod.sees = {"shares": [{"route": route, "answers": answers, "house": house}]}


async def test_a_share_is_told_and_falls_below_its_target(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "SHARE_SECONDS", 0.5)
    operator = await world.start()
    await applied(world)
    live: Any = await world.get(kinds.ROUTE_POLICY, "assistant")
    routes = live["spec"]["routes"]
    name = routes[0]["name"]
    routes[0]["localShare"] = {"target": 80}
    await world.patch(kinds.ROUTE_POLICY, "assistant", {"spec": {"routes": routes}})
    async with routers(world, "assistant") as made:
        one, two = made.pods
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "LocalShareMet", "True")
        count(one, name, 60, 60)
        count(two, name, 40, 19)
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "LocalShareMet", "False")
        note = await until_event(world, "LocalShareBelow", "Warning")
        assert note == f"Route {name}: the house gave 79 % of the last day's answers, and 80 % are wanted"
        live = await world.get(kinds.ROUTE_POLICY, "assistant")
        assert live["status"]["localShare"] == [{"route": name, "target": 80, "percent": 79}]
        wide = world.plane.kubectl("-n", world.namespace, "get", "rp", "assistant", "-o", "wide")
        heads, row = wide.splitlines()[:2]
        assert row[heads.index("LOCAL") :].split()[0] == "79%"
        await world.quiet(operator)
        since = world.plane.audit_position()
        count(one, name, 600, 600)  # the same shares of more answers
        count(two, name, 400, 190)
        await asyncio.sleep(2)
        assert world.writes(since) == []
        count(two, name, 400, 399)
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "LocalShareMet", "True")
