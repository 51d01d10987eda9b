"""How long a changed RoutePolicy takes to reach every router, on the full embedded cluster.

Two moments after the server-side apply was sent: when the last router serves the new generation (its own /-/config says
so), and when the resource's status says Programmed for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
import httpx

from bench.fleet import connected
from genset import kinds, names
from genset.kube.client import ApiServer
from testbed.cluster import choose, tools
from testbed.cluster.cluster import Cluster
from testbed.house import House
from testbed.images import IMAGES
from testbed.resources import namespace, route_policy

NAMESPACE = "bench-propagation"
POLICY = "assistant"
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0  # per change; the slowest are the point of the measurement, but a lost one must end it
Object = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """One change. Seconds from the apply."""

    generation: int
    served: float  # by every router
    programmed: float  # says the status


@dataclass(frozen=True)
class PropagationResult:
    """Seconds."""

    routers: int
    changes: tuple[Change, ...]

    def percentile(self, share: float, value: Callable[[Change], float]) -> float:
        """Nearest rank."""
        return nearest_rank([value(change) for change in self.changes], share)


def nearest_rank(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, int(rank) - 1)]


def policy(number: int, replicas: int) -> Object:
    """The policy with one detail that differs from the last one's."""
    cloud = {"provider": "openAICompatible", "model": "large", "baseURL": "http://gateway.test/v1"}
    made = route_policy(NAMESPACE, POLICY, [{"name": "gateway", "cloud": cloud}], "gateway")
    made["spec"]["router"] |= {"replicas": replicas}
    made["spec"]["routes"][0]["match"] = {"maxInputTokens": 10_000 + number}
    return made


async def measure(changes: int, replicas: int, seed: int = 4) -> PropagationResult:
    """Brings the cluster up if it is not (and down again then), installs genset, makes the changes."""
    choice = choose.resolve()
    if not choice.embedded:
        raise click.UsageError(
            "routers are asked at their pods' addresses, which only the embedded cluster's machine reaches: unset CONTEXT"
        )
    cluster = Cluster()
    was_up = cluster.is_healthy()
    house = House.of(choice)
    try:
        await asyncio.to_thread(install, cluster, house)
        house.apply(namespace(NAMESPACE))
        house.apply(policy(0, replicas))
        await asyncio.to_thread(house.until, "rp", NAMESPACE, POLICY, "Ready", seconds=120)
        return await follow(house, changes, replicas, random.Random(seed))
    finally:
        if was_up:
            house.kubectl("delete", "namespace", NAMESPACE, "--wait=false", "--ignore-not-found")
        else:
            await asyncio.to_thread(cluster.down)


def install(cluster: Cluster, house: House) -> None:
    """A running cluster with the images that are needed, and the operator with both replicas ready."""
    tools.ensure(*tools.CLUSTER_PROGRAMS)
    archives = [IMAGES[name].archive() for name in ("pause", "genset")]
    cluster.up()
    for archive in archives:
        cluster.load_image(archive)
    house.install()


async def follow(house: House, changes: int, replicas: int, rng: random.Random) -> PropagationResult:
    """The changes, one after the other, at uneven times: the routers look every 0.2 s, which must not fall into step."""
    done = []
    async with connected(house.kubeconfig, house.context) as api, httpx.AsyncClient(trust_env=False) as client:
        routers = await addresses(api)
        for number in range(1, changes + 1):
            done.append(await one(api, client, routers, policy(number, replicas)))
            if number % 20 == 0:
                log.info("%d changes of %d", number, changes)
            await asyncio.sleep(rng.uniform(0.2, 0.7))
    return PropagationResult(len(routers), tuple(done))


async def addresses(api: ApiServer) -> list[str]:
    """/-/config of every router pod."""
    pods = await api.list(kinds.POD, NAMESPACE, f"{names.LABEL_ROUTE_POLICY}={POLICY}")
    return [f"http://{pod['status']['podIP']}:{names.ROUTER_ADMIN_PORT}/-/config" for pod in pods]


async def one(api: ApiServer, client: httpx.AsyncClient, routers: Sequence[str], wanted: Object) -> Change:
    """One change, followed to its end."""
    began = time.monotonic()
    applied = await api.apply(kinds.ROUTE_POLICY, wanted, field_manager="user", force=True)
    generation: int = applied["metadata"]["generation"]

    async def serves(url: str) -> float:
        while (await client.get(url)).json()["generation"] < generation:
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - began

    async def programmed() -> float:
        while not is_programmed(await api.get(kinds.ROUTE_POLICY, NAMESPACE, POLICY), generation):
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - began

    async with asyncio.timeout(PATIENCE_SECONDS):
        *served, told = await asyncio.gather(*map(serves, routers), programmed())
    return Change(generation, max(served), told)


def is_programmed(found: Object | None, generation: int) -> bool:
    """Whether the status says that all routers serve this generation."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return any(
        condition["type"] == "Programmed"
        and condition["status"] == "True"
        and condition.get("observedGeneration") == generation
        for condition in conditions
    )
