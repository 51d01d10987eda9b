"""Pods land on the right nodes, and those that fit nowhere say so: each vendor's resources, labels and taints, claims of devices.

Nodes only pretend to run (kwok) and devices are handmade ResourceSlices; scheduler, controllers and API server are real.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from genset import kinds, names
from testbed.cluster.controlplane import ControlPlane
from testbed.cluster.kwok import Kwok, node
from tests.support.integration import samples
from tests.support.integration.world import World, make_world, prepare

Object = dict[str, Any]
SMALL = {"cpu": "16", "memory": "64Gi"}
SECONDS = 60.0

NODES = [
    node("cores", **SMALL),
    node("amx", labels={"feature.node.kubernetes.io/cpu-cpuid.AMXINT8": "true"}, **SMALL),
    node("arm", labels={"kubernetes.io/arch": "arm64"}, **SMALL),
    node(
        "h100", labels={"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"},
        taint="nvidia.com/gpu", **SMALL, **{"nvidia.com/gpu": "8"},
    ),
    node(
        "a10", labels={"nvidia.com/gpu.product": "NVIDIA-A10", "nvidia.com/gpu.memory": "23028"},
        taint="nvidia.com/gpu", **SMALL, **{"nvidia.com/gpu": "1"},
    ),
    node("mig", taint="nvidia.com/gpu", **SMALL, **{"nvidia.com/mig-3g.40gb": "2"}),
    node("slices", taint="nvidia.com/gpu", **SMALL, **{"nvidia.com/gpu.shared": "4"}),
    node(
        "mi300x", labels={"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"},
        taint="amd.com/gpu", **SMALL, **{"amd.com/gpu": "8"},
    ),
    node("flex", labels={"gpu.intel.com/product": "Flex_170"}, **SMALL, **{"gpu.intel.com/xe": "1"}),
    node("claimed", **SMALL),
]  # fmt: skip


def device(number: int, memory: str) -> Object:
    return {
        "name": f"gpu-{number}",
        "attributes": {"productName": {"string": "NVIDIA H100 80GB HBM3"}, "type": {"string": "gpu"}},
        "capacity": {"memory": {"value": memory}},
    }


def claim_template(namespace: str, name: str, memory: str) -> Object:
    expression = f"device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('{memory}')) >= 0"
    request = {"name": "gpu", "exactly": {
        "deviceClassName": "gpu.nvidia.com", "count": 2, "selectors": [{"cel": {"expression": expression}}],
    }}  # fmt: skip
    return {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
        "metadata": {"name": name, "namespace": namespace}, "spec": {"spec": {"devices": {"requests": [request]}}},
    }  # fmt: skip


DEVICES: list[Object] = [
    {
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu.nvidia.com"},
        "spec": {"selectors": [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}]},
    },
    {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "claimed"},
        "spec": {
            "driver": "gpu.nvidia.com", "nodeName": "claimed",
            "pool": {"name": "claimed", "generation": 1, "resourceSliceCount": 1},
            "devices": [device(number, "80Gi") for number in range(2)],
        },
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with its scheduler and controllers, and nodes of every kind."""
    folder = tmp_path_factory.mktemp("hardware")
    with ControlPlane(folder, controller_manager=True, scheduler=True) as plane, Kwok(plane) as kwok:
        prepare(plane)
        kwok.add(NODES)
        items = {"apiVersion": "v1", "kind": "List", "items": DEVICES}
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(items))
        plane.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s")
        yield plane


@pytest_asyncio.fixture
async def world(plane: ControlPlane) -> AsyncIterator[World]:
    async with make_world(plane) as made:
        yield made


def model(namespace: str, name: str, **resources: Any) -> Object:
    return samples.model_deployment(namespace, name, resources={"cpu": "1", "memory": "2Gi", **resources})


