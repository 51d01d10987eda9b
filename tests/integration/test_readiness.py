"""Ready=True means that a completion through the engine succeeded, not that a pod runs."""

from __future__ import annotations

from genset import kinds, names
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet, FakePod
from tests.support.integration.world import World


async def started(world: World, **spec: object) -> None:
    await world.apply(samples.model_deployment(world.namespace, "house", **spec))
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")


async def test_ready_after_a_real_completion_only(world: World) -> None:
    operator = await world.start()
    await started(world)
    async with FakePod("127.77.1.1", completion_status=500).listening(names.ENGINE_PORT) as engine:
        kubelet = FakeKubelet(world.api, world.namespace, "house", engine.address)
        await kubelet.run(1)
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Available", "True")
        ready = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "False", "CompletionFailed")
        assert "slot unavailable" in ready["message"]
        engine.completion_status = 200
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "True")
        await world.quiet(operator)
        asked = engine.completions
        await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"metadata": {"labels": {"x": "y"}}})
        await world.quiet(operator)
        assert engine.completions == asked, "the same pods are not asked again"


async def test_a_new_pod_is_asked_and_readiness_survives_an_operator_restart(world: World) -> None:
    operator = await world.start()
    await started(world, replicas=2)
    async with (
        FakePod("127.77.1.2").listening(names.ENGINE_PORT) as first,
        FakePod("127.77.1.3").listening(names.ENGINE_PORT) as second,
    ):
        await FakeKubelet(world.api, world.namespace, "house", first.address).run(1)
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "False", "RollingOut")
        kubelet = FakeKubelet(world.api, world.namespace, "house", second.address)
        await kubelet.run(1)
        await kubelet.report(2, 2)
        ready = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Ready", "True")
        assert first.completions and second.completions
        await world.quiet(operator)
        await world.stop(operator)
        since = world.plane.audit_position()
        again = await world.start()
        await world.quiet(again)
        assert await world.condition(kinds.MODEL_DEPLOYMENT, "house", "Ready") == ready
        assert world.writes(since) == []


async def test_scaled_to_zero_is_told(world: World) -> None:
    await world.start()
    await started(world, replicas=0)
    ready = await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Available", "False", "ScaledToZero")
    assert ready["message"]


async def test_events_tell_what_happened(world: World) -> None:
    await world.start()
    await started(world)

    async def told() -> bool:
        events = await world.list(kinds.EVENT)
        return {"Accepted", "Starting"} <= {e["reason"] for e in events if e["regarding"]["name"] == "house"}

    await world.until("Events about the ModelDeployment", told)
