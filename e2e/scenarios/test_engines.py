"""Engines beside llama.cpp, the real programs: Ollama built from its Go module in pods, a llama-server outside the cluster."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator

import httpx
import pytest

from e2e.cloud import MODEL as FRONTIER
from e2e.load import Load
from e2e.world import World, until
from genset import names
from testbed.house import Object
from testbed.images import IMAGES, ollama
from testbed.resources import API_VERSION, model_deployment, route_policy, secret

pytestmark = pytest.mark.timeout(900)
MODEL = "house/counting:v1"
LOADS = 'msg="starting llama-server"'  # a line of Ollama's log (llm/llama_server.go)
ENGINE = {
    "engine": "ollama",
    "model": MODEL,
    "resources": {"cpu": "500m", "memory": "512Mi"},
    "rollout": {"drainSeconds": 60},
}


@pytest.fixture
def with_ollama(world: World) -> Iterator[World]:
    """The operator knows the image that was built here."""
    if world.cluster is None:
        pytest.skip("the image of Ollama is built here, and no registry has it")
    world.cluster.load_image(IMAGES["ollama"].archive())
    world.house.install("--set", f"engines.ollama.images.cpu={ollama.REFERENCE}")
    yield world
    world.house.install()


class OllamaPod:
    """A pod of Ollama as its own API and its log show it; the node reaches pods whatever NetworkPolicies say."""

    def __init__(self, world: World, pod: Object) -> None:
        self._house = world.house
        self._namespace, self.name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self._url = f"http://{pod['status']['podIP']}:{names.ENGINE_PORT}"

    def kept(self) -> bool:
        """Returns whether the model is loaded, and stays for longer than anybody will wait."""
        with httpx.Client(timeout=10, trust_env=False) as http:
            loaded = http.get(f"{self._url}/api/ps").raise_for_status().json()["models"]
        until = [datetime.datetime.fromisoformat(one["expires_at"]) for one in loaded if one["name"] == MODEL]
        return len(until) == 1 and until[0] - datetime.datetime.now(datetime.UTC) > datetime.timedelta(days=3650)

    def unload(self) -> None:
        """Does what anybody's request with `keep_alive: 0` does."""
        with httpx.Client(timeout=30, trust_env=False) as http:
            http.post(f"{self._url}/api/generate", json={"model": MODEL, "keep_alive": 0}).raise_for_status()

    def loads(self) -> int:
        """Returns how often the model was loaded."""
        words = self._house.kubectl("-n", self._namespace, "logs", self.name, "-c", "engine")
        return words.count(LOADS)


def engine_pods(world: World, namespace: str, name: str) -> list[Object]:
    return world.house.list("pods", namespace, f"genset.dev/modeldeployment={name}")


async def test_ollama_keeps_its_model_and_is_replaced_under_load(with_ollama: World, scratch: str) -> None:
    world, house = with_ollama, with_ollama.house
    source = world.weights.source("counting.gguf")
    house.apply(
        model_deployment(scratch, "tuned", source, **ENGINE),
        route_policy(scratch, "tuned", [{"name": "house", "deployment": {"name": "tuned"}}], "house"),
    )
    await asyncio.to_thread(house.until, "mdep", scratch, "tuned", "Ready", seconds=180)
    await asyncio.to_thread(house.until, "rp", scratch, "tuned", "Ready", seconds=120)
    (pod,) = (OllamaPod(world, found) for found in engine_pods(world, scratch, "tuned"))
    assert (pod.kept(), pod.loads()) == (True, 1), "ready is loaded, for good"
    url = await asyncio.to_thread(world.service_url, scratch, "tuned-router")
    async with Load(f"{url}/v1", MODEL, tokens=200, clients=3, retries=1) as load:
        await until(lambda: len(load.answers) >= 3, "the first answers", seconds=60)
        assert (pod.kept(), pod.loads()) == (True, 1), "a request loaded the model anew, or says how long it stays"
        changed = {**ENGINE, "ollama": {"parameters": {"temperature": "0.1"}}}
        house.apply(model_deployment(scratch, "tuned", source, **changed))

        def replaced() -> bool:
            found = [pod["metadata"]["name"] for pod in engine_pods(world, scratch, "tuned")]
            return len(found) == 1 and found != [pod.name]

        await until(replaced, "the old pod to leave after the new one serves", seconds=240)
        seen = len(load.answers)
        await until(lambda: len(load.answers) >= seen + 3, "answers of the new pod", seconds=60)
    problems = [answer.problem for answer in load.answers if answer.problem]
    assert not problems, f"{len(problems)} of {len(load.answers)} answers were not whole: {problems[:3]}"
    (pod,) = (OllamaPod(world, found) for found in engine_pods(world, scratch, "tuned"))
    await asyncio.to_thread(pod.unload)
    await until(pod.kept, "the pod to load its model again though nobody asks", seconds=30)
    assert pod.loads() == 2


async def test_a_server_outside_the_cluster_is_a_model_of_the_house(world: World, scratch: str) -> None:
    """It is asked over TLS of a private CA, with a key, by routers alone; its end and its return are told."""
    house, cloud = world.house, world.cloud
    ca = cloud.ca_file.read_text()
    desk = {
        "url": cloud.base_url,
        "healthPath": "/health",
        "apiKeySecretRef": {"name": "desk", "key": "apiKey"},
        "caSecretRef": {"name": "desk", "key": "ca.crt"},
    }
    spec = {"engine": "external", "model": FRONTIER, "external": desk, "context": {"tokens": 2048}}
    house.apply(
        secret(scratch, "desk", apiKey=cloud.api_key, **{"ca.crt": ca}),
        {
            "apiVersion": API_VERSION,
            "kind": "ModelDeployment",
            "metadata": {"namespace": scratch, "name": "desk"},
            "spec": spec,
        },
        route_policy(scratch, "desk", [{"name": "desk", "deployment": {"name": "desk"}}], "desk"),
    )
    await asyncio.to_thread(house.until, "rp", scratch, "desk", "Programmed", seconds=120)
    await asyncio.to_thread(house.until, "mdep", scratch, "desk", "Ready", seconds=60)
    assert not engine_pods(world, scratch, "desk"), "pods were made for somebody else's server"
    url = await asyncio.to_thread(world.service_url, scratch, "desk-router") + "/v1"
    async with Load(url, FRONTIER, tokens=30, clients=2) as load:
        await until(lambda: len(load.answers) >= 4, "answers from outside the cluster", seconds=60)
    assert not load.lost, f"clients saw {[answer.problem for answer in load.lost[:3]]}"
    cloud.kill()
    try:
        await asyncio.to_thread(house.until, "mdep", scratch, "desk", "Ready", "False", seconds=90)
    finally:
        cloud.start()
    await asyncio.to_thread(house.until, "mdep", scratch, "desk", "Ready", seconds=120)
