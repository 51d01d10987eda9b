"""One ModelDeployment: children come, are repaired, follow the spec and stop following what is gone from it."""

from __future__ import annotations

import asyncio

from genset import kinds, names
from tests.support.integration import samples
from tests.support.integration.world import World


async def test_children_and_status_appear(world: World) -> None:
    await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house", cache={"size": "1Gi"}))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    deployment = await world.get(kinds.DEPLOYMENT, "house")
    assert deployment is not None
    assert deployment["metadata"]["ownerReferences"][0]["name"] == "house"
    assert names.ANNOTATION_DESIRED_HASH in deployment["metadata"]["annotations"]
    services = {item["metadata"]["name"]: item["spec"].get("clusterIP") for item in await world.list(kinds.SERVICE)}
    assert services["house-endpoints"] == "None" and services["house"] not in ("None", None)
    assert [item["metadata"]["name"] for item in await world.list(kinds.PVC)] == ["house-weights"]
    assert await world.get(kinds.NETWORK_POLICY, "house") or await world.list(kinds.NETWORK_POLICY)
    assert await world.list(kinds.DISRUPTION_BUDGET)
    ready = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "False")
    assert ready["message"], "a user wants to know what is being waited for"


async def test_the_resource_itself_is_only_written_in_status(world: World) -> None:
    """Kopf and genset leave metadata and spec alone: no finalizer, no annotation, no field of ours outside status."""
    operator = await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"metadata": {"labels": {"team": "a"}}})
    await world.quiet(operator)
    live = await world.get(kinds.MODEL_DEPLOYMENT, "house")
    assert live is not None
    assert "finalizers" not in live["metadata"] and "annotations" not in live["metadata"]
    managers = {(item["manager"], item.get("subresource")) for item in live["metadata"]["managedFields"]}
    assert managers == {("user", None), ("genset-status", "status")}


async def test_replicas_follow_the_spec_and_the_scale_subresource(world: World) -> None:
    await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house"))

    async def replicas(count: int) -> bool:
        live = await world.get(kinds.DEPLOYMENT, "house")
        return live is not None and live["spec"]["replicas"] == count

    await world.until("one replica", lambda: replicas(1))
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"replicas": 3}})
    await world.until("three replicas", lambda: replicas(3))
    await asyncio.to_thread(
        world.plane.kubectl, "-n", world.namespace, "scale", "modeldeployment/house", "--replicas=0"
    )
    await world.until("no replica after kubectl scale", lambda: replicas(0))
