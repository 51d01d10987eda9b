"""Outages on a real cluster: routers notice, the policy says so in status and Events, and says when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from e2e import story
from e2e.policies import served
from e2e.world import World, until
from testbed.cluster.node import NODE_NAME
from testbed.house import House
from testbed.resources import Object, route_policy

pytestmark = pytest.mark.timeout(300)
POLICY = "outages"
ROUTER_PODS = f"genset.dev/routepolicy={POLICY}"
NOBODY = f"nobody.{story.NAMESPACE}.svc"  # a host that no DNS knows
DEAD = {"provider": "openAICompatible", "model": "none", "baseURL": f"http://{NOBODY}:9/v1"}


def reasons(house: House) -> list[str]:
    found = house.get("rp", story.NAMESPACE, POLICY) or {}
    return [outage["reason"] for outage in found.get("status", {}).get("outages", ())]


def events(house: House) -> dict[str, str]:
    """Notes of the policy's Events, by reason."""
    found = house.list("events", story.NAMESPACE)
    return {event["reason"]: event["message"] for event in found if event["involvedObject"]["name"] == POLICY}


async def until_outages(house: House, *wanted: str, seconds: float = 30) -> None:
    await until(
        lambda: reasons(house) == list(wanted),
        lambda: f"outages {list(wanted)}, not {reasons(house)}",
        seconds=seconds,
    )


async def until_event(house: House, reason: str) -> str:
    await until(lambda: reason in events(house), f"Event {reason}", seconds=15)
    return events(house)[reason]


@asynccontextmanager
async def policy(
    world: World, *, dead: bool = True, routers: int = 1, spec: Object | None = None, **cloud: Any
) -> AsyncIterator[str]:
    """A policy that asks the cloud first, at two hosts of which one is never there (`dead`), then the house; its router's URL."""
    frontier = next(b for b in world.sample("RoutePolicy", story.POLICY)["spec"]["backends"] if b["name"] == "frontier")
    backends = [
        {**frontier, "cloud": {**frontier["cloud"], **cloud}},
        *([{"name": "dead", "cloud": DEAD}] if dead else []),
        {"name": "house", "deployment": {"name": story.DEPLOYMENT}},
    ]
    made = route_policy(story.NAMESPACE, POLICY, backends, *(str(one["name"]) for one in backends), **(spec or {}))
    made["spec"]["router"]["replicas"] = routers
    async with served(world, made) as url:
        yield url


async def answered_by(url: str, backend: str, seconds: float = 40) -> None:
    async def ask() -> str:
        answer = await story.one_answer(url, "counting")
        assert not answer.problem, answer
        return answer.backend

    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (seen := await ask()) != backend:
        assert loop.time() < deadline, f"{backend} did not answer within {seconds:g} s; {seen} did"
        await asyncio.sleep(0.3)


async def test_the_line_is_cut_and_comes_back(world: World) -> None:
    house = world.house
    async with policy(world) as url:
        await answered_by(url, "frontier")
        world.cloud.kill()
        try:
            await answered_by(url, "house")
            await until_outages(house, "EgressDown")
            note = await until_event(house, "EgressDown")
            assert NOBODY in note and "go to house (tier 3)" in note
        finally:
            world.cloud.start()
        await until_outages(house)
        await until_event(house, "EgressRestored")
        await answered_by(url, "frontier")


async def test_a_refused_key_is_told_until_it_is_renewed(world: World) -> None:
    house = world.house
    wrong = world.sample("Secret", "cloud")
    wrong["metadata"]["name"] = "wrong"
    wrong["stringData"] = {**wrong["stringData"], "apiKey": "sk-wrong"}
    house.apply(wrong)
    try:
        async with policy(world, credentialsSecretRef={"name": "wrong", "key": "apiKey"}) as url:
            await answered_by(url, "house")
            await until_outages(house, "BackendAuthFailed")
            assert "key apiKey of Secret wrong" in await until_event(house, "BackendAuthFailed")
            wrong["stringData"] = {**wrong["stringData"], "apiKey": world.cloud.api_key}
            house.apply(wrong)
            await until_outages(house)
            await until_event(house, "BackendRestored")
            await answered_by(url, "frontier")
    finally:
        house.kubectl("-n", story.NAMESPACE, "delete", "secret", "wrong")


@pytest.mark.needs_embedded_cluster
async def test_the_house_is_down_and_comes_back(world: World) -> None:
    """No node takes the model's pod, so that it does not come back before anybody looks."""
    house = world.house
    async with policy(world) as url:
        # The address may have been another Service's, whose pods still answer there.
        await asyncio.to_thread(world.until_services_follow, 90)
        await answered_by(url, "frontier")
        house.kubectl("cordon", NODE_NAME)
        try:
            await asyncio.to_thread(house.kill_pods, story.NAMESPACE, story.ENGINE_PODS)
            await until_outages(house, "HouseDown")
            assert story.DEPLOYMENT in await until_event(house, "HouseDown")
        finally:
            house.kubectl("uncordon", NODE_NAME)
        await asyncio.to_thread(house.until, "mdep", story.NAMESPACE, story.DEPLOYMENT, "Ready", seconds=120)
        await until_outages(house)
        await until_event(house, "HouseRestored")
