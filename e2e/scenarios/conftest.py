"""One world for all scenarios: the embedded cluster (or the one that CONTEXT names) with the demo's samples on it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator

import pytest

from e2e import story
from e2e.said import saying
from e2e.world import World
from genset import names
from testbed.house import OPERATOR_NAMESPACE, House
from testbed.resources import namespace

LEDGER = "genset-ledger"
_LEDGER_PODS = f"{names.LABEL_COMPONENT}={names.COMPONENT_LEDGER}"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[World]:
    say = saying(request)
    made = World.prepare(tmp_path_factory.mktemp("world"), say)
    try:
        made.house.apply(*made.samples)
        made.house.until("mdep", story.NAMESPACE, story.DEPLOYMENT, "Ready", seconds=150)
        made.house.until("rp", story.NAMESPACE, story.POLICY, "Ready", seconds=90)
        say("Samples ready")
        yield made
    finally:
        made.close()
        if made.cluster is not None:
            made.cluster.down()


@pytest.fixture
def scratch(world: World) -> Iterator[str]:
    """The name of a new namespace, deleted afterwards."""
    name = f"scratch-{next(_numbers)}"
    world.house.apply(namespace(name))
    yield name
    world.house.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture(autouse=True)
def _needs_embedded_cluster(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("needs_embedded_cluster"):
        world: World = request.getfixturevalue("world")
        if world.cluster is None:
            pytest.skip("stops the API server or fills a disk: only on the embedded cluster")


@pytest.fixture
def ledger(world: World) -> Iterator[House]:
    """A house with a ledger, which its routers know."""
    house = world.house
    house.install("--set", "ledger.enabled=true", "--set", "ledger.storage.size=1Gi")
    house.kubectl("-n", OPERATOR_NAMESPACE, "rollout", "status", f"deployment/{LEDGER}", "--timeout=150s", seconds=160)
    deadline = time.monotonic() + 90
    while "site.ledger" not in json.dumps(house.get("configmap", story.NAMESPACE, f"{story.POLICY}-router-config")):
        assert time.monotonic() < deadline, "the routers' configuration names no ledger"
        time.sleep(0.5)
    house.until("rp", story.NAMESPACE, story.POLICY, "Programmed", seconds=90)
    yield house
    house.install("--set", "ledger.enabled=false")
    house.until("rp", story.NAMESPACE, story.POLICY, "Programmed", seconds=90)


def take_ledger_away(house: House) -> None:
    """Takes the ledger's pod away at once, as the death of its node does: no process of it ends in peace."""
    (pod,) = house.list("pods", OPERATOR_NAMESPACE, _LEDGER_PODS)
    name = pod["metadata"]["name"]
    house.kubectl("-n", OPERATOR_NAMESPACE, "delete", "pod", name, "--grace-period=0", "--force", seconds=90)
