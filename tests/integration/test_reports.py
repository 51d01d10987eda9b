"""Situations in which other operators were reported to tell what is not so, or to leave something behind.

Each test names the report: repository and number.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from genset import kinds, names
from genset.kinds import Kind
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet, FakePod, stamp
from tests.support.integration.world import World

MD = kinds.MODEL_DEPLOYMENT
RP = kinds.ROUTE_POLICY


async def serving(world: World, address: str, **spec: Any) -> FakeKubelet:
    await world.apply(samples.model_deployment(world.namespace, "house", **spec))
    await world.until_condition(MD, "house", "Accepted", "True")
    kubelet = FakeKubelet(world.api, world.namespace, "house", address)
    await kubelet.run(1)
    await world.until_condition(MD, "house", "Ready", "True")
    return kubelet


async def gone(world: World, kind: Kind, name: str) -> None:
    """Deletes an object at once: no kubelet is there to end a pod."""
    await world.api.request("DELETE", kind.path(world.namespace, name), query={"gracePeriodSeconds": "0"})


async def test_a_roll_out_that_has_just_begun_is_no_longer_ready(world: World) -> None:
    """kserve/kserve#4626: everything said Ready while the Deployment went on to the new generation."""
    await world.start()
    async with FakePod("127.77.11.1").listening(names.ENGINE_PORT) as engine:
        kubelet = await serving(world, engine.address)
        changed = await world.patch(MD, "house", {"spec": {"context": {"parallel": 7}}})

        async def spoken_of() -> Any:
            ready = await world.condition(MD, "house", "Ready")
            return ready if ready["observedGeneration"] == changed["metadata"]["generation"] else None

        ready = await world.until("the status speaks of the change", spoken_of)
        assert (ready["status"], ready["reason"]) == ("False", "RollingOut")
        assert (await world.condition(MD, "house", "Available"))["status"] == "True", "the old pod serves"
        await gone(world, kinds.POD, (await world.list(kinds.POD))[0]["metadata"]["name"])
        await kubelet.run(1)
        await world.until_condition(MD, "house", "Ready", "True")


async def test_who_waits_for_ready_does_not_get_that_of_an_earlier_spec(world: World) -> None:
    """cloudnative-pg/cloudnative-pg#11390: kubectl wait succeeded on a Ready from before the change was looked at."""
    operator = await world.start()
    async with FakePod("127.77.11.9").listening(names.ENGINE_PORT) as engine:
        await serving(world, engine.address)
        await world.stop(operator)
        waits = ("-n", world.namespace, "wait", "mdep/house", "--for=condition=Ready", "--timeout=3s")
        await asyncio.to_thread(world.plane.kubectl, *waits)
        await world.patch(MD, "house", {"spec": {"replicas": 2}})
        with pytest.raises(RuntimeError, match="timed out waiting for the condition"):
            await asyncio.to_thread(world.plane.kubectl, *waits)


