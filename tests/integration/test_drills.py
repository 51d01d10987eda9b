"""Drills on a real API server: what is ordered of routers, what they say, and what ends a run honestly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from genset import kinds, names
from genset.contracts.drill import FILE, DrillPhase, DrillReport, Measured
from tests.integration.test_outages import until_event
from tests.integration.test_route_policy import Routers, applied, routers
from tests.support.integration.world import World

MEASURED = Measured(40, 0, 0, 1, 20, 0.4, 0.2, 0.9, 1.2, 8.0)


async def ordered(world: World) -> dict[str, Any] | None:
    live = await world.get(kinds.CONFIG_MAP, "assistant-router-config")
    text = live["data"].get(FILE) if live else None
    return json.loads(text) if text else None


async def status(world: World) -> dict[str, Any]:
    live: Any = await world.get(kinds.ROUTE_POLICY, "assistant")
    return dict(live["status"]["drills"][0])


async def ask(world: World, word: str) -> None:
    await world.patch(
        kinds.ROUTE_POLICY, "assistant", {"metadata": {"annotations": {names.ANNOTATION_DRILL: f"gone.{word}"}}}
    )


def say(made: Routers, order: dict[str, Any], phase: DrillPhase, why: str = "") -> None:
    for number, pod in enumerate(made.pods):
        pod.sees = {"drill": DrillReport(order["id"], phase, why, MEASURED, f"{number}" * 64).to_document()}


async def begun(world: World, made: Routers, word: str) -> dict[str, Any]:
    """Asks for a run, and has the routers begin it."""
    await ask(world, word)
    order: Any = await world.until("an order", lambda: ordered(world))
    say(made, order, DrillPhase.FAULT)

    async def phase() -> bool:
        return bool((await status(world)).get("running", {}).get("phase") == "Fault")

    await world.until("that the fault is told", phase)
    return dict(order)


async def ends(world: World, id_: str) -> dict[str, Any]:
    async def last() -> dict[str, Any]:
        found = (await status(world)).get("last") or {}
        return found if found.get("id") == id_ else {}

    found: Any = await world.until(f"the end of {id_}", last)
    return dict(found)


async def no_order(world: World) -> bool:
    return await ordered(world) is None


async def test_a_drill_is_ordered_told_and_ended(world: World) -> None:
    operator = await world.start()
    await applied(world)
    live: Any = await world.get(kinds.ROUTE_POLICY, "assistant")
    backend = live["spec"]["routes"][0]["tiers"][0]["backends"][0]["name"]
    drill = {"name": "gone", "take": {"backend": backend}, "schedule": "0 10 1 1 *"}
    await world.patch(kinds.ROUTE_POLICY, "assistant", {"spec": {"drills": [drill]}})
    async with routers(world, "assistant") as made:
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ProofStale", "False")
        order = await begun(world, made, "x1")
        assert order["takes"] == [backend] and order["previous"] == ""
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        say(made, order, DrillPhase.PASSED)
        last = await ends(world, order["id"])
        assert last["outcome"] == "Passed" and last["rtoSeconds"] == 1.2 and last["requests"]["asked"] == 80
        assert "answered again after 1.2 s" in await until_event(world, "DrillPassed", "Normal")
        await world.until("that the order is taken back", lambda: no_order(world))
        live = await world.get(kinds.ROUTE_POLICY, "assistant")
        head = live["status"]["drillEvidence"]
        assert len(head) == 64 and live["status"]["drills"][0]["next"].endswith("-01-01T10:00:00Z")
        await world.quiet(operator)
        since = world.plane.audit_position()
        await asyncio.sleep(2)
        assert world.writes(since) == [], "at rest nothing is written"

        order = await begun(world, made, "x2")
        assert order["previous"] == head, "each run holds the hash of the one before"
        routes = live["spec"]["routes"]
        routes[0]["failover"] = {"totalSeconds": 77}
        await world.patch(kinds.ROUTE_POLICY, "assistant", {"spec": {"routes": routes}})
        last = await ends(world, order["id"])
        assert (last["outcome"], last["message"]) == ("Aborted", "the policy was changed")
        await world.until("that the order is taken back", lambda: no_order(world))
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")

        await asyncio.sleep(1.1)  # a run is named by its second
        order = await begun(world, made, "x3")
        await world.stop(operator)
        await world.start()
        last = await ends(world, order["id"])
        assert (last["outcome"], last["message"]) == ("Aborted", "another operator leads now")
        await world.until("that the order is taken back", lambda: no_order(world))

        await asyncio.sleep(1.1)
        order = await begun(world, made, "x4")
        say(made, order, DrillPhase.ABORTED, "a real outage: Cloud")
        assert "a real outage: Cloud" in (await ends(world, order["id"]))["message"]