LANDING: dict[str, tuple[Object, set[str]]] = {
    "amx": ({"cpuFeatures": ["AMXINT8"]}, {"amx"}),
    "arm": ({"architecture": "arm64"}, {"arm"}),
    "two-gpus": ({"accelerator": {"count": 2}}, {"h100"}),
    "product": ({"accelerator": {"products": ["NVIDIA-A10", "NVIDIA-A10G"]}}, {"a10"}),
    "memory": ({"accelerator": {"memory": "79Gi"}}, {"h100"}),
    "mig": ({"accelerator": {"resource": "nvidia.com/mig-3g.40gb"}}, {"mig"}),
    "slice": ({"accelerator": {"resource": "nvidia.com/gpu.shared"}}, {"slices"}),
    "amd": ({"accelerator": {"vendor": "amd", "count": 4, "products": ["AMD_Instinct_MI300X_OAM"]}}, {"mi300x"}),
    "intel": ({"accelerator": {"vendor": "intel", "resource": "gpu.intel.com/xe"}}, {"flex"}),
    "claim": ({"accelerator": {"claimTemplate": "two-h100", "count": 2}}, {"claimed"}),
    "plain": ({"architecture": "amd64"}, {"cores", "amx", "flex", "claimed"}),  # no node with a taint
}
#: What no node could take: the resources, and words of the message.
NOWHERE: dict[str, tuple[Object, str]] = {
    "too-many": ({"accelerator": {"count": 9}}, "the pod asks for 1 core, 2.0 GiB of memory, 9 nvidia.com/gpu"),
    "too-large": ({"memory": "100Gi"}, "the pod asks for 1 core, 100.0 GiB of memory"),
    "another": ({"accelerator": {"products": ["NVIDIA-B200"]}}, "the pod asks for"),
    "i915": ({"accelerator": {"vendor": "intel"}}, "1 gpu.intel.com/i915"),
}


async def test_pods_land_where_they_should(world: World) -> None:
    await world.start()
    await world.apply_others(claim_template(world.namespace, "two-h100", "79Gi"))
    await world.apply(*(model(world.namespace, name, **given) for name, (given, _) in LANDING.items()))

    async def placed() -> dict[str, str] | None:
        found = {
            pod["metadata"]["labels"][names.LABEL_MODEL_DEPLOYMENT]: pod["spec"].get("nodeName", "")
            for pod in await world.list(kinds.POD)
        }
        return found if len(found) == len(LANDING) and all(found.values()) else None

    found = await world.until("every pod has a node", placed, SECONDS)
    assert {name for name, (_, nodes) in LANDING.items() if found[name] not in nodes} == set(), found


async def test_what_fits_nowhere_is_stalled_with_the_reason(world: World) -> None:
    await world.start()
    await world.apply_others(claim_template(world.namespace, "huge", "200Gi"))
    claimed = model(world.namespace, "claim", accelerator={"claimTemplate": "huge", "count": 2})
    await world.apply(claimed, *(model(world.namespace, name, **given) for name, (given, _) in NOWHERE.items()))
    for name, (_, words) in NOWHERE.items():
        told = await world.until_condition(kinds.MODEL_DEPLOYMENT, name, "Stalled", "True", "NoNodeFits", SECONDS)
        assert words in told["message"], told["message"]
    told = await world.until_condition(kinds.MODEL_DEPLOYMENT, "claim", "Ready", "False", "Unschedulable", SECONDS)
    assert "cannot allocate all claims" in told["message"], "the scheduler does not say whether it could ever be so"


async def test_an_operator_that_may_list_nodes_names_the_nearest(world: World) -> None:
    rule = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "nodes"},
        "rules": [rule],
    }
    world.plane.kubectl("apply", "-f", "-", stdin=json.dumps(role))
    world.plane.kubectl("create", "clusterrolebinding", "nodes", "--clusterrole=nodes", "--user=genset-operator")
    await world.start()
    await world.apply(
        model(world.namespace, "too-many", accelerator={"vendor": "amd", "count": 9}),
        {**model(world.namespace, "resting", memory="100Gi"), "spec": {
            **model(world.namespace, "resting", memory="100Gi")["spec"], "replicas": 0,
        }},
    )  # fmt: skip
    told = await world.until_condition(kinds.MODEL_DEPLOYMENT, "too-many", "Stalled", "True", "NoNodeFits", SECONDS)
    assert "the nearest, mi300x, has 16 cores, 64.0 GiB of memory, 8 amd.com/gpu" in told["message"]
    told = await world.until_condition(kinds.MODEL_DEPLOYMENT, "resting", "Warnings", "True", "NoNodeFits", SECONDS)
    assert "No node of today could take a pod, which asks for 1 core, 100.0 GiB of memory" in told["message"]
