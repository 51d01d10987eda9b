"""The label that selects the policy of a way out stands on a pod for as long as its weights are not there."""

from __future__ import annotations

from typing import Any

from genset import kinds, names
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet
from tests.support.integration.world import World

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
ENDED_BADLY = {"terminated": {"exitCode": 4, "reason": "Error"}}
ENDED_WELL = {"terminated": {"exitCode": 0, "reason": "Completed"}}


async def _weights(world: World, pod: str, state: dict[str, Any]) -> None:
    """Reports the weights container as the kubelet does."""
    entry = {
        "name": names.WEIGHTS_CONTAINER, "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state,
    }  # fmt: skip
    await world.api.request(
        "PATCH",
        kinds.POD.path(world.namespace, pod, "status"),
        query={"fieldManager": "fake-kubelet"},
        body={"status": {"initContainerStatuses": [entry]}},
        headers={"Content-Type": "application/merge-patch+json"},
    )


async def _until_labelled(world: World, pod: str, labelled: bool) -> None:
    async def so() -> bool:
        live = await world.get(kinds.POD, pod) or {}
        return (live["metadata"]["labels"].get(names.LABEL_DOWNLOADING) == names.DOWNLOADING) is labelled

    await world.until(f"the label is {'on' if labelled else 'off'}", so)


async def test_the_label_follows_the_weights_container(world: World) -> None:
    operator = await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.quiet(operator)
    policy = await world.get(kinds.NETWORK_POLICY, "house.download") or {}
    assert policy["spec"]["podSelector"]["matchLabels"][names.LABEL_DOWNLOADING] == names.DOWNLOADING
    (pod,) = await FakeKubelet(world.api, world.namespace, "house").run(1, ready=False)
    name = pod["metadata"]["name"]
    await _until_labelled(world, name, False)
    for state, labelled in ((RUNNING, True), (ENDED_WELL, False), (ENDED_BADLY, True), (ENDED_WELL, False)):
        await _weights(world, name, state)
        await _until_labelled(world, name, labelled)


async def test_a_source_in_place_has_no_policy_of_a_way_out(world: World) -> None:
    operator = await world.start()
    source = {"pvc": {"claimName": "c", "path": "m.gguf"}}
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    assert await world.get(kinds.NETWORK_POLICY, "house.download") is not None
    await world.apply(samples.model_deployment(world.namespace, "house", source=source))

    async def gone() -> bool:
        return await world.get(kinds.NETWORK_POLICY, "house.download") is None

    await world.until("the policy of the download is gone", gone)
    await world.quiet(operator)
    deployment = await world.get(kinds.DEPLOYMENT, "house") or {}
    assert names.LABEL_DOWNLOADING not in deployment["spec"]["template"]["metadata"]["labels"]