async def test_a_pod_that_comes_back_and_crashes_before_it_serves_is_told(world: World) -> None:
    """kserve/kserve#1859: Ready=True beside 0/1 and Init:CrashLoopBackOff, for hours."""
    await world.start()
    async with FakePod("127.77.11.2").listening(names.ENGINE_PORT) as engine:
        kubelet = await serving(world, engine.address)
        (pod,) = await world.list(kinds.POD)
        await gone(world, kinds.POD, pod["metadata"]["name"])
        (pod,) = await kubelet.run(1, ready=False)
        ended = {
            "exitCode": 1,
            "reason": "Error",
            "message": "cannot open /models",
            "startedAt": stamp(),
            "finishedAt": stamp(),
        }
        crashing = {
            "name": "weights", "image": "i", "imageID": "", "ready": False, "started": False, "restartCount": 6,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": {"terminated": ended},
        }  # fmt: skip
        waiting = {
            "name": "engine", "image": "i", "imageID": "", "ready": False, "started": False, "restartCount": 0,
            "state": {"waiting": {"reason": "PodInitializing"}},
        }  # fmt: skip
        await world.api.request(
            "PATCH",
            kinds.POD.path(world.namespace, pod["metadata"]["name"], "status"),
            body={"status": {"phase": "Pending", "initContainerStatuses": [crashing], "containerStatuses": [waiting]}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        ready = await world.until_condition(MD, "house", "Ready", "False")
        assert (await world.until_condition(MD, "house", "Available", "False"))["status"] == "False"
        told = await world.until_condition(MD, "house", "WeightsReady", "False")
        assert "cannot open /models" in told["message"] or "cannot open /models" in ready["message"], (told, ready)


async def test_a_deployment_that_somebody_deletes_is_made_again_and_told_meanwhile(world: World) -> None:
    """istio/istio#44239: the status went on saying healthy, and nothing was made again."""
    await world.start()
    async with FakePod("127.77.11.3").listening(names.ENGINE_PORT) as engine:
        kubelet = await serving(world, engine.address)
        before = await world.get(kinds.DEPLOYMENT, "house")
        assert before is not None
        await gone(world, kinds.POD, (await world.list(kinds.POD))[0]["metadata"]["name"])
        await gone(world, kinds.DEPLOYMENT, "house")

        async def again() -> bool:
            live = await world.get(kinds.DEPLOYMENT, "house")
            return live is not None and live["metadata"]["uid"] != before["metadata"]["uid"]

        await world.until("the Deployment is there again", again)
        await world.until_condition(MD, "house", "Available", "False")
        await world.until_condition(MD, "house", "Ready", "False")
        await kubelet.run(1)
        await world.until_condition(MD, "house", "Ready", "True")


async def test_a_restart_by_hand_stays(world: World) -> None:
    """janus-idp/operator#281: the operator took the annotation of `kubectl rollout restart` away, and no pod was new."""
    operator = await world.start()
    async with FakePod("127.77.11.4").listening(names.ENGINE_PORT) as engine:
        await serving(world, engine.address)
        restarted = {"kubectl.kubernetes.io/restartedAt": stamp()}
        template = {"template": {"metadata": {"annotations": restarted}}}
        await world.patch(kinds.DEPLOYMENT, "house", {"spec": template})
        await world.quiet(operator)
        await world.patch(MD, "house", {"spec": {"context": {"parallel": 7}}})
        await world.quiet(operator)
        live = await world.get(kinds.DEPLOYMENT, "house")
        assert live is not None and live["spec"]["template"]["metadata"]["annotations"].items() >= restarted.items()


async def test_what_was_wrong_is_gone_from_the_status_once_it_is_right(world: World) -> None:
    """defilantech/LLMKube#475, Kong/kong-operator#2648: conditions of an earlier state stayed beside Ready."""
    await world.start()
    wrong = {"spec": {"nodeSelectors": {"pool": "gpu"}}}
    await world.apply(samples.model_deployment(world.namespace, "house", podTemplate=wrong))
    await world.until_condition(MD, "house", "Stalled", "True")
    async with FakePod("127.77.11.5").listening(names.ENGINE_PORT) as engine:
        await serving(world, engine.address)
        live = await world.get(MD, "house")
        assert live is not None
        told = {one["type"]: one["status"] for one in live["status"]["conditions"]}
        assert told == {"Accepted": "True", "WeightsReady": "True", "Available": "True", "Ready": "True"}


async def test_what_no_field_wants_any_more_goes(world: World) -> None:
    """envoyproxy/ai-gateway#836: an object that nothing referred to any more stayed for good."""
    await world.start()
    given = samples.secret(world.namespace, "team", apiKey="0123456789abcdefghijklmn")
    given["metadata"]["labels"] = {"genset.dev/consumer": "true"}
    consumer = {"name": "a", "requestsPerMinute": 7, "keysSecretRef": {"name": "team", "key": "apiKey"}}
    house = samples.model_deployment(world.namespace, "house", cache={"size": "1Gi"}, prefetch=True)
    policy = samples.route_policy(world.namespace, "assistant", access={"consumers": [consumer]})
    await world.apply(samples.secret(world.namespace), given, house, policy)
    wanted: list[tuple[Kind, str]] = [
        (kinds.SERVICE, "assistant-peers"),
        (kinds.NETWORK_POLICY, "house.download"),
        (kinds.NETWORK_POLICY, "house.prefetch"),
    ]

    async def missing() -> list[str]:
        return [name for kind, name in wanted if await world.get(kind, name) is None]

    async def all_there() -> bool:
        return not await missing()

    async def all_gone() -> bool:
        return len(await missing()) == len(wanted)

    await world.until("all are there", all_there)
    plain = {"pvc": {"claimName": "w", "path": "m.gguf"}}
    await world.patch(
        MD, "house", {"spec": {"prefetch": None, "cache": None, "source": {"huggingFace": None, **plain}}}
    )
    await world.patch(RP, "assistant", {"spec": {"access": None}})
    await world.until("all are gone", all_gone)


async def test_a_resource_goes_on_by_itself_when_what_was_in_its_way_is_gone(world: World) -> None:
    """NVIDIA/gpu-operator#2259: whoever had been refused because of another object waited for ever."""
    await world.start()
    others = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "house", "namespace": world.namespace},
        "spec": {"ports": [{"port": 80}]},
    }  # fmt: skip
    await world.apply_others(others)
    await world.apply(samples.model_deployment(world.namespace, "house"))
    told = await world.until_condition(MD, "house", "Accepted", "False", "NameConflict")
    assert "Service house" in told["message"]
    await world.delete(kinds.SERVICE, "house")
    await world.until_condition(MD, "house", "Accepted", "True", seconds=90)
