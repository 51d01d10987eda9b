"""The operator against a real kube-apiserver and etcd: a control plane for the session, a namespace for each test.

No kubelet and no controllers: pods run, and Deployments have a status, only where a FakeKubelet says so.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from genset import handlers
from testbed.cluster.controlplane import ControlPlane
from tests.support.integration.world import World, make_world, prepare


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """kube-apiserver and etcd with our CRDs and the operator's rights."""
    handlers.silence()
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        prepare(plane)
        yield plane


@pytest_asyncio.fixture
async def world(control_plane: ControlPlane) -> AsyncIterator[World]:
    """A fresh namespace."""
    async with make_world(control_plane) as made:
        yield made


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="genset")
