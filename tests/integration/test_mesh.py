"""A mesh on a real API server: a webhook puts a native sidecar into pods, or into Deployments, as Istio's and Linkerd's do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genset import kinds, names
from genset.kinds import Kind
from genset.runtime import Operator
from testbed.cluster.webhook import mutating
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet, FakePod, stamp
from tests.support.integration.world import World

Object = dict[str, Any]
MD = kinds.MODEL_DEPLOYMENT
SIDECAR: Object = {
    "name": "istio-proxy",
    "image": "mesh.example/proxy:1",
    "restartPolicy": "Always",
    "args": ["proxy", "sidecar"],
    "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "failureThreshold": 600, "periodSeconds": 1},
    "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}},
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsUser": 1337},
    "volumeMounts": [{"name": "istio-envoy", "mountPath": "/etc/istio/proxy"}],
}
RUNS = {"state": {"running": {"startedAt": "2026-11-29T10:00:00Z"}}, "started": True, "restartCount": 0}


def inject(item: Object) -> list[Object]:
    """Returns the patch that gives a pod, or the pods of a Deployment, its sidecar, first of all; nothing if it is there."""
    at, pod = ("", item) if item["kind"] == "Pod" else ("/spec/template", item["spec"]["template"])
    inits = pod["spec"].get("initContainers") or []
    if any(container["name"] == SIDECAR["name"] for container in inits):
        return []
    annotations = {
        **(pod["metadata"].get("annotations") or {}),
        "sidecar.istio.io/status": '{"containers":["istio-proxy"]}',
    }
    volumes = [{"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}, *(pod["spec"].get("volumes") or [])]
    return [
        {"op": "add", "path": f"{at}/metadata/annotations", "value": annotations},
        {"op": "add", "path": f"{at}/spec/volumes", "value": volumes},
        {"op": "add", "path": f"{at}/spec/initContainers", "value": [SIDECAR, *inits]},
    ]


async def written_at_rest(world: World, operator: Operator) -> list[str]:
    """What the operator writes when everything is as it was, and looked at once more."""
    await world.quiet(operator)
    position = world.plane.audit_position()
    for kind, name in ((MD, "house"), (kinds.ROUTE_POLICY, "assistant")):
        await world.patch(kind, name, {"metadata": {"annotations": {"look": "again"}}})
    await world.quiet(operator)
    return [line for line in world.writes(position) if "/status" not in line and "/events" not in line]


@pytest.mark.parametrize("kind", [kinds.DEPLOYMENT, kinds.POD], ids=["Deployment", "Pod"])
async def test_what_a_mesh_puts_in_is_let_be(world: World, tmp_path: Path, kind: Kind) -> None:
    operator = await world.start()
    async with mutating(world.api, world.namespace, tmp_path, inject, kind):
        await world.apply(samples.model_deployment(world.namespace, "house"), samples.secret(world.namespace))
        await world.apply(samples.route_policy(world.namespace, "assistant"))
        await world.until_condition(MD, "house", "Accepted", "True")
        await world.until("there are routers", lambda: world.get(kinds.DEPLOYMENT, "assistant-router"))
        async with FakePod("127.77.9.3").listening(names.ENGINE_PORT) as engine:
            pods = await FakeKubelet(world.api, world.namespace, "house", engine.address).run(1)
            assert [item["name"] for item in pods[0]["spec"]["initContainers"]] == ["istio-proxy", "weights"]
            await world.until_condition(MD, "house", "Ready", "True")
            assert await written_at_rest(world, operator) == []

            async def no_way_out() -> bool:
                live = await world.get(kinds.POD, pods[0]["metadata"]["name"])
                return live is not None and names.LABEL_DOWNLOADING not in live["metadata"]["labels"]

            await world.until("the way out is closed although the sidecar, an init container, goes on", no_way_out)
            told = [event["note"] for event in await world.list(kinds.EVENT) if event["reason"] == "FieldOverruled"]
            assert told == []

            # A change of the resource arrives, and the sidecar stays.
            await world.patch(MD, "house", {"spec": {"context": {"parallel": 7}}})

            async def changed() -> bool:
                live = await world.get(kinds.DEPLOYMENT, "house")
                return live is not None and "7" in live["spec"]["template"]["spec"]["containers"][0]["args"]

            await world.until("the change arrives", changed)
            live = await world.get(kinds.DEPLOYMENT, "house")
            assert live is not None
            inits = [item["name"] for item in live["spec"]["template"]["spec"]["initContainers"]]
            assert inits == (["istio-proxy", "weights"] if kind is kinds.DEPLOYMENT else ["weights"])


async def test_a_sidecar_is_told_of_when_it_keeps_a_pod_from_serving_and_not_before(
    world: World, tmp_path: Path
) -> None:
    await world.start()
    async with mutating(world.api, world.namespace, tmp_path, inject, kinds.POD):
        await world.apply(samples.model_deployment(world.namespace, "house"))
        await world.until_condition(MD, "house", "Accepted", "True")
        async with FakePod("127.77.9.4").listening(names.ENGINE_PORT) as engine:
            kubelet = FakeKubelet(world.api, world.namespace, "house", engine.address)
            pod = (await kubelet.run(1))[0]
            await world.until_condition(MD, "house", "Ready", "True")

            # It has crashed again and again, and the pod serves: nothing is told.
            crashed = {
                "terminated": {
                    "exitCode": 1,
                    "message": "error: lost istiod",
                    "startedAt": stamp(),
                    "finishedAt": stamp(),
                }
            }
            await report(world, pod, {**RUNS, "ready": True, "restartCount": 9, "lastState": crashed}, ready=True)
            await world.patch(MD, "house", {"metadata": {"annotations": {"look": "again"}}})
            await world.until_condition(MD, "house", "Ready", "True")
            assert not await world.condition(MD, "house", "Stalled")

            # It is no longer ready, and takes the pod along.
            await report(world, pod, {**RUNS, "ready": False}, ready=False)
            await kubelet.report(0, 1)
            told = await world.until_condition(MD, "house", "Available", "False", "SidecarNotReady")
            assert (
                f"Pod {pod['metadata']['name']} waits for its container istio-proxy, which is not ready"
                in told["message"]
            )
            assert "one of genset's" in told["message"]

            await report(world, pod, {**RUNS, "ready": True}, ready=True)
            await kubelet.report(1, 1)
            await world.until_condition(MD, "house", "Ready", "True")


async def report(world: World, pod: Object, proxy: Object, *, ready: bool) -> None:
    """Reports the sidecar of a pod, as its kubelet does."""
    live = await world.get(kinds.POD, pod["metadata"]["name"])
    assert live is not None
    inits = [
        {"imageID": "", "image": "i", "name": "istio-proxy", **proxy} if item["name"] == "istio-proxy" else item
        for item in live["status"]["initContainerStatuses"]
    ]
    conditions = [
        {**item, "status": "True" if ready else "False"} if item["type"] == "Ready" else item
        for item in live["status"]["conditions"]
    ]
    await world.api.request(
        "PATCH",
        kinds.POD.path(world.namespace, pod["metadata"]["name"], "status"),
        body={"status": {"initContainerStatuses": inits, "conditions": conditions}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
