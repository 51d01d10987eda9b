"""A replica that is a group of pods comes up, answers, is made anew as a whole, and says which of its pods is broken."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import Any

import pytest

from e2e import story
from e2e.disk import claimed, on_claim
from e2e.groups.conftest import NAMESPACE
from e2e.world import World, until
from genset import names
from testbed.house import Object
from testbed.models import counting_hf
from testbed.resources import model_deployment, route_policy

pytestmark = pytest.mark.timeout(420)
NAME = "giant"
CLAIM = "shared"
BROKEN = "CUDA error: no CUDA-capable device is detected (rank 1)"  # words of the fake


@pytest.fixture(scope="session")
def disk(world: World, tmp_path_factory: pytest.TempPathFactory) -> Object:
    """A model on a disk that all pods of a group read."""
    folder = tmp_path_factory.mktemp("disk")
    shutil.copytree(counting_hf.cached(), folder / "counting")
    world.house.apply(*claimed(folder, NAMESPACE, CLAIM))
    return on_claim(CLAIM, "counting")


def giant(source: Object, **spec: Any) -> Object:
    return model_deployment(
        NAMESPACE,
        NAME,
        source,
        engine="vllm",
        resources={"cpu": "50m", "memory": "64Mi", "accelerator": {"vendor": "nvidia", "count": 1}},
        parallelism={"tensor": 2, "pipeline": 1, "nodes": 2},
        rollout={"drainSeconds": 0},
        **spec,
    )


def pods(world: World, component: str) -> list[Object]:
    labels = f"{names.LABEL_MODEL_DEPLOYMENT}={NAME},{names.LABEL_COMPONENT}={component}"
    found = world.house.list("pods", NAMESPACE, labels)
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def uids(world: World) -> set[str]:
    every = (*pods(world, names.COMPONENT_ENGINE), *pods(world, names.COMPONENT_WORKER))
    return {pod["metadata"]["uid"] for pod in every}


async def test_a_group_answers_and_is_made_anew_as_a_whole(world: World, disk: Object) -> None:
    house = world.house
    policy = route_policy(NAMESPACE, NAME, [{"name": "house", "deployment": {"name": NAME}}], "house")
    house.apply(giant(disk), policy)
    await asyncio.to_thread(house.until, "mdep", NAMESPACE, NAME, "Ready", seconds=120)
    await asyncio.to_thread(house.until, "rp", NAMESPACE, NAME, "Ready", seconds=90)
    url = await asyncio.to_thread(world.service_url, NAMESPACE, f"{NAME}-router") + "/v1"
    answer = await story.one_answer(url, NAME)
    assert (answer.backend, answer.problem) == ("house", ""), answer
    (worker,) = pods(world, names.COMPONENT_WORKER)
    log = house.kubectl("-n", NAMESPACE, "logs", worker["metadata"]["name"], "-c", "engine")
    assert "rank 1 joined" in log, f"the worker has another place in its group:\n{log}"
    found = house.list("endpointslices", NAMESPACE, f"kubernetes.io/service-name={NAME}")
    reached = {address for part in found for end in part.get("endpoints") or () for address in end["addresses"]}
    assert worker["status"]["podIP"] not in reached, "a worker has no API, and its Service sends requests there"

    before = uids(world)
    house.kubectl("-n", NAMESPACE, "delete", "pod", worker["metadata"]["name"], "--grace-period=0", "--force")
    await until(lambda: not before & uids(world) and len(uids(world)) == 2, "a whole new group", seconds=90)
    await asyncio.to_thread(house.until, "mdep", NAMESPACE, NAME, "Ready", seconds=90)
    again = await story.one_answer(url, NAME)
    assert again.problem == "", again


async def test_a_broken_worker_is_told_and_stays_told(world: World, disk: Object) -> None:
    """The controller makes a group anew when a process of it ends: no pod lives long enough to be in a crash loop."""
    house = world.house
    failing = {"spec": {"containers": [{"name": "engine", "env": [{"name": "FAKE_VLLM_FAILS", "value": "1"}]}]}}
    house.apply(giant(disk, podTemplate=failing))
    told = await asyncio.to_thread(
        house.until, "mdep", NAMESPACE, NAME, "Available", "False", reason="CrashLoop", seconds=120
    )
    assert f"pod {NAME}-nodes-0-1 " in told["message"] and BROKEN in told["message"], told
    stalled = house.condition("mdep", NAMESPACE, NAME, "Stalled")
    assert (stalled.get("status"), stalled.get("reason")) == ("True", "CrashLoop"), stalled
    deadline, groups = time.monotonic() + 90, set[str]()
    while len(groups) <= 4:  # two pods each: the next group has come and gone
        assert time.monotonic() < deadline, "no further group was made"
        groups |= await asyncio.to_thread(uids, world)
        now = house.condition("mdep", NAMESPACE, NAME, "Available")
        assert now == told, f"told anew at each group: {now}"
        await asyncio.sleep(0.3)
    house.apply(giant(disk))
    await asyncio.to_thread(house.until, "mdep", NAMESPACE, NAME, "Ready", seconds=120)
    assert not house.condition("mdep", NAMESPACE, NAME, "Stalled")
