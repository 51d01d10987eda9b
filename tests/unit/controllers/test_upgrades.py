"""When an upgrade is taken: at once by what serves nobody, by idle pods after a while, and one after another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from genset import names
from genset.api.children import OnUpgrade
from genset.controllers.keys import Key
from genset.controllers.upgrades import UpgradeCandidate, Upgrades
from genset.engines.base import WorkMetrics
from genset.kube.client import ApiServer
from genset.kube.probe import Prober
from genset.status.pod import PodView

ONE, TWO, ELSEWHERE = (Key(names.MODEL_DEPLOYMENT, space, name) for space, name in (("n", "a"), ("n", "b"), ("m", "a")))
POLICY = Key(names.ROUTE_POLICY, "n", "a")
READY = {"Ready": {"status": "True"}}
POD = PodView("p", uid="u", phase="Running", address="10.0.0.1", conditions=READY)
NOW = UpgradeCandidate("0.1.0", ("spec.x",), OnUpgrade.NOW, 1, (POD,), False, WorkMetrics("/", ("run",), ("sum",)), 1)
IDLE = replace(NOW, on_upgrade=OnUpgrade.WHEN_IDLE)


class Fake:
    """An API server with Deployments, pods with metrics, and a clock."""

    def __init__(self) -> None:
        self.deployments: list[dict[str, Any]] = []
        self.pages: dict[str, bytes | None] = {}
        self.seconds = 0.0
        self.upgrades = Upgrades(cast(ApiServer, self), cast(Prober, self), clock=lambda: self.seconds, idle_seconds=60)

    async def list(self, *_: Any) -> list[dict[str, Any]]:
        return self.deployments

    async def metrics(self, address: str, *_: Any) -> bytes | None:
        return self.pages.get(address)

    async def goes(self, key: Key, candidate: UpgradeCandidate) -> bool:
        return (await self.upgrades.permit(key, candidate)).now


@pytest.mark.parametrize(
    "candidate",
    [
        replace(IDLE, wanted=0),
        replace(IDLE, wanted=0, pods=()),
        replace(IDLE, stuck=True, pods=(replace(POD, conditions={}),)),
        replace(IDLE, stuck=True, pods=()),
    ],
)
async def test_what_serves_nobody_takes_it_at_once(candidate: UpgradeCandidate) -> None:
    fake = Fake()
    assert await fake.goes(ONE, candidate) and await fake.goes(TWO, candidate)


@pytest.mark.parametrize("candidate", [IDLE, replace(IDLE, stuck=True), replace(IDLE, pods=())])
async def test_what_serves_or_has_yet_to_come_waits(candidate: UpgradeCandidate) -> None:
    fake = Fake()
    permit = await fake.upgrades.permit(ONE, candidate)
    assert not permit.now and permit.again == 3.0
    assert permit.upgrade is not None and permit.upgrade.turn == "" and permit.upgrade.idle_seconds == 60


async def test_idle_is_a_while_without_work_at_any_pod() -> None:
    fake = Fake()
    two = replace(IDLE, pods=(POD, replace(POD, name="q", uid="v", address="10.0.0.2")))

    async def at(seconds: float, first: bytes | None, second: bytes | None) -> bool:
        fake.seconds, fake.pages = seconds, {"10.0.0.1": first, "10.0.0.2": second}
        return await fake.goes(ONE, two)

    still = b"run 0\nsum 4\n"
    assert not await at(0, still, still)
    assert not await at(59, still, still)
    assert not await at(60, b"run 0\nsum 5\n", still), "it has worked meanwhile"
    assert not await at(70, still, None), "one that does not tell is in use"
    assert not await at(80, still, still)
    assert not await at(139, b"run 1\nsum 4\n", still)
    assert not await at(140, still, still)
    assert not await at(199, still, still)
    assert await at(200, still, still)


async def test_one_at_a_time_in_a_namespace_and_of_a_kind() -> None:
    fake = Fake()
    assert await fake.goes(ONE, NOW)
    waits = await fake.upgrades.permit(TWO, NOW)
    assert waits.upgrade is not None and waits.upgrade.turn == "a" and waits.again
    assert await fake.goes(ELSEWHERE, NOW) and await fake.goes(POLICY, NOW)
    assert await fake.goes(ONE, NOW), "it may try again"
    fake.upgrades.settled(ONE, pending=False, ready=False)
    assert not await fake.goes(TWO, NOW), "the first one is not Ready yet"
    fake.upgrades.settled(TWO, pending=False, ready=True)
    assert not await fake.goes(TWO, NOW), "whose turn it is not gives none back"
    fake.upgrades.settled(ONE, pending=False, ready=True)
    assert await fake.goes(TWO, NOW)
    fake.upgrades.drop(TWO)
    assert await fake.goes(ONE, NOW)


async def test_a_roll_out_of_a_session_before_is_waited_for() -> None:
    fake = Fake()
    status = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2}
    labels = {names.LABEL_MODEL_DEPLOYMENT: "b"}
    fake.deployments = [{"metadata": {"generation": 2, "labels": labels}, "status": status}]
    assert not await fake.goes(ONE, NOW)
    assert await fake.goes(TWO, NOW), "its own"
    fake.upgrades.drop(TWO)
    status["updatedReplicas"] = 3
    assert await fake.goes(ONE, NOW)
