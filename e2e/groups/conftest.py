"""The embedded cluster with the LeaderWorkerSet's controller by its own chart, a node that says it has GPUs, a fake of vLLM."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from e2e.said import saying
from e2e.world import CLUSTER_IMAGES, World
from testbed.cluster import tools
from testbed.cluster.cluster import Cluster
from testbed.cluster.node import NODE_NAME
from testbed.images import FAKE_VLLM, LWS
from testbed.resources import namespace

NAMESPACE = "groups"
GPUS = {"nvidia.com/gpu": "8"}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[World]:
    say = saying(request)
    folder = tmp_path_factory.mktemp("world")
    made = World.prepare(folder, say, images=(*CLUSTER_IMAGES, "lws", "fakevllm"))
    try:
        if made.cluster is None:
            pytest.skip("the images are built here, and no registry has them")
        _claim_gpus(made.cluster)
        made.house.install("--set", f"engines.vllm.images.nvidia={FAKE_VLLM}")
        _install_controller(made)
        say("The LeaderWorkerSet's controller is ready")
        made.house.apply(namespace(NAMESPACE))
        yield made
    finally:
        made.close()
        if made.cluster is not None:
            made.cluster.down()


def _claim_gpus(cluster: Cluster) -> None:
    """Says of the node that it has GPUs, as Kubernetes documents it of extended resources that no plug-in tells of."""
    status = json.dumps({"status": {"capacity": GPUS, "allocatable": GPUS}})
    cluster.kubectl("patch", "node", NODE_NAME, "--subresource=status", "--type=merge", "-p", status)


def _install_controller(world: World) -> None:
    repository, _, tag = LWS.rpartition(":")
    world.house.helm(
        "upgrade", "--install", "lws", str(tools.source("lws") / "charts" / "lws"),
        "--namespace", "lws-system", "--create-namespace", "--wait", "--timeout", "120s",
        "--set", f"image.manager.repository={repository}", "--set", f"image.manager.tag={tag}",
        "--set", "image.manager.pullPolicy=IfNotPresent", "--set", "resources.requests.cpu=50m",
        "--set", "resources.requests.memory=64Mi",
    )  # fmt: skip
