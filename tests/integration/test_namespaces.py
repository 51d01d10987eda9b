"""A cluster-wide operator writes only where an administrator has let it in, and says so where not."""

from __future__ import annotations

import asyncio
from typing import Any

from genset import desired, kinds
from testbed.cluster.controlplane import ControlPlane
from testbed.resources import namespace as managed
from tests.support.integration import samples
from tests.support.integration.world import World, make_world

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


async def test_a_namespace_that_is_deleted_and_made_again_is_served_again(control_plane: ControlPlane) -> None:
    """The others of `watchNamespaces` are served meanwhile, and nobody starts the operator anew."""
    async with make_world(control_plane) as one, make_world(control_plane) as two:
        operator = await one.start(namespaces=(one.namespace, two.namespace), resync_seconds=1.0)
        await one.apply(samples.model_deployment(one.namespace, "first"))
        await one.until_condition(kinds.MODEL_DEPLOYMENT, "first", "Accepted", "True")
        await _deleted(one)
        assert await one.api.get(kinds.NAMESPACE, one.namespace, one.namespace) is None
        await two.apply(samples.model_deployment(two.namespace, "second"))
        await two.until_condition(kinds.MODEL_DEPLOYMENT, "second", "Accepted", "True")

        await one.api.request("POST", "/api/v1/namespaces", body=managed(one.namespace))
        await one.apply(samples.model_deployment(one.namespace, "first"))
        await one.until_condition(kinds.MODEL_DEPLOYMENT, "first", "Accepted", "True", seconds=60)
        assert await one.get(kinds.DEPLOYMENT, "first") is not None
        await one.quiet(operator)
        assert operator.unready() is None


async def _deleted(world: World) -> None:
    """Does what the namespace's controller does, which does not run here: it deletes what is in it, then its finalizer."""
    await asyncio.to_thread(world.plane.kubectl, "delete", "namespace", world.namespace, "--wait=false")
    for kind in (*KINDS, *desired.CHILD_KINDS):
        if kind is kinds.LEADER_WORKER_SET:
            continue  # not installed
        for one in await world.list(kind):
            await world.delete(kind, one["metadata"]["name"])
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}, "spec": {"finalizers": []}}
    await world.api.request("PUT", f"/api/v1/namespaces/{world.namespace}/finalize", body=body)
