"""NetworkPolicies as they act: whom engines and routers reach, and whom they do not. All scenarios run under them."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from e2e import story
from e2e.world import World, until
from testbed.house import House, KubectlError
from testbed.resources import model_deployment, route_policy

pytestmark = [pytest.mark.timeout(300), pytest.mark.needs_embedded_cluster]
SECONDS = 20.0  # for a label to go, and the node to follow
_BASH = "timeout 2 bash -c 'exec 3<>/dev/tcp/{0}/{1}' 2>/dev/null && echo reached || echo refused"
_PYTHON = """
import socket
try:
    socket.create_connection(("{0}", {1}), timeout=2).close()
    print("reached")
except OSError:
    print("refused")
"""


def from_engine(house: House, namespace: str, pod: str, host: str, port: int) -> str:
    """Says whether the engine's container gets a connection: `reached` or `refused`."""
    script = _BASH.format(host, port)
    return house.kubectl("-n", namespace, "exec", pod, "-c", "engine", "--", "bash", "-c", script).strip()


def from_router(house: House, namespace: str, policy: str, host: str, port: int) -> str:
    script = _PYTHON.format(host, port)
    return house.kubectl(
        "-n",
        namespace,
        "exec",
        f"deploy/{policy}-router",
        "-c",
        "router",
        "--",
        "/opt/genset/bin/python3",
        "-c",
        script,
    ).strip()


def downloading(house: House, namespace: str, name: str) -> list[str]:
    selector = f"genset.dev/modeldeployment={name},genset.dev/downloading=true"
    return [pod["metadata"]["name"] for pod in house.list("pods", namespace, selector)]


@pytest.mark.parametrize("cache", [None, {"size": "200Mi"}], ids=["scratch space", "cache"])
async def test_an_engine_that_serves_reaches_nobody(world: World, scratch: str, cache: dict[str, str] | None) -> None:
    """Its weights came over a way out that is closed: not even the server that they came from is reached again."""
    house, source = world.house, world.weights.source("counting.gguf")
    url = urlsplit(source["http"]["url"])
    host, port = str(url.hostname), int(url.port or 80)
    await asyncio.to_thread(
        house.apply, model_deployment(scratch, "closed", source, **({"cache": cache} if cache else {}))
    )
    await asyncio.to_thread(house.until, "mdep", scratch, "closed", "Ready", seconds=120)
    await until(lambda: not downloading(house, scratch, "closed"), "the label is off", seconds=SECONDS)
    (pod,) = house.list("pods", scratch, "genset.dev/modeldeployment=closed")
    name = pod["metadata"]["name"]
    await until(
        lambda: from_engine(house, scratch, name, host, port) == "refused",
        "the engine reaches its source no more",
        seconds=SECONDS,
    )
    replica_set = pod["metadata"]["ownerReferences"][0]["name"]
    house.kubectl("-n", scratch, "label", "pod", name, "genset.dev/downloading=true")
    await until(lambda: not downloading(house, scratch, "closed"), "a label by hand is taken off", seconds=SECONDS)
    assert (house.get("pod", scratch, name) or {})["metadata"]["ownerReferences"][0]["name"] == replica_set
    house.kubectl("-n", scratch, "scale", "mdep", "closed", "--replicas=2")
    await asyncio.to_thread(house.until, "mdep", scratch, "closed", "Ready", seconds=120)
    assert (house.get("mdep", scratch, "closed") or {})["status"]["readyReplicas"] == 2


async def test_a_router_reaches_its_backends_and_nothing_else(world: World, scratch: str) -> None:
    house = world.house
    cloud, weights = urlsplit(world.cloud.base_url), urlsplit(world.weights.source("counting.gguf")["http"]["url"])
    assert from_router(house, story.NAMESPACE, story.POLICY, str(cloud.hostname), int(cloud.port or 443)) == "reached"
    assert (
        from_router(house, story.NAMESPACE, story.POLICY, str(weights.hostname), int(weights.port or 80)) == "refused"
    )
    backend = {
        "name": "far",
        "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": "http://far.example/v1"},
    }
    await asyncio.to_thread(house.apply, route_policy(scratch, "named", [backend], "far"))
    await until(lambda: _answers(house, scratch, "named"), "its router runs", seconds=60)
    assert from_router(house, scratch, "named", str(weights.hostname), int(weights.port or 80)) == "refused"
    (pod,) = house.list("pods", story.NAMESPACE, story.ENGINE_PODS)[:1]
    assert from_router(house, scratch, "named", pod["status"]["podIP"], 8080) == "refused", "an engine of others"


def _answers(house: House, namespace: str, policy: str) -> bool:
    try:
        return from_router(house, namespace, policy, "127.0.0.1", 9090) == "reached"
    except KubectlError:
        return False
