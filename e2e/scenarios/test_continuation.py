"""Answers that go on when the process that writes them is killed: kill -9 in the middle of streams, real servers only.

The counting model makes every answer a proof: each token is one more than the last, whoever wrote it.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from e2e import story
from e2e.cut import Cut
from e2e.world import World, until
from testbed.resources import cloud_target, model_deployment, namespace, route_policy, secret

KILLS = int(os.environ.get("GENSET_KILLS", "8"))  # each cuts several streams; `make e2e-kills` has 50
pytestmark = pytest.mark.timeout(300 + 45 * KILLS)
NAMESPACE = "continuation"
CREW, SOLO, FRONTIER = "crew", "solo", "frontier"
SEED = 20261121
POLICY = "keep"
HITS_AT_LEAST = min(3 * KILLS, 50)  # where kills find too few streams running, the crew is killed more often


@dataclass(frozen=True)
class Phase:
    """Kills of one backend, while `streams` run. A kill cuts those of one process: all, but of the crew a third."""

    model: str
    kills: int
    streams: int
    tokens: int


SOLO_KILLS = max(KILLS // 5, 2)
FRONTIER_KILLS = min(SOLO_KILLS, 4)  # its breaker waits twice as long after each
#: Pods get little of a core and write slowly; the cloud has a core of its own.
PHASES = (
    Phase(SOLO, SOLO_KILLS, 6, 300),
    Phase(FRONTIER, FRONTIER_KILLS, 6, 950),
    Phase(CREW, KILLS - SOLO_KILLS - FRONTIER_KILLS, 6, 300),
)


def routes() -> list[dict[str, object]]:
    """One model name for each order of backends."""
    patience = {"firstTokenSeconds": 60, "stallSeconds": 30}  # the pods share two cores with everything else

    def route(name: str, *tiers: str, **failover: object) -> dict[str, object]:
        return {
            "name": name,
            "match": {"models": [name]},
            "tiers": [{"backends": [{"name": tier}]} for tier in tiers],
            "failover": {**patience, **failover},
        }

    return [
        route(CREW, CREW, FRONTIER),
        route(SOLO, SOLO, FRONTIER),
        route(FRONTIER, FRONTIER, CREW),
        route("crew-only", CREW),
        route("no-continuation", CREW, FRONTIER, continueStreams=False),
    ]


@pytest.fixture(scope="module")
def keep(world: World) -> Iterator[str]:
    """A namespace with a house of three, a house of one, the cloud, and a router. Its URL, up to and with /v1."""
    house = world.house
    source = world.weights.source("counting.gguf")
    small = {"context": {"tokens": 2048, "parallel": 50}, "resources": {"cpu": "150m", "memory": "512Mi"}}
    cloud = cloud_target(world.cloud.base_url)
    backends = [
        {"name": CREW, "deployment": {"name": CREW}},
        {"name": SOLO, "deployment": {"name": SOLO}},
        {"name": FRONTIER, "cloud": cloud, "continuation": "ContinueFinalMessage"},
    ]
    house.apply(
        namespace(NAMESPACE),
        secret(NAMESPACE, "cloud", apiKey=world.cloud.api_key, **{"ca.crt": world.cloud.ca_file.read_text()}),
        model_deployment(NAMESPACE, CREW, source, replicas=3, **small),
        model_deployment(NAMESPACE, SOLO, source, **small),
        route_policy(NAMESPACE, POLICY, backends, routes=routes()),
    )
    for deployment in (CREW, SOLO):
        house.until("mdep", NAMESPACE, deployment, "Ready", seconds=150)
    house.until("rp", NAMESPACE, POLICY, "Ready", seconds=90)
    yield world.service_url(NAMESPACE, f"{POLICY}-router") + "/v1"
    house.kubectl("delete", "namespace", NAMESPACE, "--wait=false", "--ignore-not-found")


@dataclass
class Kills:
    """What happened to the streams that ran while something was killed."""

    world: World
    url: str
    namespace: str = NAMESPACE
    policy: str = POLICY
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    seen: Cut = field(default_factory=Cut)

    async def round(self, model: str, kill: Callable[[], object], *, streams: int, tokens: int) -> None:
        await self.seen.round(self.url, model, kill, streams=streams, tokens=tokens, chance=self.chance)

    async def continued(self) -> int:
        """Broken streams that the routers completed, as they count them."""
        return sum(await asyncio.gather(*(asyncio.to_thread(self._continued, pod) for pod in self._routers())))

    def _routers(self) -> list[str]:
        selector = f"genset.dev/routepolicy={self.policy},app.kubernetes.io/component=router"
        return [pod["metadata"]["name"] for pod in self.world.house.list("pods", self.namespace, selector)]

    def _continued(self, pod: str) -> int:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:9090/proxy/metrics"
        text = self.world.house.kubectl("get", "--raw", path)
        found = re.findall(r'^genset_router_continuations_total\{[^}]*outcome="completed"[^}]*\} (\S+)$', text, re.M)
        return int(sum(float(value) for value in found))


def pods(world: World, deployment: str) -> list[str]:
    """Names of the deployment's pods whose engine is ready."""
    found = world.house.list("pods", NAMESPACE, f"genset.dev/modeldeployment={deployment}")
    return [
        pod["metadata"]["name"]
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    ]


