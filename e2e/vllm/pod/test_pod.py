"""vLLM on CPU as a pod: as nobody in particular, on a read-only root, with two adapters, replaced under load."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from e2e.load import Load
from e2e.vllm.pod.conftest import NAMESPACE
from e2e.world import World, until
from testbed.house import Object
from testbed.models import adapters, counting_hf
from testbed.resources import model_deployment, route_policy

pytestmark = pytest.mark.timeout(1800)
STARTS = (500, 700)


def deployment(*starts: int) -> Object:
    return model_deployment(
        NAMESPACE,
        "counting",
        {"hostPath": {"path": str(counting_hf.cached())}},
        engine="vllm",
        adapters=[
            {"name": adapters.name(start), "source": {"hostPath": {"path": str(adapters.cached_peft(start))}}}
            for start in starts
        ],
        resources={"cpu": "1", "memory": "4Gi"},
        rollout={"drainSeconds": 60, "startupSeconds": 600},
        vllm={"dtype": "float32", "sharedMemory": "512Mi", "adapterRank": 8, "extraArgs": ["--enforce-eager"]},
    )


async def say(url: str, model: str) -> str:
    """The first words of an answer, or the error's code."""
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3, "temperature": 0}
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        answer = await http.post(f"{url}/chat/completions", json=body)
    if answer.status_code != 200:
        return str(answer.status_code)
    return str(answer.json()["choices"][0]["message"]["content"])


async def test_vllm_serves_adapters_and_is_replaced_under_load(world: World) -> None:
    house = world.house
    backends = [{"name": "house", "deployment": {"name": "counting"}}]
    house.apply(deployment(*STARTS), route_policy(NAMESPACE, "counting", backends, "house"))
    await asyncio.to_thread(house.until, "mdep", NAMESPACE, "counting", "Ready", seconds=600)
    await asyncio.to_thread(house.until, "rp", NAMESPACE, "counting", "Ready", seconds=120)
    url = f"{await asyncio.to_thread(world.service_url, NAMESPACE, 'counting-router')}/v1"
    assert await say(url, "counting") == " 0000 0001 0002"

    def pods() -> list[str]:
        found = house.list("pods", NAMESPACE, "genset.dev/modeldeployment=counting")
        return [pod["metadata"]["name"] for pod in found]

    (before,) = pods()
    for start in STARTS:
        assert await say(url, adapters.name(start)) == f" {start:04d} {start + 1:04d} {start + 2:04d}"
    async with Load(url, "counting", tokens=100, clients=2, retries=1) as load:
        await until(lambda: len(load.answers) >= 2, "the first answers", seconds=120)
        house.apply(deployment(STARTS[0]))
        await until(lambda: len(pods()) == 1 and pods() != [before], "the old pod to leave", seconds=600)
        seen = len(load.answers)
        await until(lambda: len(load.answers) >= seen + 2, "answers of the new pod", seconds=120)
    problems = [answer.problem for answer in load.answers if answer.problem]
    assert not problems, f"{len(problems)} of {len(load.answers)} answers were not whole: {problems[:3]}"
