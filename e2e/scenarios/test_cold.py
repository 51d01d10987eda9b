"""A real model that rests and is woken by requests through a real router: nothing is lost in either direction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from e2e import story
from e2e.load import Load, Reading, ask
from e2e.world import World, until
from testbed.house import OPERATOR_NAMESPACE, House
from testbed.resources import cloud_target, model_deployment, route_policy, secret

pytestmark = pytest.mark.timeout(420)
IDLE = 6  # seconds
MODEL = "counting"


def cold_house(world: World, namespace: str, mode: str, *more: dict[str, Any], idle: int = IDLE) -> None:
    """A deployment that rests when nobody asks, behind a router that holds or bridges."""
    names = ["house", *(backend["name"] for backend in more)]
    policy = route_policy(namespace, "cold", [{"name": "house", "deployment": {"name": "sleeper"}}, *more], *names)
    policy["spec"]["routes"][0]["coldStart"] = {"mode": mode, "seconds": 120}
    policy["spec"]["router"]["replicas"] = 1
    sleeper = model_deployment(
        namespace,
        "sleeper",
        world.weights.source("counting.gguf"),
        model=MODEL,
        cache={"size": "200Mi"},
        autoscaling={"min": 0, "max": 1, "idleSeconds": idle},
    )
    world.house.apply(sleeper, policy)


def frontier(world: World, namespace: str) -> dict[str, Any]:
    """The cloud as a backend, and its key."""
    ca = world.cloud.ca_file.read_text()
    world.house.apply(secret(namespace, "cloud", apiKey=world.cloud.api_key, **{"ca.crt": ca}))
    return {
        "name": "frontier",
        "cloud": cloud_target(world.cloud.base_url),
    }


async def at_rest(house: House, namespace: str, seconds: float = 90) -> None:
    """Until the model rests and its last pod is gone."""
    await asyncio.to_thread(
        house.until, "mdep", namespace, "sleeper", "Available", "False", reason="AtRest", seconds=seconds
    )
    assert house.condition("mdep", namespace, "sleeper", "Ready").get("status") == "True", "at rest is not broken"
    await until(lambda: not engines(house, namespace), "no engine pod at rest", seconds=60)


def engines(house: House, namespace: str) -> list[dict[str, Any]]:
    return house.list("pods", namespace, "genset.dev/modeldeployment=sleeper")


async def ready(world: World, namespace: str) -> str:
    """The router's URL, once everything has been up: weights fetched, a completion proven."""
    await asyncio.to_thread(world.house.until, "mdep", namespace, "sleeper", "Ready", reason="Ready", seconds=150)
    await asyncio.to_thread(world.house.until, "rp", namespace, "cold", "Ready", seconds=120)
    return world.service_url(namespace, "cold-router") + "/v1"


async def measured(condition: Callable[[], Any], seconds: float) -> float:
    """Seconds until the condition of the world came true."""
    began = time.monotonic()
    await until(condition, "the condition", seconds=seconds)
    return time.monotonic() - began


async def test_a_request_wakes_a_model_and_silence_puts_it_to_rest(world: World, scratch: str) -> None:
    house = world.house
    cold_house(world, scratch, "Hold")
    url = await ready(world, scratch)
    await at_rest(house, scratch)
    version = (house.get("mdep", scratch, "sleeper") or {})["metadata"]["resourceVersion"]
    await asyncio.sleep(4)
    resting = house.get("mdep", scratch, "sleeper") or {}
    assert resting["metadata"]["resourceVersion"] == version, "at rest nothing is written"

    reading = Reading()
    async with httpx.AsyncClient(timeout=150, trust_env=False) as http:
        asking = asyncio.create_task(ask(http, url, MODEL, 40, reading=reading))

        def woken() -> bool:
            live = house.get("deployments", scratch, "sleeper") or {}
            return bool(live["spec"]["replicas"] == 1)

        took = await measured(woken, 30)
        answer = await asking
    print(f"replicas wanted after {took:.1f} s, first token after {answer.seconds_to_first_byte:.1f} s")
    assert took < 3, f"the operator took {took:.1f} s to wake it (a kubectl call of up to a second included)"
    assert not answer.problem, f"the client that woke it saw {answer.problem}"
    (pod,) = engines(house, scratch)
    words = house.kubectl("-n", scratch, "logs", pod["metadata"]["name"], "-c", "weights")
    assert "complete at" in words and "Started the download" not in words, f"waking must not download:\n{words}"
    await asyncio.to_thread(house.until, "mdep", scratch, "sleeper", "Ready", reason="Ready", seconds=60)
    await at_rest(house, scratch)
    told = {event["reason"] for event in house.list("events.events.k8s.io", scratch)}
    assert {"Woken", "PutToRest"} <= told


async def test_the_cloud_bridges_until_the_house_is_awake(world: World, scratch: str) -> None:
    cold_house(world, scratch, "Bridge", frontier(world, scratch))
    url = await ready(world, scratch)
    await at_rest(world.house, scratch)
    first = await story.one_answer(url, MODEL)
    assert (first.backend, first.problem) == ("frontier", ""), first
    assert first.ended - first.started < 5, "a bridged request does not wait"
    began = time.monotonic()
    async with Load(url, MODEL, clients=2, pause=0.1) as load:
        await load.until_answered_by("house", since=began, seconds=90)
    print(f"the house answers again {time.monotonic() - began:.1f} s after it was asked")
    assert not load.lost, f"clients saw {[answer.problem for answer in load.lost[:5]]}"


@pytest.mark.parametrize("mode", ["Hold", "Bridge"])
async def test_no_request_is_lost_over_many_rests(world: World, scratch: str, mode: str) -> None:
    """Clients that come about as often as it rests: some meet the very moment."""
    more = [frontier(world, scratch)] if mode == "Bridge" else []
    cold_house(world, scratch, mode, *more, idle=5)
    url = await ready(world, scratch)
    rests: set[str] = set()
    deadline = time.monotonic() + 150
    async with Load(url, MODEL, tokens=60, clients=1, pause=5.6) as load:
        while time.monotonic() < deadline and len(rests) < 4:
            rests |= {pod["metadata"]["name"] for pod in await asyncio.to_thread(engines, world.house, scratch)}
            await asyncio.sleep(0.5)
    print(f"{len(load.answers)} answers over {len(rests)} pods, {dict(load.by_backend())}")
    assert len(rests) >= 3, "it hardly ever rested: nothing was tried"
    assert not load.lost, f"clients saw {[answer.problem for answer in load.lost[:5]]}"


@pytest.mark.needs_embedded_cluster
async def test_a_request_is_answered_though_the_operator_was_away(world: World, scratch: str) -> None:
    """Nobody leads when the request comes; it waits, and the next leader wakes the model."""
    house = world.house
    cold_house(world, scratch, "Hold")
    url = await ready(world, scratch)
    await at_rest(house, scratch)
    house.kubectl(
        "-n", OPERATOR_NAMESPACE, "delete", "pod", "-l", "app.kubernetes.io/component=operator",
        "--grace-period=0", "--force", "--wait=false",
    )  # fmt: skip
    async with httpx.AsyncClient(timeout=150, trust_env=False) as http:
        answer = await ask(http, url, MODEL, 20)
    print(f"answered {answer.seconds_to_first_byte:.1f} s after both operators were killed")
    assert not answer.problem, f"the client saw {answer.problem}"
    operator = "deployment/genset-operator"
    house.kubectl("-n", OPERATOR_NAMESPACE, "rollout", "status", operator, "--timeout=90s", seconds=100)
