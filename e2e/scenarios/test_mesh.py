"""Engines and routers in a mesh with native sidecars: they come up, drain without a cut, and the status is right.

The mesh is a stand-in (e2e/mesh.py).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from e2e.load import Load
from e2e.mesh import NAME, meshed
from e2e.world import World, until
from testbed.resources import model_deployment, route_policy

pytestmark = [pytest.mark.timeout(420), pytest.mark.needs_embedded_cluster]
ENGINE, ROUTER = "genset.dev/modeldeployment=meshed", "genset.dev/routepolicy=meshed"
PARALLEL = '{"spec": {"context": {"parallel": 3}}}'
#: Streams of 200 tokens take longer than ten seconds on a busy machine, and nobody's is to be cut.
PATIENT = {"resources": {"cpu": "50m", "memory": "192Mi"}, "drainSeconds": 30}
RETRIES = 2  # of connections alone, as OpenAI's own library makes them: a Service forgets a pod in its own time


async def test_engines_and_routers_come_up_and_drain_in_a_mesh(world: World, scratch: str, tmp_path: Path) -> None:
    house = world.house
    source = world.weights.source("counting.gguf")
    backend = {"name": "house", "deployment": {"name": "meshed"}}
    async with meshed(house, scratch, tmp_path) as mesh:
        house.apply(
            model_deployment(scratch, "meshed", source, rollout={"drainSeconds": 30}),
            route_policy(scratch, "meshed", [backend], "house", router=PATIENT),
        )
        await asyncio.to_thread(house.until, "mdep", scratch, "meshed", "Ready", seconds=150)
        await asyncio.to_thread(house.until, "rp", scratch, "meshed", "Ready", seconds=90)
        engine, router = map(mesh.carried, (ENGINE, ROUTER))
        assert all(one["in"] and one["out"] for one in (engine, router)), f"nothing went through {engine}, {router}"

        url = await asyncio.to_thread(world.service_url, scratch, "meshed-router") + "/v1"
        async with Load(url, "meshed", tokens=200, clients=4, retries=RETRIES) as load:
            await load.until_answered_by("house", since=0, seconds=30)
            before = set(mesh.joined)
            house.kubectl("-n", scratch, "patch", "mdep", "meshed", "--type=merge", "-p", PARALLEL)
            await asyncio.to_thread(house.until, "mdep", scratch, "meshed", "Ready", seconds=150)
            deployment = "deployment/meshed-router"
            house.kubectl("-n", scratch, "rollout", "restart", deployment)
            await asyncio.to_thread(
                house.kubectl, "-n", scratch, "rollout", "status", deployment, "--timeout=120s", seconds=130
            )
            await until(
                lambda: {pod["metadata"]["name"] for pod in house.list("pods", scratch)}.isdisjoint(before),
                "those that were replaced are gone",
                seconds=90,
            )
        assert len(load.answers) > 10 and not load.lost, f"clients saw {[answer.problem for answer in load.lost[:5]]}"
        await asyncio.to_thread(house.until, "rp", scratch, "meshed", "Ready", seconds=60)

        (pod,) = house.list("pods", scratch, ENGINE)
        address = mesh.joined[pod["metadata"]["name"]]
        await asyncio.to_thread(mesh.ask, address, "/ill")
        told = await asyncio.to_thread(
            house.until, "mdep", scratch, "meshed", "Available", "False", reason="SidecarNotReady", seconds=60
        )
        assert NAME in told["message"]
        await asyncio.to_thread(mesh.ask, address, "/well")
        await asyncio.to_thread(house.until, "mdep", scratch, "meshed", "Ready", seconds=60)
