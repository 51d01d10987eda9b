"""A deployment that rests: woken by what fake routers say of requests, put to rest by their silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from genset import kinds, names
from genset.api.routepolicy import RoutePolicy
from genset.controllers import route_policy
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet, FakePod
from tests.support.integration.world import World

IDLE = 5  # seconds, the least that the API takes
ROUTERS = ("127.77.6.1", "127.77.6.2")
ENGINE = "127.77.6.9"


def told(last: float | None, in_flight: int = 0, waiting: int = 0, up: float = 10_000) -> dict[str, Any]:
    """What a router answers at /-/demand."""
    asked = {"lastRequestSeconds": last, "inFlight": in_flight, "waiting": waiting}
    return {"upSeconds": up, "deployments": {"house": asked}}


@dataclass
class Scene:
    """A deployment of one replica with a policy and two routers that run."""

    world: World
    routers: list[FakePod]
    engine: FakePod
    kubelet: FakeKubelet
    pods: list[dict[str, Any]]

    def say(self, *answers: dict[str, Any]) -> None:
        for router, answer in zip(self.routers, answers, strict=True):
            router.demand = answer

    async def wanted(self) -> int:
        live = await self.world.get(kinds.DEPLOYMENT, "house")
        assert live is not None
        return int(live["spec"]["replicas"])

    async def until_wanted(self, count: int, seconds: float) -> float:
        """Seconds that it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def reached() -> bool:
            return await self.wanted() == count

        await self.world.until(f"{count} replicas wanted", reached, seconds)
        return loop.time() - began

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.world.get(kinds.MODEL_DEPLOYMENT, "house") or {}).get("status") or {}
        return found

    async def start_pod(self) -> None:
        self.pods = await self.kubelet.run(1)

    async def end_pods(self) -> None:
        """As the Deployment's controller and the kubelet do after it was scaled to zero."""
        for pod in self.pods:
            path = kinds.POD.path(self.world.namespace, pod["metadata"]["name"])
            await self.world.api.request("DELETE", path, body={"gracePeriodSeconds": 0})
        self.pods = []
        await self.kubelet.report(0, 0)


@asynccontextmanager
async def scene(world: World) -> AsyncIterator[Scene]:
    autoscaling = {"min": 0, "max": 1, "idleSeconds": IDLE}
    await world.apply(
        samples.secret(world.namespace),
        samples.model_deployment(
            world.namespace,
            "house",
            source={"pvc": {"claimName": "w", "path": "a.gguf"}},
            replicas=None,
            autoscaling=autoscaling,
        ),
        samples.route_policy(world.namespace, "assistant"),
    )
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "True")
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(FakePod(ENGINE).listening(names.ENGINE_PORT))
        routers = []
        for address in ROUTERS:
            router = FakePod(address, demand=told(None))
            routers.append(await stack.enter_async_context(router.listening(names.ROUTER_ADMIN_PORT)))
            kubelet = FakeKubelet(world.api, world.namespace, "assistant-router", address)
            await kubelet.run(1)
        await kubelet.report(2, 2)
        yield Scene(world, routers, engine, FakeKubelet(world.api, world.namespace, "house", ENGINE), [])


async def at_rest(house: Scene) -> None:
    """Up, proven, silent, put to rest."""
    house.say(told(1000), told(None))
    await house.start_pod()
    await house.world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "True", "Ready")
    await house.until_wanted(0, IDLE + 4)
    await house.end_pods()
    await house.world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "True", "AtRest")


async def events(world: World) -> list[tuple[str, str]]:
    found = await world.list(kinds.EVENT)
    return [(item["reason"], item["note"]) for item in found if item["regarding"]["name"] == "house"]


