"""The embedded cluster with vLLM's image, and an operator that lets models be read from the node's disk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.said import saying
from e2e.vllm import image
from e2e.world import World
from testbed.resources import namespace

NAMESPACE = "vllm"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[World]:
    say = saying(request)
    archive = image.archive()
    made = World.prepare(tmp_path_factory.mktemp("world"), say)
    try:
        if made.cluster is None:
            pytest.skip("the image of vLLM for CPU is built here, and no registry has it")
        made.cluster.load_image(archive)
        say("vLLM's image is on the node")
        made.house.install("--set", f"engines.vllm.images.cpu={image.REFERENCE}", "--set", "allowHostPath=true")
        made.house.apply(namespace(NAMESPACE))
        yield made
    finally:
        made.close()
        if made.cluster is not None:
            made.cluster.down()
