"""Weights that are fetched ahead: a Job of the API server's own kind, and what its pod tells."""

from __future__ import annotations

import json
from typing import Any

from genset import kinds, names
from tests.support.integration import samples
from tests.support.integration.world import World

CACHE = {"size": "1Gi"}


async def _jobs(world: World) -> list[dict[str, Any]]:
    return await world.api.list(kinds.JOB, world.namespace)


async def _pod_of(world: World, job: dict[str, Any], state: dict[str, Any]) -> None:
    """Makes the Job's pod and reports its container, as the controllers and the kubelet of a cluster do."""
    template = job["spec"]["template"]
    name = f"{job['metadata']['name']}-x"
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": world.namespace, "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    }  # fmt: skip
    await world.api.request("POST", kinds.POD.path(world.namespace), body=pod)
    entry = {
        "name": names.WEIGHTS_CONTAINER, "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state,
    }  # fmt: skip
    await world.api.request(
        "PATCH",
        kinds.POD.path(world.namespace, name, "status"),
        query={"fieldManager": "fake-kubelet"},
        body={"status": {"phase": "Succeeded", "containerStatuses": [entry]}},
        headers={"Content-Type": "application/merge-patch+json"},
    )


async def test_weights_are_fetched_ahead_without_a_pod_of_the_engine(world: World) -> None:
    operator = await world.start()
    resource = samples.model_deployment(world.namespace, "house", cache=CACHE, prefetch=True, replicas=0)
    await world.apply(resource)
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.quiet(operator)
    (job,) = await _jobs(world)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["name"] == names.WEIGHTS_CONTAINER
    assert job["spec"]["template"]["metadata"]["labels"][names.LABEL_COMPONENT] == names.COMPONENT_PREFETCH
    policy = await world.get(kinds.NETWORK_POLICY, "house.prefetch") or {}
    assert policy["spec"]["podSelector"]["matchLabels"][names.LABEL_COMPONENT] == names.COMPONENT_PREFETCH
    words = json.dumps({"reason": "WeightsReady", "message": "", "totalBytes": 7, "revision": "abc"})
    await _pod_of(world, job, {"terminated": {"exitCode": 0, "message": words}})
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "WeightsReady", "True")
    live = await world.get(kinds.MODEL_DEPLOYMENT, "house") or {}
    assert (live["status"]["weights"]["totalBytes"], live["status"]["replicas"]) == (7, 0)


async def test_other_weights_are_another_job_and_none_goes_with_the_field(world: World) -> None:
    operator = await world.start()
    source = {"http": {"url": "http://mirror.corp/a.gguf", "sha256": "a" * 64}}
    await world.apply(samples.model_deployment(world.namespace, "house", cache=CACHE, prefetch=True, source=source))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.quiet(operator)
    (first,) = await _jobs(world)
    other = {"http": {"url": "http://mirror.corp/b.gguf", "sha256": "b" * 64}}
    await world.apply(samples.model_deployment(world.namespace, "house", cache=CACHE, prefetch=True, source=other))

    async def replaced() -> bool:
        found = await _jobs(world)
        return len(found) == 1 and found[0]["metadata"]["name"] != first["metadata"]["name"]

    await world.until("another Job takes the first one's place", replaced)
    await world.apply(samples.model_deployment(world.namespace, "house", cache=CACHE, prefetch=False, source=other))

    async def gone() -> bool:
        return not await _jobs(world) and await world.get(kinds.NETWORK_POLICY, "house.prefetch") is None

    await world.until("Job and policy are gone", gone)
