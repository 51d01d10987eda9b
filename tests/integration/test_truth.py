"""What is refused, left behind, or changed by somebody else blinds no status and holds back nothing but itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genset import kinds, names
from genset.runtime import Operator
from testbed.cluster.webhook import mutating
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet, FakePod
from tests.support.integration.world import SETTINGS, World

TYPO = {"spec": {"nodeSelectors": {"disk": "ssd"}}}


@pytest.mark.parametrize(
    ("pods", "told"),
    [("AllowList", "spec.podTemplate.spec.nodeSelectors is not among"), ("Full", "nodeSelectors: no such field")],
)
async def test_a_typo_in_the_pod_template_is_named_and_what_runs_is_told(world: World, pods: str, told: str) -> None:
    """Refused by the operator itself, or by the API server's schema."""
    await world.start(settings=replace(SETTINGS, pod_template=pods))
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    async with FakePod("127.77.9.1").listening(names.ENGINE_PORT) as engine:
        kubelet = FakeKubelet(world.api, world.namespace, "house", engine.address)
        await kubelet.run(1)
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "True")
        await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"podTemplate": TYPO}})
        accepted = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "InvalidSpec")
        assert told in accepted["message"], accepted
        available = await world.condition(kinds.MODEL_DEPLOYMENT, "house", "Available")
        weights = await world.condition(kinds.MODEL_DEPLOYMENT, "house", "WeightsReady")
        assert available["status"] == "True" and weights["status"] == "True", (available, weights)

        await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"replicas": 0}})

        async def scaled() -> bool:
            deployment = await world.get(kinds.DEPLOYMENT, "house")
            return deployment is not None and deployment["spec"]["replicas"] == 0

        await world.until("the Deployment is scaled although its template is refused", scaled)


async def test_routers_whose_pods_are_refused_are_scaled_all_the_same(world: World) -> None:
    await world.start()
    await world.apply(samples.route_policy(world.namespace, "desk"))
    await world.until_condition(kinds.ROUTE_POLICY, "desk", "Accepted", "True")
    before = await world.get(kinds.DEPLOYMENT, "desk-router")
    await world.patch(kinds.ROUTE_POLICY, "desk", {"spec": {"router": {"podTemplate": TYPO, "replicas": 4}}})
    await world.until_condition(kinds.ROUTE_POLICY, "desk", "Accepted", "False", "InvalidSpec")

    async def scaled() -> bool:
        deployment = await world.get(kinds.DEPLOYMENT, "desk-router")
        return deployment is not None and deployment["spec"]["replicas"] == 4

    await world.until("the routers are scaled although their template is refused", scaled)
    after = await world.get(kinds.DEPLOYMENT, "desk-router")
    assert before is not None and after is not None
    assert after["spec"]["template"] == before["spec"]["template"]


async def test_a_volume_that_cannot_grow_holds_back_nothing_else(world: World) -> None:
    await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house", cache={"size": "1Gi"}))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"cache": {"size": "2Gi"}, "context": {"parallel": 7}}})
    accepted = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "ApplyRejected")
    assert "PersistentVolumeClaim house-weights" in accepted["message"] and "never shrinks" in accepted["message"]

    async def rolled() -> bool:
        deployment = await world.get(kinds.DEPLOYMENT, "house")
        return deployment is not None and "7" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]

    await world.until("the Deployment has the new arguments", rolled)
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"cache": {"size": "1Gi"}}})
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")


async def test_what_a_deleted_resource_left_behind_is_adopted(world: World) -> None:
    operator = await world.start()
    deployment = samples.model_deployment(world.namespace, "house", cache={"size": "1Gi"})
    await world.apply(samples.secret(world.namespace), deployment, samples.route_policy(world.namespace, "assistant"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "True")
    await world.stop(operator)
    before = await world.get(kinds.PVC, "house-weights")
    assert before is not None
    for kind, name in ((kinds.MODEL_DEPLOYMENT, "house"), (kinds.ROUTE_POLICY, "assistant")):
        await world.delete(kind, name)
    # What the garbage collector makes of the children under `--cascade=orphan`; this API server has none.
    for kind in (kinds.PVC, kinds.DEPLOYMENT, kinds.SERVICE, kinds.CONFIG_MAP, kinds.SECRET, kinds.SERVICE_ACCOUNT,
                 kinds.NETWORK_POLICY, kinds.DISRUPTION_BUDGET):  # fmt: skip
        for child in await world.list(kind):
            if names.ANNOTATION_DESIRED_HASH in (child["metadata"].get("annotations") or {}):
                await world.patch(kind, child["metadata"]["name"], {"metadata": {"ownerReferences": None}})
    await world.apply(deployment, samples.route_policy(world.namespace, "assistant"))
    await world.start()
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "True")
    after = await world.get(kinds.PVC, "house-weights")
    owner = await world.get(kinds.MODEL_DEPLOYMENT, "house")
    assert after is not None and owner is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "the volume with the weights is the same"
    assert after["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]


async def test_two_operators_of_one_namespace_stop_and_say_so(world: World) -> None:
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.start(lease_name="first")
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.start(lease_name="second", settings=replace(SETTINGS, image_pull_secrets=("another",)))
    accepted = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "Contested", 60)
    assert "genset-system/first and genset-system/second" in accepted["message"], accepted

    async def rest() -> bool:
        first = await world.get(kinds.DEPLOYMENT, "house")
        since = world.plane.audit_position()
        for _ in range(3):
            await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"metadata": {"labels": {"x": "y"}}})
        for operator, _, _ in world.operators:
            await world.quiet(operator)
        return first == await world.get(kinds.DEPLOYMENT, "house") and not world.writes(since)

    await world.until("both leave the Deployment alone", rest, 60)


