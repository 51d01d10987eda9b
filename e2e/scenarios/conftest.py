"""One world for all scenarios: the embedded cluster (or the one that CONTEXT names) with the demo's samples on it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from e2e import story
from e2e.said import saying
from e2e.world import World
from testbed.resources import namespace

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
