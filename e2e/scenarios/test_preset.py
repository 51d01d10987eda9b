"""A house that only has an API key installs genset with three values more: it answers when the cloud is cut.

The catalogue has one model, the generated one, because no other is small enough for the test's node.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e import story
from e2e.cloud import MODEL
from e2e.load import Answer, ask
from e2e.world import World
from testbed.house import OPERATOR_NAMESPACE
from testbed.resources import secret

pytestmark = [pytest.mark.timeout(600), pytest.mark.needs_embedded_cluster]
NAMESPACE = "standby"  # without the label that lets the operator write: the chart's value does
NAME = "continuity"
IDLE = 8  # seconds


def values(world: World, standby: str) -> dict[str, Any]:
    entry = {
        "name": "counting", "parameters": "0.1 M", "licence": "mit", "quality": "counts",
        "source": world.weights.source("counting.gguf"),
        "download": "200Mi", "context": {"tokens": 2048, "parallel": 4}, "readPerToken": "1M",
        "memory": {"cores": "256Mi", "host": "256Mi", "accelerator": "1Gi"},
    }  # fmt: skip
    chosen = {
        "enabled": True, "provider": "openAICompatible", "baseURL": world.cloud.base_url, "model": MODEL, "secret": "cloud",
        "caSecret": "cloud", "namespace": NAMESPACE, "standby": standby, "idleSeconds": IDLE, "share": 100, "catalogue": [entry],
    }  # fmt: skip
    return {"continuity": chosen}


@pytest.fixture
def house(world: World) -> Iterator[World]:
    """The release has the preset for the time of a test; what was made is deleted by its user."""
    world.house.kubectl("-n", story.NAMESPACE, "scale", "mdep", story.DEPLOYMENT, "--replicas=0")  # two cores are few
    world.house.until(
        "mdep", story.NAMESPACE, story.DEPLOYMENT, "Available", "False", reason="ScaledToZero", seconds=60
    )
    world.house.kubectl("create", "namespace", NAMESPACE)
    ca = world.cloud.ca_file.read_text()
    world.house.apply(secret(NAMESPACE, "cloud", apiKey=world.cloud.api_key, **{"ca.crt": ca}))
    try:
        yield world
    finally:
        world.cloud.start()
        world.house.install()
        world.house.kubectl("delete", "namespace", NAMESPACE, "--timeout=90s", seconds=100)
        world.house.kubectl("-n", story.NAMESPACE, "scale", "mdep", story.DEPLOYMENT, "--replicas=1")
        world.house.until("mdep", story.NAMESPACE, story.DEPLOYMENT, "Ready", seconds=120)


async def installed(world: World, standby: str, folder: Path) -> tuple[str, float]:
    """Returns the router's URL once all is ready, and the seconds from `helm upgrade` to there."""
    file = folder / "values.json"
    file.write_text(json.dumps(values(world, standby)))
    began = time.monotonic()
    await asyncio.to_thread(world.house.install, "--values", str(file))
    await asyncio.to_thread(world.house.until, "mdep", NAMESPACE, NAME, "Ready", seconds=150)
    await asyncio.to_thread(world.house.until, "rp", NAMESPACE, NAME, "Ready", seconds=120)
    return world.service_url(NAMESPACE, f"{NAME}-router") + "/v1", time.monotonic() - began


async def answered(url: str) -> Answer:
    async with httpx.AsyncClient(timeout=150, trust_env=False) as http:
        answer = await ask(http, url, "whatever-clients-ask-for", 20)
    assert not answer.problem, f"the client saw {answer.problem}"
    return answer


async def test_warm_it_answers_at_once_when_the_cloud_is_cut(house: World, tmp_path: Path) -> None:
    url, took = await installed(house, "Warm", tmp_path)
    assert (await answered(url)).backend == "cloud"
    told = (house.house.get("configmap", OPERATOR_NAMESPACE, "genset-operator-continuity") or {})["data"]
    assert "counting" in told["chosen"] and "are yours" in told["told"]
    house.cloud.kill()
    answer = await answered(url)
    assert answer.backend == "house"
    print(
        f"ready {took:.0f} s after helm upgrade; first byte {answer.seconds_to_first_byte * 1000:.0f} ms after the cloud was cut"
    )

    before = house.house.get("mdep", NAMESPACE, NAME) or {}
    await installed(house, "Cold", tmp_path)
    after = house.house.get("mdep", NAMESPACE, NAME) or {}
    assert after["metadata"]["generation"] == before["metadata"]["generation"], (
        "an upgrade changes nothing that was made"
    )
    await asyncio.to_thread(house.house.install)
    assert (await answered(url)).backend == "house", "without the preset its resources are a user's like any others"


async def test_cold_it_rests_and_the_first_request_without_a_cloud_wakes_it(house: World, tmp_path: Path) -> None:
    url, _ = await installed(house, "Cold", tmp_path)
    await asyncio.to_thread(
        house.house.until, "mdep", NAMESPACE, NAME, "Available", "False", reason="AtRest", seconds=120
    )
    assert (await answered(url)).backend == "cloud", "what the cloud answers wakes nobody"
    pods = house.house.list("pods", NAMESPACE, f"genset.dev/modeldeployment={NAME}")
    assert not [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    house.cloud.kill()
    house.weights.close()  # with the world away nobody can be asked for weights
    try:
        answer = await answered(url)
    finally:
        house.weights.start()
    assert answer.backend in ("house", "")  # the head of an answer that waits goes out before anybody has given it
    print(
        f"woken and answered to the end {answer.ended - answer.started:.1f} s after the request that no cloud answered"
    )