async def test_it_begins_awake_rests_and_is_woken_within_two_seconds(world: World) -> None:
    operator = await world.start()
    async with scene(world) as house:
        assert await house.wanted() == 1, "a new one begins awake: its weights come before its users"
        await at_rest(house)
        assert (await house.status())["desiredReplicas"] == 0
        await world.quiet(operator)

        since = world.plane.audit_position()
        await asyncio.sleep(3)
        assert world.writes(since) == [], "at rest nothing is written, however often routers are asked"

        house.say(told(1000), told(0.1, waiting=1))
        took = await house.until_wanted(1, 5)
        assert took < 2, f"woken after {took:.1f} s"
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "False", "Starting")
        await house.start_pod()
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "True", "Ready")
        assert house.engine.completions == 2, "the woken replica has proven itself"
        assert (await house.status())["lastActiveTime"]

        async def both() -> bool:
            return {"Woken", "PutToRest"} <= {reason for reason, _ in await events(world)}

        await world.until("Events of both", both)
        counted = {event: operator.meters.scalings.labels(event=event)._value.get() for event in ("Woken", "PutToRest")}
        assert counted == {"Woken": 1, "PutToRest": 1}


async def test_it_stays_awake_while_a_request_runs_anywhere(world: World) -> None:
    await world.start()
    async with scene(world) as house:
        house.say(told(1000), told(1000, in_flight=1))
        await house.start_pod()
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "True")
        await asyncio.sleep(IDLE + 2)
        assert await house.wanted() == 1
        house.say(told(1000), told(0.0))
        await asyncio.sleep(2)
        assert await house.wanted() == 1
        house.say(told(1000), told(IDLE))
        assert await house.until_wanted(0, IDLE + 3) > 0


async def test_routers_that_do_not_answer_keep_it_awake_and_the_status_says_so(world: World) -> None:
    await world.start(demand_settle=1.0)
    async with scene(world) as house:
        house.say(told(1000), {})
        await house.start_pod()
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "True")

        async def explained() -> bool:
            ready = await world.condition(kinds.MODEL_DEPLOYMENT, "house", "Ready")
            return "does not tell of its requests" in ready.get("message", "")

        await world.until("the reason in the Ready condition", explained, IDLE + 10)
        assert await house.wanted() == 1
        house.say(told(1000), told(None))
        await house.until_wanted(0, 3)


async def test_a_restarted_operator_goes_on_where_the_last_one_stopped(world: World) -> None:
    first = await world.start()
    async with scene(world) as house:
        await at_rest(house)
        await world.quiet(first)
        before = await house.status()
        await world.stop(first)
        since = world.plane.audit_position()
        second = await world.start()
        await world.quiet(second)
        await asyncio.sleep(2)
        assert world.writes(since) == [] and await house.status() == before
        await world.stop(second)

        house.say(told(0.1), told(1000))  # while nobody leads
        third = await world.start()
        await house.until_wanted(1, 5)
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Available", "False", "Starting")
        await world.stop(third)
        house.say(told(1000), told(None))
        await house.start_pod()
        await world.start()  # awake, as the last one left it
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "True", "Ready")
        await house.until_wanted(0, IDLE + 70)


async def test_routers_of_a_policy_that_is_refused_are_still_heard(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored policy that a later version refuses: its routers serve on, and what they ask for is woken."""
    first = await world.start()
    async with scene(world) as house:
        await at_rest(house)
        await world.stop(first)
        parse = route_policy.parse

        def refusing(model: Any, live: Any) -> Any:
            return parse(model, {} if model is RoutePolicy else live)

        monkeypatch.setattr(route_policy, "parse", refusing)
        await world.start()
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "False", "InvalidSpec")
        house.say(told(0.1), told(None))
        await house.until_wanted(1, 5)


async def test_a_number_that_a_person_gives_ends_it(world: World) -> None:
    await world.start()
    async with scene(world) as house:
        await at_rest(house)
        await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"autoscaling": None, "replicas": 2}})
        await house.until_wanted(2, 5)
        await house.world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "False", "Starting")
        assert "lastActiveTime" not in await house.status()