async def written_at_rest(world: World, operator: Operator) -> list[str]:
    """Has a settled resource looked at three times more. Returns what the operator wrote at that."""
    await world.quiet(operator)
    since = world.plane.audit_position()
    for number in range(3):
        await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"metadata": {"labels": {"x": str(number)}}})
        await world.quiet(operator)
    return world.writes(since)


async def test_zero_values_are_not_written_again(world: World) -> None:
    operator = await world.start()
    engine = {"name": names.ENGINE_CONTAINER, "env": [{"name": "EMPTY", "value": ""}]}
    await world.apply(
        samples.model_deployment(world.namespace, "house", podTemplate={"spec": {"containers": [engine]}})
    )
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    assert await written_at_rest(world, operator) == []


async def test_a_webhook_that_changes_a_field_is_told_once_and_let_be(world: World, tmp_path: Path) -> None:
    patch = [{"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 7}]
    operator = await world.start()
    async with mutating(world.api, world.namespace, tmp_path, patch):
        await world.apply(samples.model_deployment(world.namespace, "house"))
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
        assert await written_at_rest(world, operator) == []
        told = [
            event
            for event in await world.list(kinds.EVENT)
            if event["reason"] == "FieldOverruled" and event["regarding"]["name"] == "house"
        ]
        assert len(told) == 1, [event.get("note") for event in told]
        assert "spec.podTemplate.spec.terminationGracePeriodSeconds" in told[0]["note"]


async def test_a_sandbox_that_cannot_be_made_is_told_in_the_nodes_words(world: World) -> None:
    await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    pod = (await FakeKubelet(world.api, world.namespace, "house").run(1, ready=False))[0]
    scheduled = {"type": "PodScheduled", "status": "True"}
    status = {"phase": "Pending", "conditions": [scheduled], "containerStatuses": None, "initContainerStatuses": None}
    await world.api.request(
        "PATCH",
        kinds.POD.path(world.namespace, pod["metadata"]["name"], "status"),
        body={"status": status},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    words = 'Failed to create pod sandbox: no runtime for "nvidia" is configured'
    about = {
        "kind": "Pod",
        "name": pod["metadata"]["name"],
        "namespace": world.namespace,
        "uid": pod["metadata"]["uid"],
    }
    event = {"metadata": {"name": "told", "namespace": world.namespace}, "involvedObject": about, "type": "Warning"}
    await world.api.create(kinds.POD_EVENT, {**event, "reason": "FailedCreatePodSandBox", "message": words})
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"metadata": {"labels": {"x": "y"}}})
    available = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Available", "False", "SandboxFailed")
    assert words in available["message"]


async def test_an_upgrade_of_the_operator_alone_makes_no_engine_new(world: World) -> None:
    """It is told, and the next change of the model takes the new puller along."""
    operator = await world.start(settings=replace(SETTINGS, image="genset:1", image_pull_policy="Always"))
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.stop(operator)
    before = await world.get(kinds.DEPLOYMENT, "house")
    since = world.plane.audit_position()
    operator = await world.start(settings=replace(SETTINGS, image="genset:2", image_pull_policy="Never"))
    await world.quiet(operator)
    assert await world.get(kinds.DEPLOYMENT, "house") == before
    assert [one for one in world.writes(since) if "/status" not in one and "/events" not in one] == []
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "UpgradePending", "True")
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"replicas": 2}})

    async def scaled() -> bool:
        deployment = await world.get(kinds.DEPLOYMENT, "house")
        return deployment is not None and deployment["spec"]["replicas"] == 2

    await world.until("it is scaled", scaled)
    after = await world.get(kinds.DEPLOYMENT, "house")
    assert before is not None and after is not None
    assert after["spec"]["template"] == before["spec"]["template"], "scaling makes no pod new"
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"context": {"parallel": 3}}})

    async def follows() -> bool:
        deployment = await world.get(kinds.DEPLOYMENT, "house")
        puller = deployment["spec"]["template"]["spec"]["initContainers"][0] if deployment is not None else {}
        return (puller.get("image"), puller.get("imagePullPolicy")) == ("genset:2", "Never")

    await world.until("the new pods have the new puller", follows)
