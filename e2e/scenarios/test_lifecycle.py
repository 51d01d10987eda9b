"""Scaling, deletion, upgrade: what a resource leaves behind and what survives."""

from __future__ import annotations

import asyncio

import pytest

from e2e import story
from e2e.world import World, until
from testbed.house import House
from testbed.resources import model_deployment, route_policy

pytestmark = pytest.mark.timeout(300)
CHILDREN = (
    "deployments", "replicasets", "pods", "services", "configmaps", "secrets", "serviceaccounts",
    "poddisruptionbudgets", "networkpolicies", "persistentvolumeclaims",
)  # fmt: skip


def children(house: House, namespace: str) -> list[str]:
    """Every object of ours in the namespace, as `kind/name`."""
    found = []
    for kind in CHILDREN:
        found += [
            f"{kind}/{o['metadata']['name']}"
            for o in house.list(kind, namespace, "app.kubernetes.io/managed-by=genset")
        ]
    return found


async def test_scaling_by_kubectl_and_to_zero_and_back(world: World, scratch: str) -> None:
    house = world.house
    house.apply(model_deployment(scratch, "scaled", world.weights.source("counting.gguf")))
    await asyncio.to_thread(house.until, "mdep", scratch, "scaled", "Ready", seconds=120)
    house.kubectl("-n", scratch, "scale", "mdep", "scaled", "--replicas=2")
    await asyncio.to_thread(house.until, "mdep", scratch, "scaled", "Ready", seconds=120)
    found = house.get("mdep", scratch, "scaled") or {}
    assert found["status"]["readyReplicas"] == 2
    house.kubectl("-n", scratch, "scale", "mdep", "scaled", "--replicas=0")
    await asyncio.to_thread(house.until, "mdep", scratch, "scaled", "Available", "False", reason="ScaledToZero")
    await until(lambda: not house.list("pods", scratch), "no pod at zero replicas", seconds=60)
    house.kubectl("-n", scratch, "scale", "mdep", "scaled", "--replicas=1")
    await asyncio.to_thread(house.until, "mdep", scratch, "scaled", "Ready", seconds=120)


async def test_deletion_removes_every_child(world: World, scratch: str) -> None:
    house = world.house
    house.apply(
        model_deployment(scratch, "gone", world.weights.source("counting.gguf")),
        route_policy(scratch, "gone", [{"name": "house", "deployment": {"name": "gone"}}], "house"),
    )
    await asyncio.to_thread(house.until, "mdep", scratch, "gone", "Ready", seconds=120)
    await asyncio.to_thread(house.until, "rp", scratch, "gone", "Ready", seconds=120)
    assert len(children(house, scratch)) >= 12, f"only {children(house, scratch)}"
    house.kubectl("-n", scratch, "delete", "rp,mdep", "gone", "--wait=true")
    await until(
        lambda: not children(house, scratch), lambda: f"no child left, not {children(house, scratch)}", seconds=90
    )


async def test_resources_deleted_and_made_again_at_once(world: World, scratch: str) -> None:
    """As `kubectl replace --force` does: what belonged to the deleted ones is still there, and is no reason to warn."""
    house = world.house
    both = (
        model_deployment(scratch, "again", world.weights.source("counting.gguf"), cache={"size": "200Mi"}),
        route_policy(scratch, "again", [{"name": "house", "deployment": {"name": "again"}}], "house"),
    )
    for attempt in ("first", "second"):
        house.apply(*both)
        await asyncio.to_thread(house.until, "mdep", scratch, "again", "Ready", seconds=150)
        await asyncio.to_thread(house.until, "rp", scratch, "again", "Ready", seconds=60)
        if attempt == "first":
            house.kubectl("-n", scratch, "delete", "rp,mdep", "again", "--wait=true")
    warned = [event["message"] for event in house.list("events", scratch) if event["reason"] == "NameConflict"]
    assert not warned, f"a user was told to do what happens by itself: {warned}"


async def test_an_upgrade_of_the_chart_keeps_the_resources(world: World) -> None:
    before = {
        kind: (world.house.get(kind, story.NAMESPACE, name) or {})["metadata"]["uid"]
        for kind, name in (("mdep", story.DEPLOYMENT), ("rp", story.POLICY))
    }
    pods = {pod["metadata"]["uid"] for pod in world.house.list("pods", story.NAMESPACE)}
    await asyncio.to_thread(world.house.install, "--set", "resyncSeconds=123")
    for kind, name in (("mdep", story.DEPLOYMENT), ("rp", story.POLICY)):
        assert (world.house.get(kind, story.NAMESPACE, name) or {})["metadata"]["uid"] == before[kind]
        await asyncio.to_thread(world.house.until, kind, story.NAMESPACE, name, "Ready", seconds=60)
    assert {pod["metadata"]["uid"] for pod in world.house.list("pods", story.NAMESPACE)} == pods, (
        "an upgrade of the operator restarted pods that serve"
    )
