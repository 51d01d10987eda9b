"""What routers see as down reaches the policy's status and Events within seconds, and costs nothing at rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from genset import kinds
from genset.api.routepolicy import RoutePolicy
from genset.controllers import route_policy
from tests.integration.test_route_policy import applied, routers
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet, FakePod
from tests.support.integration.world import World

CLOUD = {"scope": "Cloud", "since": "2026-11-21T09:58:02Z", "detail": "one.test: refused; two.test: refused"}
HOUSE = {"scope": "House", "since": "2026-11-21T09:58:04Z", "detail": "no endpoint of house can answer"}
LEDGER = {"scope": "Ledger", "since": "2026-11-21T09:58:06Z", "detail": "refused"}
REFUSED = {
    "scope": "Backend", "backend": "frontier", "cause": "auth", "since": "2026-11-21T09:40:00Z",
    "detail": "answered 401",
}  # fmt: skip


def tell(pod: FakePod, *outages: dict[str, Any], unknown: tuple[str, ...] = ()) -> None:
    pod.sees = {"outages": list(outages), "unknown": list(unknown)}


async def outages(world: World) -> list[dict[str, Any]]:
    live = await world.get(kinds.ROUTE_POLICY, "assistant") or {}
    return list((live.get("status") or {}).get("outages") or ())


async def until_reasons(world: World, *reasons: str) -> list[dict[str, Any]]:
    async def reached() -> bool:
        return [item["reason"] for item in await outages(world)] == list(reasons)

    await world.until(f"status.outages has {reasons or 'nothing'}", reached)
    return await outages(world)


async def until_event(world: World, reason: str, kind: str) -> str:
    async def recorded() -> str:
        events = (e for e in await world.list(kinds.EVENT) if e["regarding"]["name"] == "assistant")
        return next((e["note"] for e in events if (e["reason"], e["type"]) == (reason, kind)), "")

    return str(await world.until(f"{kind} Event {reason}", recorded))


async def test_an_outage_begins_and_ends(world: World) -> None:
    await world.start()
    await applied(world)
    async with routers(world, "assistant") as made:
        one, two = made.pods
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        tell(one, CLOUD)
        (told,) = await until_reasons(world, "EgressDown")
        assert told["since"] == CLOUD["since"] and "1 of 2 routers" in told["message"]
        note = await until_event(world, "EgressDown", "Warning")
        assert "(one.test; two.test)" in note and "refused" not in note, "no port can be told from another"
        tell(two, {**CLOUD, "since": "2026-11-21T09:58:09Z"}, REFUSED)
        cloud, refused = await until_reasons(world, "EgressDown", "BackendAuthFailed")
        assert cloud["since"] == CLOUD["since"], "the first to see it says since when"
        assert refused["backend"] == "frontier" and "key apiKey of Secret cloud" in refused["message"]
        tell(one)
        tell(two)
        await until_reasons(world)
        assert CLOUD["since"] in await until_event(world, "EgressRestored", "Normal")
        assert "frontier" in await until_event(world, "BackendRestored", "Normal")


async def test_a_lasting_outage_writes_nothing(world: World) -> None:
    operator = await world.start()
    await applied(world)
    async with routers(world, "assistant") as made:
        one, two = made.pods
        tell(one, HOUSE)
        tell(two, unknown=("House",))
        (told,) = await until_reasons(world, "HouseDown")
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        await world.quiet(operator)
        since, asked = world.plane.audit_position(), one.asked
        for second in range(5, 10):  # a router works the time out anew at each question
            tell(one, {**HOUSE, "since": f"2026-11-21T09:58:0{second}Z"})
            await asyncio.sleep(0.4)
        assert one.asked > asked + 2, "it is asked again and again"
        assert world.writes(since) == [] and await outages(world) == [told]
        # Both routers start anew and have never seen the house up: they cannot tell that it is over.
        tell(one, unknown=("House",))
        await world.patch(kinds.ROUTE_POLICY, "assistant", {"spec": {"router": {"limits": {"maxQueued": 7}}}})
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Programmed", "True")
        await world.quiet(operator)
        assert await outages(world) == [told]
        tell(two)
        await until_reasons(world)
        await until_event(world, "HouseRestored", "Normal")


async def test_a_node_that_is_lost_is_told_with_what_is_left(world: World) -> None:
    """Routers see the house go first; then Kubernetes says of its pods that their node is lost."""
    operator = await world.start()
    await applied(world)
    model = FakeKubelet(world.api, world.namespace, "house", "127.0.0.9", "rack-7")
    async with routers(world, "assistant") as made:
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        (pod,) = await model.run(1)
        tell(made.pods[0], HOUSE)
        await until_reasons(world, "HouseDown")
        await model.node_lost(pod)
        await model.report(0, 1)
        (told,) = await until_reasons(world, "NodeDown")
        assert told["node"] == "rack-7" and told["backends"] == ["house"]
        assert "rack-7" in await until_event(world, "NodeDown", "Warning")
        await world.quiet(operator)
        since = world.plane.audit_position()
        await asyncio.sleep(2)
        assert world.writes(since) == [], "at rest nothing is written"
        await world.delete(kinds.POD, pod["metadata"]["name"])
        await model.run(1)
        tell(made.pods[0])
        await until_reasons(world)
        assert told["since"] in await until_event(world, "NodeRestored", "Normal")


async def test_a_ledger_that_is_away_is_told_and_stops_no_drill(world: World) -> None:
    await world.start()
    await applied(world)
    async with routers(world, "assistant") as made:
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        tell(made.pods[1], LEDGER)
        (told,) = await until_reasons(world, "LedgerAway")
        assert told["since"] == LEDGER["since"] and "seen by 1 of 2 routers" in told["message"]
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        tell(made.pods[1])
        await until_reasons(world)
        await until_event(world, "LedgerRestored", "Normal")


async def test_a_house_at_zero_by_intent_is_no_outage(world: World) -> None:
    operator = await world.start()
    await applied(world)
    async with routers(world, "assistant") as made:
        tell(made.pods[0], HOUSE)
        await until_reasons(world, "HouseDown")
        await world.apply(samples.model_deployment(world.namespace, "house", replicas=0))
        await until_reasons(world)
        await world.quiet(operator)


async def test_routers_of_a_policy_that_is_refused_still_tell(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored policy that a later version refuses: its routers serve on, so what they see as down is still told."""
    first = await world.start()
    await applied(world)
    async with routers(world, "assistant") as made:
        one, two = made.pods
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        tell(one, CLOUD)
        (told,) = await until_reasons(world, "EgressDown")
        before = (await world.get(kinds.ROUTE_POLICY, "assistant") or {})["status"]
        await world.stop(first)
        parse = route_policy.parse

        def refusing(model: Any, live: Any) -> Any:
            return parse(model, {} if model is RoutePolicy else live)

        monkeypatch.setattr(route_policy, "parse", refusing)
        operator = await world.start()
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "False", "InvalidSpec")
        after = (await world.get(kinds.ROUTE_POLICY, "assistant") or {})["status"]
        assert after["outages"] == [told]
        for field in ("url", "configHash", "programmedRouters", "replicas", "readyReplicas"):
            assert after[field] == before[field], field
        tell(two, {**CLOUD, "since": "2026-11-21T09:58:09Z"}, REFUSED)
        cloud, refused = await until_reasons(world, "EgressDown", "BackendAuthFailed")
        assert cloud["since"] == CLOUD["since"] and "2 of 2 routers" in cloud["message"]
        assert "key apiKey of Secret cloud" in refused["message"]
        assert "answered 401" in await until_event(world, "BackendAuthFailed", "Warning")
        await world.quiet(operator)
        since, asked = world.plane.audit_position(), one.asked

        async def asked_again() -> bool:
            return one.asked > asked + 2

        await world.until("the routers are asked again and again", asked_again)
        assert world.writes(since) == [], "a lasting outage of a refused policy was written again"
        tell(one)
        tell(two, REFUSED)
        await until_reasons(world, "BackendAuthFailed")
        assert CLOUD["since"] in await until_event(world, "EgressRestored", "Normal")
        events = [e for e in await world.list(kinds.EVENT) if e["reason"] == "InvalidSpec"]
        assert len(events) == 1 and "series" not in events[0], "the refusal was told again with each outage"
