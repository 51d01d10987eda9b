"""The preset makes what the nodes have room for, once, and pods of it land there; what is a user's stays as it is.

Nodes only pretend to run (kwok); scheduler, controllers and API server are real, and the rights are the chart's.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from genset import kinds, names
from genset.controllers import preset as keeping
from genset.kube.site import SiteOptions
from genset.preset.settings import NAME
from testbed.cluster.controlplane import ControlPlane
from testbed.cluster.kwok import Kwok, node
from tests.support.integration import rbac
from tests.support.integration.world import World, make_world, prepare
from tests.support.preset import catalogue, settings

Object = dict[str, Any]
REPORT = "genset-operator-continuity"
OWN = "genset-system"
CHART = Path(__file__).parents[2] / "charts" / "genset"
SECONDS = 60.0
NVIDIA = "nvidia.com/gpu"


def gpu(product: str, mebibytes: str, **amounts: str) -> Object:
    labels = {f"{NVIDIA}.product": product, f"{NVIDIA}.memory": mebibytes}
    return node("one", labels=labels, taint=NVIDIA, **amounts, **{NVIDIA: "1"})


#: Each shape alone in the cluster: the node, the model, and what it is asked for.
SHAPES: dict[str, tuple[Object, str, Object]] = {
    "small": (node("one", cpu="4", memory="8Gi"), "qwen2.5-1.5b", {"cpu": "2", "memory": "1792Mi"}),
    "office": (node("one", cpu="8", memory="16Gi"), "phi-4-mini", {"cpu": "4", "memory": "5120Mi"}),
    "workshop": (node("one", cpu="8", memory="32Gi"), "gpt-oss-20b", {"cpu": "4", "memory": "14336Mi"}),
    "server": (node("one", cpu="32", memory="128Gi"), "qwen3.5-35b-a3b", {"cpu": "16", "memory": "23552Mi"}),
    "small GPU": (
        gpu("Tesla-T4", "15360", cpu="8", memory="32Gi"), "gpt-oss-20b",
        {"cpu": "2", "memory": "1536Mi", "accelerator": {"vendor": "nvidia", "count": 1, "memory": "13Gi"}},
    ),
    "large GPU": (
        gpu("NVIDIA-H100-80GB-HBM3", "81559", cpu="96", memory="1000Gi"), "gpt-oss-120b",
        {"cpu": "2", "memory": "1536Mi", "accelerator": {"vendor": "nvidia", "count": 1, "memory": "61Gi"}},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with its scheduler and controllers; tests add nodes."""
    with ControlPlane(tmp_path_factory.mktemp("preset"), controller_manager=True, scheduler=True) as plane:
        prepare(plane)
        items = {"apiVersion": "v1", "kind": "List", "items": rbac.preset_objects()}
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(items))
        yield plane


@pytest.fixture
def kwok(plane: ControlPlane) -> Iterator[Kwok]:
    """No node at first, and none left behind."""
    with Kwok(plane) as kwok:
        yield kwok
        plane.kubectl("delete", "node", "--all")


@pytest_asyncio.fixture
async def world(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(keeping, "PERIOD_SECONDS", 0.3)
    async with make_world(plane) as made:
        values = "continuity.enabled=true", "continuity.provider=openai", f"continuity.namespace={made.namespace}"
        allowed = rbac.admission(CHART, *values)
        plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(allowed))
        yield made
        for kind in (kinds.MODEL_DEPLOYMENT, kinds.ROUTE_POLICY):
            await made.delete(kind, NAME)
        plane.kubectl("-n", OWN, "delete", "configmap", REPORT, "--ignore-not-found")
        plane.kubectl("-n", made.namespace, "delete", "deployment", "--all", "--force", "--grace-period=0")
        plane.kubectl("-n", made.namespace, "delete", "pod", "--all", "--force", "--grace-period=0")


async def start(world: World, folder: Path, **changed: Any) -> Path:
    """Starts an operator with a preset. Returns the file, which may change."""
    file = folder / "preset.yaml"
    # The test's cluster makes no volumes.
    lies = {"download": None, "source": {"pvc": {"claimName": "weights", "path": "model.gguf"}}}
    entries = [{**entry, **lies} for entry in catalogue()["models"]]
    file.write_text(yaml.safe_dump(settings(**{"catalogue": entries, **changed})))
    await world.start(namespaces=(), site=SiteOptions(preset=(file, world.namespace)))
    return file


async def made(world: World) -> Object:
    found: Object = await world.until("a model was chosen", lambda: world.get(kinds.MODEL_DEPLOYMENT, NAME), SECONDS)
    return found


async def report(world: World) -> dict[str, str]:
    live = await world.api.get(kinds.CONFIG_MAP, OWN, REPORT)
    return dict((live or {}).get("data") or {})


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_node_s_shape_decides_the_model(shape: str, world: World, kwok: Kwok, tmp_path: Path) -> None:
    only, model, asked = SHAPES[shape]
    kwok.add([only])
    await start(world, tmp_path)
    found = await made(world)
    assert found["spec"]["model"] == model
    assert {key: found["spec"]["resources"].get(key) for key in asked} == asked
    policy = await world.until("a policy", lambda: world.get(kinds.ROUTE_POLICY, NAME))
    assert [tier["backends"][0]["name"] for tier in policy["spec"]["routes"][0]["tiers"]] == ["cloud", "house"]

    async def told() -> dict[str, str] | None:
        data = await report(world)
        return data if model in data.get("chosen", "") else None

    data = await world.until("it is told", told)
    assert [item["metadata"]["name"] for item in yaml.safe_load_all(data["resources.yaml"])] == [NAME, NAME]


