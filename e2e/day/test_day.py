"""A day of operations: the last release is installed, two teams work, and everything that happens on a day happens.

Both teams' clients ask all day long, and each answer is checked token by token: not one is lost.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e import story
from e2e.load import Load
from e2e.world import World, until
from testbed.house import OPERATOR_NAMESPACE, Object
from testbed.images import LAST_GENSET
from testbed.resources import model_deployment, namespace, route_policy

pytestmark = pytest.mark.timeout(600)
TEAM, MODEL, POLICY = "team-b", "notes", "desk"


class Day:
    """A day is the world with two teams in it. `say` prints an hour of it, with what it took."""

    def __init__(self, world: World, loads: list[Load]) -> None:
        self.world = world
        self.house = world.house
        self._loads = loads
        self._began = time.monotonic()

    async def until(
        self, kind: str, namespace: str, name: str, type_: str, status: str = "True", **more: Any
    ) -> Object:
        """Waits for a condition."""
        found: Object = await asyncio.to_thread(
            self.house.until, kind, namespace, name, type_, status, **{"seconds": 150, **more}
        )
        return found

    async def all_ready(self) -> None:
        """Both teams have what they asked for."""
        for namespace_, model, policy in ((story.NAMESPACE, story.DEPLOYMENT, story.POLICY), (TEAM, MODEL, POLICY)):
            await self.until("mdep", namespace_, model, "Ready")
            await self.until("rp", namespace_, policy, "Ready")

    def pods(self) -> set[str]:
        """The identities of all pods that serve the teams."""
        found = [*self.house.list("pods", story.NAMESPACE), *self.house.list("pods", TEAM)]
        return {pod["metadata"]["uid"] for pod in found if not pod["metadata"].get("deletionTimestamp")}

    def kubectl(self, *arguments: str) -> str:
        return self.house.kubectl(*arguments)

    def hour(self, what: str) -> None:
        """Ends a part of the day: nobody may have lost anything in it."""
        lost = [
            f"{answer.problem} (by {answer.backend or 'nobody'}, {answer.attempts})"
            for load in self._loads
            for answer in load.lost
        ]
        took, self._began = time.monotonic() - self._began, time.monotonic()
        answers = sum(len(load.answers) for load in self._loads)
        print(f"\n  {what}: {took:.0f} s, {answers} answers so far", flush=True)
        assert not lost, f"{what}: {len(lost)} of {answers} answers were lost: {lost[:5]}"


async def test_a_day_of_operations_loses_no_request(world: World, last_chart: Path) -> None:
    house = world.house
    house.apply(*world.samples)
    house.apply(
        namespace(TEAM),
        model_deployment(TEAM, MODEL, world.weights.source("counting.gguf")),
        route_policy(TEAM, POLICY, [{"name": "house", "deployment": {"name": MODEL}}], "house"),
    )
    day = Day(world, [])
    await day.all_ready()
    other = world.service_url(TEAM, f"{POLICY}-router") + "/v1"
    loads = [
        Load(world.router_url, story.HOUSE_FIRST, clients=2, pause=0.2),
        Load(world.router_url, story.CLOUD_FIRST, clients=1, pause=0.2, stream=False),
        Load(other, MODEL, clients=2, pause=0.2),
    ]
    async with contextlib.AsyncExitStack() as stack:
        for load in loads:
            await stack.enter_async_context(load)
        day = Day(world, loads)
        await _upgraded(day)
        await _scaled(day)
        await _drained(day)
        await _rotated(day)
        await _broken_and_mended(day)
        await _uninstalled_and_restored(day)
        await _rolled_back_and_forth(day, last_chart)
    day.hour("the end of the day")
    assert all(len(load.answers) > 50 for load in loads), "somebody has asked all day long"


async def _upgraded(day: Day) -> None:
    before = day.pods()
    await asyncio.to_thread(day.house.install)
    for kind, where, name in (("mdep", TEAM, MODEL), ("rp", TEAM, POLICY), ("rp", story.NAMESPACE, story.POLICY)):
        told = await day.until(kind, where, name, "UpgradePending", reason="InUse")
        assert "genset.dev/roll" in told["message"]
    await day.all_ready()
    assert day.pods() == before, "an upgrade made pods new that serve"
    day.hour("upgraded")


async def _scaled(day: Day) -> None:
    """One model becomes two, and one again; the routers of the other team are made new by the upgrade, as it wants."""
    day.kubectl("-n", TEAM, "scale", "mdep", MODEL, "--replicas=2")
    await until(lambda: (day.house.get("mdep", TEAM, MODEL) or {})["status"]["readyReplicas"] == 2, "two", seconds=120)
    day.kubectl("-n", TEAM, "scale", "mdep", MODEL, "--replicas=1")
    now = '{"spec":{"router":{"onUpgrade":"Now"}}}'
    day.kubectl("-n", story.NAMESPACE, "patch", "rp", story.POLICY, "--type=merge", "-p", now)
    await until(lambda: not _pending(day, "rp", story.NAMESPACE, story.POLICY), "upgraded routers", seconds=150)
    await day.all_ready()
    day.hour("scaled, and took an upgrade")


def _pending(day: Day, kind: str, where: str, name: str) -> bool:
    return bool(day.house.condition(kind, where, name, "UpgradePending"))


async def _drained(day: Day) -> None:
    """The only node is closed, and a router and a model leave it; the other router and the cloud stand in."""
    (node,) = day.house.list("nodes", "default")
    day.kubectl("cordon", node["metadata"]["name"])
    try:
        routers = f"genset.dev/routepolicy={story.POLICY}"
        for selector in (routers, story.ENGINE_PODS):
            pod = day.house.list("pods", story.NAMESPACE, selector)[0]["metadata"]["name"]
            await asyncio.to_thread(day.house.evict, story.NAMESPACE, pod)
            await until(lambda name=pod: not day.house.get("pod", story.NAMESPACE, name), "it has gone", seconds=90)  # type: ignore[misc]
    finally:
        day.kubectl("uncordon", node["metadata"]["name"])
    await day.all_ready()
    day.hour("drained")


async def _rotated(day: Day) -> None:
    """The provider's key changes; until the Secret follows, the house answers."""
    await asyncio.to_thread(day.world.cloud.rotate)
    _set_key(day, "apiKey", day.world.cloud.api_key)
    since = time.monotonic()
    await day._loads[1].until_answered_by(story.FRONTIER, since=since, seconds=60)
    await day.until("rp", story.NAMESPACE, story.POLICY, "Ready")
    day.hour("rotated the key")


