"""Controllers of others act on a ModelDeployment, and genset on what they make of it: the HorizontalPodAutoscaler's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from genset import kinds
from testbed.cluster.controlplane import ControlPlane
from tests.support.integration import samples
from tests.support.integration.world import World, make_world, prepare

pytestmark = pytest.mark.timeout(400)
Object = dict[str, Any]
SECONDS = 90.0  # a controller learns of new kinds every half minute, and looks at numbers every quarter
SOURCE = {"pvc": {"claimName": "w", "path": "a.gguf"}}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("controllers")
    with ControlPlane(folder, controller_manager=True) as plane:
        prepare(plane)
        yield plane


@pytest_asyncio.fixture
async def world(plane: ControlPlane) -> AsyncIterator[World]:
    async with make_world(plane) as made:
        yield made


def autoscaler(namespace: str, least: int, most: int) -> Object:
    target = {"apiVersion": "genset.dev/v1alpha1", "kind": "ModelDeployment", "name": "house"}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "house", "namespace": namespace},
        "spec": {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most, "metrics": [cpu]},
    }


async def test_the_horizontal_pod_autoscaler_scales_without_a_fight(world: World) -> None:
    await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house", source=SOURCE, replicas=1))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")

    async def scaled(wanted: int) -> bool:
        live = await world.get(kinds.DEPLOYMENT, "house") or {}
        pods = [pod for pod in await world.list(kinds.POD) if not pod["metadata"].get("deletionTimestamp")]
        return bool(live["spec"]["replicas"] == wanted == len(pods))

    def told() -> Object:
        found = world.plane.kubectl("-n", world.namespace, "get", "hpa", "house", "-o", "json")
        status: Object = json.loads(found).get("status") or {}
        return status

    async def looked_again() -> bool:
        """The autoscaler has looked at what came of its own change, and has nothing to change."""
        able = [one for one in told().get("conditions", ()) if one["type"] == "AbleToScale"]
        return bool(able and able[0]["reason"] in ("ReadyForNewScale", "SucceededGetScale"))

    for least, most in ((3, 5), (2, 2)):
        await world.apply_others(autoscaler(world.namespace, least, most))
        wanted = 3 if most == 5 else 2
        await world.until(f"{wanted} replicas", lambda wanted=wanted: scaled(wanted), SECONDS)  # type: ignore[misc]
        live = await world.get(kinds.MODEL_DEPLOYMENT, "house") or {}
        generation = live["metadata"]["generation"]
        await world.until("the autoscaler to look again", looked_again, SECONDS)
        live = await world.get(kinds.MODEL_DEPLOYMENT, "house") or {}
        assert (live["spec"]["replicas"], live["metadata"]["generation"]) == (wanted, generation), (
            "somebody changed it again"
        )
        assert told()["currentReplicas"] == wanted
        scaling = live["status"]["scaling"]
        assert scaling["reason"] == "Replicas" and scaling["owner"] not in ("", "genset"), scaling


async def test_a_quota_that_lets_no_pod_in_is_told(world: World) -> None:
    """ray-project/kuberay#603; of a Job, kubernetes/kubernetes#90124: no field of it says that its pods are refused."""
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small", "namespace": world.namespace},
        "spec": {"hard": {"pods": "0"}},
    }  # fmt: skip
    world.plane.kubectl("apply", "-f", "-", stdin=json.dumps(quota))
    await world.start()
    hub = {"source": {"huggingFace": {"repo": "org/model"}}, "cache": {"size": "1Gi"}}
    await world.apply(
        samples.model_deployment(world.namespace, "house", source=SOURCE, replicas=1),
        samples.model_deployment(world.namespace, "ahead", prefetch=True, replicas=0, **hub),
    )
    told = await world.until_condition(
        kinds.MODEL_DEPLOYMENT, "house", "Available", "False", "ReplicasMissing", seconds=SECONDS
    )
    assert "exceeded quota: small" in told["message"]
    told = await world.until_condition(
        kinds.MODEL_DEPLOYMENT, "ahead", "WeightsReady", "False", "ReplicasMissing", seconds=SECONDS
    )
    assert "exceeded quota: small" in told["message"] and "fetches the weights ahead" in told["message"]
    world.plane.kubectl("-n", world.namespace, "delete", "resourcequota", "small")

    async def fetching() -> bool:
        pods = await world.list(kinds.POD)
        return any(pod["metadata"]["name"].startswith("ahead-") for pod in pods)

    await world.until("the Job gets its pod once there is room", fetching, seconds=SECONDS)
    await world.until_condition(
        kinds.MODEL_DEPLOYMENT, "ahead", "WeightsReady", "False", "Downloading", seconds=SECONDS
    )
