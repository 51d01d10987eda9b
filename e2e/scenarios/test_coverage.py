"""What status.coverage says of a loss is what clients live through when the loss is real, on the embedded cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from e2e import story
from e2e.scenarios.test_outages import ROUTER_PODS, answered_by, policy
from e2e.world import World, until
from testbed.cluster.node import NODE_NAME

pytestmark = [pytest.mark.timeout(600), pytest.mark.needs_embedded_cluster]
POLICY = "outages"
ORDER = ("frontier", "house")  # a tier each


def told(world: World) -> dict[tuple[str, str], dict[str, Any]]:
    """What the policy says of each loss of its one route, by kind and name."""
    found = world.house.get("rp", story.NAMESPACE, POLICY) or {}
    routes = found.get("status", {}).get("coverage") or [{"losses": []}]
    return {(loss["kind"], loss.get("name", "")): loss for loss in routes[0]["losses"]}


@dataclass
class RealLoss:
    """A real loss has its kind, the end of its name, and what makes and ends it."""

    kind: str
    ends: str
    make: Callable[[World], None]
    end: Callable[[World], None]


def _house_to_zero(world: World) -> None:
    world.house.kubectl("-n", story.NAMESPACE, "scale", "mdep", story.DEPLOYMENT, "--replicas=0")


def _house_back(world: World) -> None:
    world.house.kubectl("-n", story.NAMESPACE, "scale", "mdep", story.DEPLOYMENT, "--replicas=1")
    world.house.until("mdep", story.NAMESPACE, story.DEPLOYMENT, "Ready", seconds=120)


def _another_key(world: World, key: str) -> None:
    made = world.sample("Secret", "cloud")
    made["stringData"] = {**made["stringData"], "apiKey": key}
    world.house.apply(made)


def _node_gone(world: World) -> None:
    """Its pods are gone, and none comes back."""
    world.house.kubectl("cordon", NODE_NAME)
    world.house.kill_pods(story.NAMESPACE, story.ENGINE_PODS)
    world.house.kubectl("-n", story.NAMESPACE, "delete", "pods", "-l", ROUTER_PODS, "--force", "--grace-period=0")


def _node_back(world: World) -> None:
    world.house.kubectl("uncordon", NODE_NAME)
    world.house.until("mdep", story.NAMESPACE, story.DEPLOYMENT, "Ready", seconds=120)
    world.house.until("rp", story.NAMESPACE, POLICY, "Ready", seconds=120)


LOSSES = [
    RealLoss("Cloud", "", lambda world: world.cloud.kill(), lambda world: world.cloud.start()),
    RealLoss("House", "", _house_to_zero, _house_back),
    RealLoss(
        "Provider", "with key cloud/apiKey", lambda world: _another_key(world, "sk-suspended"),
        lambda world: _another_key(world, world.cloud.api_key),
    ),
    RealLoss("Zone", "world", lambda world: world.cloud.kill(), lambda world: world.cloud.start()),
    RealLoss("Node", NODE_NAME, _node_gone, _node_back),
]  # fmt: skip


@asynccontextmanager
async def lost(world: World, loss: RealLoss) -> AsyncIterator[None]:
    await asyncio.to_thread(loss.make, world)
    try:
        yield
    finally:
        await asyncio.to_thread(loss.end, world)


async def test_each_loss_does_what_status_says(world: World) -> None:
    async with policy(world, dead=False) as url:
        await answered_by(url, "frontier")
        await until(lambda: ("Node", NODE_NAME) in told(world), "the coverage of the node", seconds=30)
        for loss in LOSSES:
            found = told(world)
            said = next(found[of] for of in found if of[0] == loss.kind and of[1].endswith(loss.ends))
            async with lost(world, loss):
                if said["outcome"] == "Lost":
                    await unanswered(url)
                else:
                    await answered_by(url, ORDER[said["tier"] - 1])
            await answered_by(url, "frontier", seconds=90)


async def unanswered(url: str, seconds: float = 60) -> None:
    """Waits until nobody answers, which then stays so."""
    loop = asyncio.get_running_loop()
    deadline, since = loop.time() + seconds, loop.time()
    while loop.time() - since < 5:
        if not await _fails(url):
            since = loop.time()
        assert loop.time() < deadline, "requests are answered, though the loss was said to end the route"
        await asyncio.sleep(0.3)


async def _fails(url: str) -> bool:
    try:
        return bool((await story.one_answer(url, "counting")).problem)
    except (TimeoutError, OSError):
        return True
