"""The operator as a whole: the whole cluster or some namespaces, health, metrics, resync."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from genset import kinds
from genset.controllers.health import Address
from genset.kube.client import ApiError, ApiServer, load_configuration
from genset.kube.metrics import Metrics
from testbed.cluster.controlplane import ControlPlane
from tests.support.integration import samples
from tests.support.integration.world import World, make_world, operator_kubeconfig

LOOPBACK = Address("127.0.0.1", 0)


async def test_cluster_wide(control_plane: ControlPlane) -> None:
    """One operator for every namespace."""
    async with make_world(control_plane) as world, make_world(control_plane) as other:
        await world.apply(samples.model_deployment(world.namespace, "before"))
        await world.start(namespaces=())
        await other.apply(samples.model_deployment(other.namespace, "after"))
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "before", "Accepted", "True")
        await other.until_condition(kinds.MODEL_DEPLOYMENT, "after", "Accepted", "True")


async def test_namespaced_leaves_others_alone(control_plane: ControlPlane) -> None:
    async with make_world(control_plane) as one, make_world(control_plane) as two, make_world(control_plane) as third:
        operator = await one.start(namespaces=(one.namespace, two.namespace))
        for world in (one, two, third):
            await world.apply(samples.model_deployment(world.namespace, "house"))
        await one.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
        await two.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
        await one.quiet(operator)
        assert await third.list(kinds.DEPLOYMENT) == []


async def test_health_readiness_and_metrics(world: World) -> None:
    operator = await world.start(health=LOOPBACK, metrics=LOOPBACK)
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.quiet(operator)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{operator.health_port}", trust_env=False) as client:
        assert (await client.get("/healthz")).text == "ok\n"
        assert (await client.get("/readyz")).status_code == 200
        text = (await client.get("/metrics")).text
        for line in (
            'genset_reconcile_total{kind="ModelDeployment",result="ok"}',
            'genset_reconcile_duration_seconds_count{kind="ModelDeployment"}',
            "genset_workqueue_depth 0.0",
            'genset_apply_total{kind="Deployment",verb="create"} 1.0',
            'genset_apply_total{kind="ModelDeployment",verb="status"}',
            "genset_leader 1.0",
            "process_resident_memory_bytes",
        ):
            assert line in text, f"{line} is missing in:\n{text}"


async def test_health_tells_of_stalled_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = await world.start(health=LOOPBACK)
    queue = operator.queue
    assert queue is not None
    queue.stall_seconds = 0.2
    hold = asyncio.Event()

    async def stuck(*_: object) -> None:
        await hold.wait()

    monkeypatch.setattr("genset.controllers.model_deployment.ModelDeploymentController._report", stuck)
    await world.apply(samples.model_deployment(world.namespace, "house"))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{operator.health_port}", trust_env=False) as client:

        async def told() -> str | None:
            answer = await client.get("/healthz")
            return answer.text if answer.status_code == 503 else None

        text = await world.until("/healthz fails", told)
        assert f"ModelDeployment {world.namespace}/house" in text
        hold.set()

        async def well() -> bool:
            return (await client.get("/healthz")).status_code == 200

        await world.until("/healthz is well again", well)


async def test_the_resync_repairs_what_no_watch_tells(world: World) -> None:
    """A child without our label sends no event: only the periodic look finds out."""
    operator = await world.start(resync_seconds=1.0)
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.quiet(operator, seconds=5)
    await world.patch(kinds.SERVICE, "house", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "nobody"}}})
    await world.patch(kinds.SERVICE, "house", {"spec": {"selector": {"a": "b"}}})

    async def repaired() -> bool:
        live = await world.get(kinds.SERVICE, "house") or {}
        labelled = live["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "genset"
        return labelled and "genset.dev/modeldeployment" in live["spec"]["selector"]

    await world.until("label and selector are repaired", repaired)


async def test_stop_is_quick_while_work_is_under_way(world: World) -> None:
    operator = await world.start()
    await world.apply(*(samples.model_deployment(world.namespace, f"m-{number}") for number in range(40)))
    began = time.monotonic()
    await world.stop(operator)
    assert time.monotonic() - began < 3
    await world.start()

    async def complete() -> bool:
        return len(await world.list(kinds.DISRUPTION_BUDGET)) == 40

    await world.until("the next operator has finished the work", complete)


async def test_the_operator_may_not_do_more_than_it_needs(world: World) -> None:
    """The tests' own check: its user really has the least rights, so that a missing verb would have failed them."""
    api = ApiServer(await load_configuration(operator_kubeconfig(world.plane), None), Metrics())
    for path in (
        kinds.SECRET.path(world.namespace),
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/api/v1/nodes",
    ):
        with pytest.raises(ApiError) as refused:
            await api.request("GET", path)
        assert refused.value.status == 403, path
    await api.close()
