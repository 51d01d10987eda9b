"""Who decides the number of replicas, on a real API server: somebody else by the scale subresource, a pool, or groups of pods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genset import kinds, names
from genset.kube.client import ApiError
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet, FakePod
from tests.support.integration.world import World

LEADER, WORKER = "127.77.141.1", "127.77.141.2"
LWS_CRD = Path(__file__).parents[1] / "data" / "leaderworkersets.json"
SOURCE = {"pvc": {"claimName": "w", "path": "a.gguf"}}


async def scale(world: World, name: str, replicas: int) -> None:
    """As the HorizontalPodAutoscaler's controller does: reads the subresource, changes the number, writes it back."""
    path = kinds.MODEL_DEPLOYMENT.path(world.namespace, name, "scale")
    found = await world.api.request("GET", path)
    assert found["status"]["selector"], "an autoscaler finds no pods"
    body = {**found, "spec": {"replicas": replicas}}
    await world.api.request("PUT", path, body=body, query={"fieldManager": "kube-controller-manager"})


async def scaling(world: World, name: str) -> dict[str, Any]:
    found = await world.get(kinds.MODEL_DEPLOYMENT, name) or {}
    told: dict[str, Any] = (found.get("status") or {}).get("scaling") or {}
    return told


async def test_a_horizontal_pod_autoscaler_is_followed_and_named(world: World) -> None:
    await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house", source=SOURCE, replicas=1))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await scale(world, "house", 3)

    async def followed() -> bool:
        live = await world.get(kinds.DEPLOYMENT, "house")
        return live is not None and live["spec"]["replicas"] == 3 and (await scaling(world, "house")).get("owner") != ""

    await world.until("3 replicas wanted", followed)

    async def named() -> bool:
        return await scaling(world, "house") == {"owner": "kube-controller-manager", "reason": "Replicas"}

    await world.until("the status to name who scales", named)


async def test_nobody_else_scales_what_genset_scales(world: World) -> None:
    await world.start()
    spec: dict[str, Any] = {"source": SOURCE, "replicas": None}
    await world.apply(samples.model_deployment(world.namespace, "house", **spec, autoscaling={"min": 0, "max": 2}))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    with pytest.raises(ApiError, match="the spec replicas field"):
        await scale(world, "house", 3)
    assert (await scaling(world, "house")) == {"owner": "genset", "reason": "Demand", "min": 0, "max": 2}


async def test_two_of_a_pool_are_never_awake_together(world: World) -> None:
    """Made at the same time: one gets the device, the other says for whom it waits."""
    await world.start()
    pool = {"pool": {"name": "gpu-0"}}
    both = [
        samples.model_deployment(world.namespace, name, source=SOURCE, replicas=None, autoscaling=pool)
        for name in ("a", "b")
    ]
    await world.apply(*both)

    async def settled() -> bool:
        return {(await scaling(world, name)).get("reason") for name in "ab"} == {"Demand", "WaitsForPool"}

    await world.until("one to have the device and the other to wait", settled)
    found = {name: await world.get(kinds.DEPLOYMENT, name) or {} for name in "ab"}
    wanted = {name: live["spec"]["replicas"] for name, live in found.items()}
    assert sorted(wanted.values()) == [0, 1]
    (holder,) = (name for name, count in wanted.items() if count)
    (waiting,) = (name for name, count in wanted.items() if not count)
    assert (await scaling(world, waiting))["holder"] == holder
    condition = await world.condition(kinds.MODEL_DEPLOYMENT, waiting, "Ready")
    assert (condition["status"], condition["reason"]) == ("False", "WaitsForPool")

    await world.delete(kinds.MODEL_DEPLOYMENT, holder)

    async def swapped() -> bool:
        live = await world.get(kinds.DEPLOYMENT, waiting)
        return live is not None and live["spec"]["replicas"] == 1

    await world.until("the other one to have the device", swapped)


async def test_groups_of_pods_wait_for_their_kind_and_tell_their_counts(world: World) -> None:
    await world.start()
    await world.apply(
        samples.model_deployment(
            world.namespace,
            "giant",
            engine="vllm",
            source={"pvc": {"claimName": "w", "path": "giant"}},
            resources={"cpu": "8", "memory": "64Gi", "accelerator": {"count": 8}},
            parallelism={"tensor": 8, "pipeline": 2, "nodes": 2},
        )
    )
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "giant", "Accepted", "False", "LeaderWorkerSetMissing")
    world.plane.kubectl("apply", "--server-side", "-f", "-", stdin=LWS_CRD.read_text())
    try:
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "giant", "Accepted", "True", seconds=30)
        assert await world.get(kinds.DEPLOYMENT, "giant") is None, "one pod would have half of the model"
        live = await world.get(kinds.LEADER_WORKER_SET, "giant-nodes") or {}
        assert live["spec"]["leaderWorkerTemplate"]["size"] == 2
        counts = {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 1}
        path = kinds.LEADER_WORKER_SET.path(world.namespace, "giant-nodes", "status")
        await world.api.request(
            "PATCH", path, body={"status": counts}, headers={"Content-Type": "application/merge-patch+json"}
        )
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "giant", "Available", "True", seconds=30)
        async with FakePod(LEADER).listening(names.ENGINE_PORT) as leader:
            for role, address in (("leaderTemplate", LEADER), ("workerTemplate", WORKER)):
                template = live["spec"]["leaderWorkerTemplate"][role]
                kubelet = FakeKubelet(world.api, world.namespace, "giant-nodes", address)
                await kubelet.pod({"spec": {"template": template}}, ready=True)
            await world.until_condition(kinds.MODEL_DEPLOYMENT, "giant", "Ready", "True", seconds=30)
            assert leader.completions == 1, "the leader alone is asked: a worker has no API"
        before = live["metadata"]["resourceVersion"]
        await world.patch(kinds.MODEL_DEPLOYMENT, "giant", {"spec": {"replicas": 2}})

        async def scaled() -> bool:
            found = await world.get(kinds.LEADER_WORKER_SET, "giant-nodes") or {}
            return bool(found["spec"]["replicas"] == 2 and found["metadata"]["resourceVersion"] != before)

        await world.until("two groups wanted", scaled)
    finally:
        world.plane.kubectl("delete", "crd", json.loads(LWS_CRD.read_text())["metadata"]["name"], "--wait=false")
