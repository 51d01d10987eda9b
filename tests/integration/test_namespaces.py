"""A cluster-wide operator writes only where an administrator has let it in, and says so where not."""

from __future__ import annotations

import asyncio
from typing import Any

from genset import kinds
from tests.support.integration import samples
from tests.support.integration.world import World

KINDS = (kinds.MODEL_DEPLOYMENT, kinds.ROUTE_POLICY)


async def _label(world: World, label: str) -> None:
    """Does what an administrator does: `genset.dev/managed-` takes the label away."""
    await asyncio.to_thread(world.plane.kubectl, "label", "namespace", world.namespace, label)


async def test_a_namespace_without_the_label_is_told_of_and_served_once_it_has_it(world: World) -> None:
    await _label(world, "genset.dev/managed-")
    await world.start(resync_seconds=1.0)
    await world.apply(
        samples.model_deployment(world.namespace, "house"), samples.route_policy(world.namespace, "front")
    )
    for kind, name in zip(KINDS, ("house", "front"), strict=True):
        told = await world.until_condition(kind, name, "Accepted", "False", reason="NamespaceNotManaged")
        command = f"kubectl label namespace {world.namespace} genset.dev/managed=true"
        assert command in told["message"] and told["message"].count(command) == 1
    for kind in (kinds.DEPLOYMENT, kinds.SERVICE, kinds.NETWORK_POLICY, kinds.CONFIG_MAP):
        assert await world.list(kind) == []
    await _label(world, "genset.dev/managed=true")
    for kind, name in zip(KINDS, ("house", "front"), strict=True):
        await world.until_condition(kind, name, "Accepted", "True")


async def test_a_label_that_goes_leaves_what_runs(world: World) -> None:
    await world.start(resync_seconds=1.0)
    made: dict[str, Any] = samples.model_deployment(world.namespace, "house")
    await world.apply(made)
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    before = await world.get(kinds.DEPLOYMENT, "house") or {}
    await _label(world, "genset.dev/managed-")
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"source": {"huggingFace": {"repo": "other/repo"}}}})
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", reason="NamespaceNotManaged")
    after = await world.get(kinds.DEPLOYMENT, "house") or {}
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