async def test_pods_land_on_the_node_that_was_looked_at(world: World, kwok: Kwok, tmp_path: Path) -> None:
    """The scheduler agrees: among others' nodes and pods, the model's pod gets one."""
    await world.api.request("POST", kinds.PVC.path(world.namespace), body={
        "metadata": {"name": "weights"}, "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "", "volumeName": f"v-{world.namespace}"},
    })  # fmt: skip
    await world.api.request("POST", "/api/v1/persistentvolumes", body={
        "metadata": {"name": f"v-{world.namespace}"}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"],
        "hostPath": {"path": "/x"}, "claimRef": {"name": "weights", "namespace": world.namespace}},
    })  # fmt: skip
    kwok.add([
        {**node("control", cpu="64", memory="256Gi"), "spec": {"taints": [{"key": "control-plane", "effect": "NoSchedule"}]}},
        node("windows", cpu="64", memory="256Gi", labels={"kubernetes.io/os": "windows"}), node("office", cpu="8", memory="16Gi"),
    ])  # fmt: skip
    await start(world, tmp_path)
    found = await made(world)
    assert found["spec"]["model"] == "phi-4-mini"

    async def placed() -> str | None:
        pods = [pod for pod in await world.list(kinds.POD) if names.LABEL_MODEL_DEPLOYMENT in pod["metadata"]["labels"]]
        return pods[0]["spec"].get("nodeName") if pods else None

    assert await world.until("its pod has a node", placed, SECONDS) == "office"


async def test_what_fits_nowhere_is_told_and_made_as_soon_as_it_fits(world: World, kwok: Kwok, tmp_path: Path) -> None:
    kwok.add([node("tiny", cpu="1", memory="1Gi")])
    await start(world, tmp_path)

    async def lacking() -> str | None:
        words = (await report(world)).get("told", "")
        return words if "No node has room" in words else None

    words = await world.until("it is told", lacking)
    assert "The nearest, tiny, has 1.0 GiB and 1 core left: a node with 3.5 GiB and 4 cores left would do" in words
    assert await world.get(kinds.MODEL_DEPLOYMENT, NAME) is None and await world.get(kinds.ROUTE_POLICY, NAME) is None
    kwok.add([node("new", cpu="4", memory="8Gi")])
    assert (await made(world))["spec"]["model"] == "qwen2.5-1.5b"


async def test_what_was_made_is_the_user_s(world: World, kwok: Kwok, tmp_path: Path) -> None:
    """Neither a better node, nor another catalogue, nor other values change it; deleted, it is chosen anew."""
    kwok.add([node("one", cpu="4", memory="8Gi")])
    file = await start(world, tmp_path)
    first = await made(world)
    await world.until("a policy", lambda: world.get(kinds.ROUTE_POLICY, NAME))
    await world.patch(kinds.MODEL_DEPLOYMENT, NAME, {"spec": {"context": {"tokens": 4096}}})
    kwok.add([node("better", cpu="8", memory="32Gi")])
    entries = [one for one in yaml.safe_load(file.read_text())["catalogue"] if one["name"] != "qwen2.5-1.5b"]
    file.write_text(yaml.safe_dump(settings(catalogue=entries, standby="Cold")))

    async def noticed() -> bool:
        words = (await report(world)).get("told", "")
        return "standby Cold" in words and "not in the catalogue" in words

    await world.until("the difference is told", noticed)
    now = await made(world)
    assert now["metadata"]["uid"] == first["metadata"]["uid"] and now["spec"]["model"] == "qwen2.5-1.5b"
    assert now["spec"]["context"]["tokens"] == 4096 and "autoscaling" not in now["spec"]
    await world.delete(kinds.MODEL_DEPLOYMENT, NAME)

    async def anew() -> Object | None:
        found = await world.get(kinds.MODEL_DEPLOYMENT, NAME)
        return found if found and found["metadata"]["uid"] != first["metadata"]["uid"] else None

    found = await world.until("it is chosen anew", anew)
    assert found["spec"]["model"] == "gpt-oss-20b" and found["spec"]["autoscaling"]["min"] == 0


async def test_at_rest_it_writes_nothing(world: World, kwok: Kwok, tmp_path: Path) -> None:
    kwok.add([node("one", cpu="8", memory="16Gi")])
    await start(world, tmp_path)
    await made(world)

    async def told() -> bool:
        return "are yours" in (await report(world)).get("told", "")

    await world.until("it is told", told)
    before = (await world.api.get(kinds.CONFIG_MAP, OWN, REPORT) or {})["metadata"]["resourceVersion"]
    looks = 0

    async def looked_again() -> bool:
        nonlocal looks
        looks += 1
        return looks > 30

    await world.until("some looks more", looked_again)
    after = (await world.api.get(kinds.CONFIG_MAP, OWN, REPORT) or {})["metadata"]["resourceVersion"]
    assert after == before