def _set_key(day: Day, key: str, value: str | None) -> None:
    coded = "null" if value is None else f'"{base64.b64encode(value.encode()).decode()}"'
    patch = f'{{"data":{{"{key}":{coded}}}}}'
    day.kubectl("-n", story.NAMESPACE, "patch", "secret", "cloud", "--type=merge", "-p", patch)


async def _broken_and_mended(day: Day) -> None:
    """Each reference that a policy has is broken, told, and mended; what ran serves on meanwhile."""
    secret = day.world.sample("Secret", "cloud")
    secret["stringData"] = {"apiKey": day.world.cloud.api_key}
    annotation = "genset.dev/allow-hosts"
    faults: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        (
            "SecretNotFound",
            lambda: day.kubectl("-n", story.NAMESPACE, "delete", "secret", "cloud"),
            lambda: day.house.apply(secret),
        ),
        (
            "SecretKeyNotFound",
            lambda: _set_key(day, "apiKey", None),
            lambda: _set_key(day, "apiKey", day.world.cloud.api_key),
        ),
        (
            "SecretKeyInvalid",
            lambda: _set_key(day, "ca.crt", "no certificate"),
            lambda: _set_key(day, "ca.crt", day.world.cloud.ca_file.read_text()),
        ),
        (
            "SecretNotAllowed",
            lambda: day.kubectl("-n", story.NAMESPACE, "annotate", "secret", "cloud", f"{annotation}-"),
            lambda: day.kubectl("-n", story.NAMESPACE, "annotate", "secret", "cloud", f"{annotation}=*"),
        ),
        (
            "DeploymentNotFound",
            lambda: day.house.apply(_policy_with(day, "absent")),
            lambda: day.house.apply(day.world.sample("RoutePolicy", story.POLICY)),
        ),
    ]
    for reason, break_it, mend_it in faults:
        await asyncio.to_thread(break_it)
        await day.until("rp", story.NAMESPACE, story.POLICY, "ResolvedRefs", "False", reason=reason, seconds=60)
        await asyncio.to_thread(mend_it)
        await day.until("rp", story.NAMESPACE, story.POLICY, "ResolvedRefs", seconds=60)
        await day.until("rp", story.NAMESPACE, story.POLICY, "Programmed", seconds=60)
        day.hour(f"{reason}, and mended")


def _policy_with(day: Day, deployment: str) -> Object:
    policy = day.world.sample("RoutePolicy", story.POLICY)
    policy["spec"]["backends"].append({"name": "absent", "deployment": {"name": deployment}})
    policy["spec"]["routes"][0]["tiers"].append({"backends": [{"name": "absent"}]})
    return policy


async def _uninstalled_and_restored(day: Day) -> None:
    before = day.pods()
    await asyncio.to_thread(day.house.uninstall)
    # Its rights go with the release, often before the process can give the Lease back; then it goes with the pod.
    # However late a busy kubelet ends the pod: a Lease that is not given back names its holder for ever.
    await until(lambda: not _lease_is_held(day), "the Lease to be given back", seconds=60)
    await asyncio.sleep(5)  # everything serves without an operator
    await asyncio.to_thread(day.house.install)
    await day.all_ready()
    assert day.pods() == before, "a new installation takes over what is there"
    day.hour("uninstalled, and restored")


def _lease_is_held(day: Day) -> bool:
    lease = day.house.get("lease", OPERATOR_NAMESPACE, "genset-operator")
    return lease is not None and bool(lease["spec"].get("holderIdentity"))


async def _rolled_back_and_forth(day: Day, last_chart: Path) -> None:
    """Pods of the last release, which were kept, stay through a rollback to it and the next upgrade."""
    kept = {pod["metadata"]["uid"] for pod in day.house.list("pods", TEAM, f"genset.dev/routepolicy={POLICY}")}
    await asyncio.to_thread(day.house.install, chart=last_chart, image=LAST_GENSET)
    await day.until("rp", TEAM, POLICY, "Ready")
    await asyncio.sleep(3)
    assert kept == {pod["metadata"]["uid"] for pod in day.house.list("pods", TEAM, f"genset.dev/routepolicy={POLICY}")}
    await asyncio.to_thread(day.house.install)
    await day.all_ready()
    assert kept == {pod["metadata"]["uid"] for pod in day.house.list("pods", TEAM, f"genset.dev/routepolicy={POLICY}")}
    day.hour("rolled back, and upgraded again")
