"""Bad input that only a real node can judge, each with the condition and the message that a user would want."""

from __future__ import annotations

import asyncio

import pytest

from e2e.world import World, until
from testbed.resources import model_deployment

pytestmark = pytest.mark.timeout(240)


async def condition(world: World, namespace: str, name: str, type_: str, reason: str, *, seconds: float = 90) -> str:
    found = await asyncio.to_thread(
        world.house.until, "mdep", namespace, name, type_, "False", reason=reason, seconds=seconds
    )
    message: str = found["message"]
    return message


async def test_a_sha256_that_differs_is_never_served(world: World, scratch: str) -> None:
    world.house.apply(model_deployment(scratch, "wrong-sum", world.weights.source("counting.gguf", sha256="0" * 64)))
    message = await condition(world, scratch, "wrong-sum", "WeightsReady", "ChecksumMismatch")
    assert "0" * 64 in message and "sha256" in message
    pod = world.house.list("pods", scratch)[0]
    engine = next(s for s in pod["status"]["containerStatuses"] if s["name"] == "engine")
    assert not engine["started"], "the engine was started over a file that differs"


async def test_a_file_that_is_no_gguf(world: World, scratch: str) -> None:
    world.house.apply(model_deployment(scratch, "login-page", world.weights.source("login.html")))
    message = await condition(world, scratch, "login-page", "WeightsReady", "NotGGUF")
    assert "HTML" in message


async def test_a_file_that_is_not_there(world: World, scratch: str) -> None:
    source = world.weights.source("nowhere.gguf", sha256="1" * 64)
    world.house.apply(model_deployment(scratch, "nowhere", source))
    message = await condition(world, scratch, "nowhere", "WeightsReady", "SourceNotFound")
    assert "nowhere.gguf" in message


async def test_an_image_that_cannot_be_pulled(world: World, scratch: str) -> None:
    image = "registry.invalid/llama.cpp:none"
    world.house.apply(
        model_deployment(scratch, "no-image", world.weights.source("counting.gguf"), llamaCpp={"image": image})
    )
    message = await condition(world, scratch, "no-image", "Available", "ImagePullFailed")
    assert image in message


@pytest.mark.needs_embedded_cluster
async def test_a_disk_that_is_full(world: World, scratch: str) -> None:
    """The cache volume is smaller than the model: a real ENOSPC on a real file system."""
    world.house.apply(
        model_deployment(
            scratch,
            "full-disk",
            {**world.weights.source("counting.gguf"), "maxSize": "1Gi"},
            cache={"size": "8Mi", "storageClassName": "local-sized"},
        )
    )
    message = await condition(world, scratch, "full-disk", "WeightsReady", "DiskFull")
    assert "cache.size" in message or "free" in message


async def test_a_storage_class_that_is_not_there_holds_up_no_deletion(world: World, scratch: str) -> None:
    """kubeai-project/kubeai#286: the model stayed for ever, with two pods that waited."""
    source = world.weights.source("counting.gguf")
    cache = {"size": "200Mi", "storageClassName": "nowhere"}
    world.house.apply(model_deployment(scratch, "no-class", source, cache=cache))
    message = await condition(world, scratch, "no-class", "Available", "WaitingForVolume")
    assert "storage class nowhere" in message
    world.house.kubectl("-n", scratch, "delete", "mdep", "no-class", "--timeout=20s")
    await until(
        lambda: not any(world.house.list(kind, scratch) for kind in ("pods", "pvc")), "pod and claim to go", seconds=30
    )


async def test_a_node_path_needs_the_operators_consent(world: World, scratch: str) -> None:
    world.house.apply(model_deployment(scratch, "node-path", {"hostPath": {"path": "/srv/models/some.gguf"}}))
    message = await condition(world, scratch, "node-path", "Accepted", "HostPathNotAllowed")
    assert "allowHostPath" in message
    assert not world.house.list("pods", scratch)


async def test_a_pod_template_that_the_api_server_refuses(world: World, scratch: str) -> None:
    template = {"spec": {"nodeSelector": {"pool": "no value of a label!"}}}
    world.house.apply(
        model_deployment(scratch, "bad-template", world.weights.source("counting.gguf"), podTemplate=template)
    )
    message = await condition(world, scratch, "bad-template", "Accepted", "ApplyRejected")
    assert "nodeSelector" in message


async def test_a_pod_template_that_asks_for_a_creators_rights(world: World, scratch: str) -> None:
    template = {"spec": {"hostNetwork": True}}
    world.house.apply(
        model_deployment(scratch, "wide-template", world.weights.source("counting.gguf"), podTemplate=template)
    )
    message = await condition(world, scratch, "wide-template", "Accepted", "InvalidSpec")
    assert "spec.podTemplate.spec.hostNetwork" in message and "podTemplate: Full" in message
    assert not world.house.list("pods", scratch)


async def test_a_namespace_that_is_being_deleted_goes_quietly(world: World, scratch: str) -> None:
    world.house.apply(model_deployment(scratch, "leaving", world.weights.source("counting.gguf")))
    await until(lambda: world.house.list("pods", scratch), "a pod", seconds=60)
    world.house.kubectl("delete", "namespace", scratch, "--wait=false")
    await until(lambda: world.house.get("namespace", "", scratch) is None, "the namespace to be gone", seconds=120)
