"""The day begins on a cluster with the last release of genset, installed from its own chart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.said import saying
from e2e.world import CLUSTER_IMAGES, World
from testbed import release
from testbed.house import House
from testbed.images import LAST_GENSET


@pytest.fixture(scope="session")
def last_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release.unpack(tmp_path_factory.mktemp("last")) / "charts" / "genset"


@pytest.fixture(scope="session")
def world(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, last_chart: Path
) -> Iterator[World]:
    say = saying(request)

    def install(house: House) -> None:
        house.install(chart=last_chart, image=LAST_GENSET)

    made = World.prepare(
        tmp_path_factory.mktemp("world"), say, install=install, images=(*CLUSTER_IMAGES, "genset-last-release")
    )
    if made.cluster is None:
        made.close()
        pytest.skip("installs, upgrades and uninstalls the operator: only on the embedded cluster")
    try:
        yield dataclasses.replace(made)
    finally:
        made.close()
        made.cluster.down()