async def answered_by(url: str, model: str, backend: str, *, seconds: float = 120) -> None:
    """Waits until the route's first choice answers again."""
    deadline = time.monotonic() + seconds
    while (answer := await story.one_answer(url, model)).backend != backend or answer.problem:
        assert time.monotonic() < deadline, f"{backend} did not answer within {seconds:.0f} s: {answer}"
        await asyncio.sleep(0.3)


async def test_streams_are_cut_by_kill_9_and_every_answer_is_whole(world: World, keep: str) -> None:
    """House to house, house to cloud, cloud to house, at random moments of running streams."""
    kills = Kills(world, keep)
    house, before, began, number = world.house, await kills.continued(), time.monotonic(), 0
    hits: dict[str, int] = {}

    async def play(
        phase: Phase, ready: Callable[[], Awaitable[None]], kill: Callable[[], object], *, hits_at_least: int = 1
    ) -> None:
        nonlocal number
        start, done = await kills.continued(), 0
        while done < phase.kills or (done < 2 * phase.kills and hits[phase.model] < hits_at_least):
            await ready()
            await kills.round(phase.model, kill, streams=phase.streams, tokens=phase.tokens)
            done += 1
            hits[phase.model] = await kills.continued() - start
        number += done

    async def two_of_the_crew() -> None:
        await until(lambda: len(pods(world, CREW)) >= 2, "two ready pods of the crew", seconds=60)

    async def the_solo() -> None:
        await until(lambda: pods(world, SOLO), "the only pod", seconds=60)
        await answered_by(keep, SOLO, SOLO)

    async def the_cloud() -> None:
        await answered_by(keep, FRONTIER, FRONTIER)

    def kill_cloud() -> None:
        world.cloud.kill()
        world.cloud.start()

    def kill_one_of_the_crew() -> None:
        house.kill_pod(NAMESPACE, kills.chance.choice(pods(world, CREW)))

    solo, frontier, crew = PHASES
    await play(solo, the_solo, lambda: house.kill_pod(NAMESPACE, pods(world, SOLO)[0]))
    await play(frontier, the_cloud, kill_cloud)
    await the_cloud()
    await play(crew, two_of_the_crew, kill_one_of_the_crew, hits_at_least=HITS_AT_LEAST - sum(hits.values()))
    kills.seen.check()
    continued = await kills.continued() - before
    print(
        f"{number} kills in {time.monotonic() - began:.0f} s, {continued} streams cut and continued ({hits}), "
        f"{len(kills.seen.answers)} answers, all whole; kills came when streams were {min(kills.seen.moments):.0%} to "
        f"{max(kills.seen.moments):.0%} done"
    )
    assert continued >= HITS_AT_LEAST, f"only {continued} streams were cut by {number} kills: {hits}"
    assert all(hits.values()), f"a way that no stream went: {hits}"


async def test_a_hundred_streams_and_one_kill(world: World, keep: str) -> None:
    kills = Kills(world, keep)
    await until(lambda: len(pods(world, CREW)) == 3, "three ready pods of the crew", seconds=60)
    await answered_by(keep, CREW, CREW)
    before = await kills.continued()
    victim = pods(world, CREW)[0]
    await kills.round("crew-only", lambda: world.house.kill_pod(NAMESPACE, victim), streams=100, tokens=200)
    kills.seen.check()
    continued = await kills.continued() - before
    print(f"100 streams at once, one kill: {continued} were cut and continued, none lost")
    assert continued >= 10, f"the kill cut only {continued} of 100 streams"


async def test_a_route_without_continuation_says_so_in_the_stream(world: World, keep: str) -> None:
    """Never a truncated answer that looks complete: the client gets an error in the stream, and no [DONE]."""
    kills = Kills(world, keep)
    await until(lambda: len(pods(world, CREW)) >= 2, "two ready pods of the crew", seconds=60)

    def kill_crew() -> None:
        for pod in pods(world, CREW):
            world.house.kill_pod(NAMESPACE, pod)

    await kills.round("no-continuation", kill_crew, streams=4, tokens=300)
    broken = [answer for answer in kills.seen.answers if answer.problem]
    assert broken, "no stream was cut"
    for answer in broken:
        assert "upstream_stream_interrupted" in answer.problem, f"a client saw {answer.problem}"


async def test_the_house_dies_under_long_streams_and_nobody_notices(world: World) -> None:
    """The samples as they are: what was begun by the house is finished by the cloud."""
    house, kills = world.house, Kills(world, world.router_url, story.NAMESPACE, story.POLICY)
    await story.house_answers(world.router_url)
    before = await kills.continued()
    await kills.round(
        story.HOUSE_FIRST, lambda: house.kill_pods(story.NAMESPACE, story.ENGINE_PODS), streams=8, tokens=900
    )
    kills.seen.check()
    assert await kills.continued() > before, "the kill cut no stream"
    await answered_by(world.router_url, story.HOUSE_FIRST, story.HOUSE)
    house.until("mdep", story.NAMESPACE, story.DEPLOYMENT, "Ready", seconds=120)
