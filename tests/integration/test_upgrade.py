"""An upgrade of the operator, from the last release as it was, makes no pod new that serves; and so does the way back."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import genset
from genset import kinds, names
from genset.desired import metadata
from testbed import release
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet, FakePod
from tests.support.integration.process import Process
from tests.support.integration.world import SETTINGS, Object, World

MODEL, POLICY = kinds.MODEL_DEPLOYMENT, kinds.ROUTE_POLICY
ROUTER = metadata.router("assistant")
OLD_IMAGE = "registry.invalid/genset:0.1.0"
#: Everything that an administrator changes with an upgrade: its image, its pull policy, engines, pull secrets.
NEW = replace(
    SETTINGS,
    image="registry.invalid/genset:next",
    image_pull_policy="Always",
    engine_images={"llama.cpp": {"cpu": "registry.invalid/llama:next"}},
    image_pull_secrets=("registry",),
)


@asynccontextmanager
async def last_release(world: World, folder: Path, name: str = "last") -> AsyncIterator[Process]:
    """Runs the last release's operator for the world's namespace; it ends as by SIGTERM."""
    process = Process(
        world, folder, name, f"lease-{uuid.uuid4().hex[:8]}", "--namespace", world.namespace,
        "--engine-image", "llama.cpp/cpu=registry.invalid/llama:test",
        source=release.unpack(folder) / "operator", image=OLD_IMAGE,
    )  # fmt: skip
    try:
        yield process
        await asyncio.to_thread(process.end, signal.SIGTERM)
    finally:
        process.end()


async def served(world: World, *deployments: str, address: str = "127.77.9.1", **spec: Any) -> None:
    """Has the last release, or whoever leads, make models and a policy, whose pods then run."""
    await world.apply(samples.secret(world.namespace))
    for name in deployments:
        await world.apply(samples.model_deployment(world.namespace, name, **spec))
        await world.until_condition(MODEL, name, "Accepted", "True")
        await FakeKubelet(world.api, world.namespace, name, address).run(1)
    await world.apply(samples.route_policy(world.namespace, "assistant", deployment=deployments[0]))
    await world.until_condition(POLICY, "assistant", "Accepted", "True")
    await FakeKubelet(world.api, world.namespace, ROUTER, address).run(2)


async def deployment(world: World, name: str) -> Object:
    found = await world.get(kinds.DEPLOYMENT, name)
    assert found is not None
    return found


async def templates(world: World) -> dict[str, tuple[int, str]]:
    """Generation and pod template of every Deployment."""
    found = await world.list(kinds.DEPLOYMENT)
    return {
        item["metadata"]["name"]: (item["metadata"]["generation"], json.dumps(item["spec"]["template"], sort_keys=True))
        for item in found
    }


def images(live: Object) -> list[str]:
    spec = live["spec"]["template"]["spec"]
    return [item["image"] for item in (*spec.get("initContainers", ()), *spec["containers"])]


def becomes(world: World, name: str, true: Callable[[Object], Any]) -> Callable[[], Awaitable[Any]]:
    async def look() -> Any:
        return true(await deployment(world, name))

    return look


async def has_condition(world: World, kind: kinds.Kind, name: str, wanted: bool) -> bool:
    return bool(await world.condition(kind, name, "UpgradePending")) is wanted


async def test_an_upgrade_and_a_rollback_make_no_pod_new(world: World, tmp_path: Path) -> None:
    async with last_release(world, tmp_path):
        await served(world, "house")
    before = await templates(world)
    assert set(before) == {"house", ROUTER}

    operator = await world.start(settings=NEW)
    told = await world.until_condition(MODEL, "house", "UpgradePending", "True", "InUse")
    routers = await world.until_condition(POLICY, "assistant", "UpgradePending", "True", "InUse")
    await world.quiet(operator)
    assert await templates(world) == before
    assert genset.__version__ in told["message"] and "genset.dev/roll" in told["message"]
    assert "spec.router.onUpgrade" in routers["message"]
    since = world.plane.audit_position()
    await world.patch(MODEL, "house", {"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 2}})
    await world.until("scaled", becomes(world, "house", lambda live: live["spec"]["replicas"] == 2))
    assert (await templates(world))["house"][1] == before["house"][1], "scaling takes no upgrade along"
    await world.quiet(operator)
    since = world.plane.audit_position()
    await world.stop(operator)
    operator = await world.start(settings=NEW)
    await world.quiet(operator)
    assert world.writes(since) == [], "nothing is written at rest while an upgrade waits"
    await world.stop(operator)

    kept = await templates(world)
    async with last_release(world, tmp_path, "again") as process:

        async def taken_over() -> bool:
            bearers = [
                await world.get(kinds.SERVICE, "house-endpoints"),
                await world.get(kinds.SERVICE_ACCOUNT, ROUTER),
            ]
            return not any(names.ANNOTATION_PODS in live["metadata"]["annotations"] for live in bearers if live)

        await world.until("the last release has written", taken_over)
        assert await templates(world) == kept
        assert not any("Traceback" in line for line in process.lines())


async def test_what_the_user_asks_for_is_done_at_once(world: World, tmp_path: Path) -> None:
    async with last_release(world, tmp_path):
        await served(world, "house", "other")
    old = await templates(world)
    # While no operator runs, one of them is changed: that change is the user's, too.
    await world.patch(MODEL, "other", {"spec": {"context": {"tokens": 8192}}})
    operator = await world.start(settings=NEW)
    await world.until("the change is made", becomes(world, "other", lambda live: NEW.image in images(live)))
    await world.until_condition(MODEL, "house", "UpgradePending", "True", "InUse")
    assert not await world.condition(MODEL, "other", "UpgradePending")

    await world.patch(MODEL, "house", {"spec": {"context": {"tokens": 8192}}})
    await world.until("the change is made", becomes(world, "house", lambda live: NEW.image in images(live)))
    await world.until("told", lambda: has_condition(world, MODEL, "house", False))
    roll = {"metadata": {"annotations": {names.ANNOTATION_ROLL: "1"}}}
    assert (await templates(world))[ROUTER] == old[ROUTER]
    await world.patch(POLICY, "assistant", roll)
    await world.until("the routers are new", becomes(world, ROUTER, lambda live: NEW.image in images(live)))

    await world.quiet(operator)
    again = (await templates(world))["house"]
    await world.patch(MODEL, "house", roll)
    await world.until("new pods", becomes(world, "house", lambda live: live["metadata"]["generation"] > again[0]))
    await world.patch(MODEL, "house", {"metadata": {"annotations": {names.ANNOTATION_ROLL: "2"}}})
    await world.until("and again", becomes(world, "house", lambda live: live["metadata"]["generation"] > again[0] + 1))


async def test_a_change_of_the_operators_settings_alone_waits_too(world: World) -> None:
    operator = await world.start()
    await served(world, "house")
    await world.quiet(operator)
    before = await templates(world)
    await world.stop(operator)
    operator = await world.start(settings=NEW)
    told = await world.until_condition(MODEL, "house", "UpgradePending", "True", "InUse")
    assert "settings" in told["message"]
    await world.until_condition(POLICY, "assistant", "UpgradePending", "True", "InUse")
    await world.stop(operator)
    operator = await world.start()  # the settings are taken back: there is nothing to wait for
    await world.until("told", lambda: has_condition(world, MODEL, "house", False))
    await world.quiet(operator)
    assert await templates(world) == before


async def test_a_deployment_that_serves_nobody_takes_it(world: World, tmp_path: Path) -> None:
    async with last_release(world, tmp_path):
        await world.apply(samples.model_deployment(world.namespace, "rests", replicas=0))
        await world.until_condition(MODEL, "rests", "Accepted", "True")
        await served(world, "house")
    busy = "llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\nllamacpp:tokens_predicted_total {}\n"
    async with FakePod("127.77.9.1", metrics=busy.format(5)).listening(names.ENGINE_PORT) as engine:
        await world.start(settings=NEW, upgrade_idle_seconds=2.0)
        await world.until("the one at rest", becomes(world, "rests", lambda live: NEW.image in images(live)))
        await world.until_condition(MODEL, "house", "UpgradePending", "True", "InUse")
        await asyncio.sleep(3)  # longer than idle pods need
        assert NEW.image not in images(await deployment(world, "house")), "a request runs"
        engine.metrics = busy.format(9).replace("processing 1", "processing 0")
        await world.until("idle", becomes(world, "house", lambda live: NEW.image in images(live)))
        await world.until("told", lambda: has_condition(world, MODEL, "house", False))
        assert not await world.condition(MODEL, "rests", "UpgradePending")


async def test_now_is_one_after_another(world: World, tmp_path: Path) -> None:
    async with last_release(world, tmp_path):
        await served(world, "one", "two", rollout=None)
    async with FakePod("127.77.9.1").listening(names.ENGINE_PORT):
        await world.start(settings=NEW)
        for name in ("one", "two"):
            await world.until_condition(MODEL, name, "UpgradePending", "True", "InUse")
            await world.patch(MODEL, name, {"spec": {"rollout": {"onUpgrade": "Now"}}})

        async def first() -> str:
            new = [name for name in ("one", "two") if NEW.image in images(await deployment(world, name))]
            assert len(new) < 2, "one at a time"
            return new[0] if new else ""

        began = await world.until("one of them begins", first)
        waits = ({"one", "two"} - {began}).pop()
        told = await world.until_condition(MODEL, waits, "UpgradePending", "True", "WaitsItsTurn")
        assert began in told["message"]
        await asyncio.sleep(4)  # longer than the pause between two looks
        assert NEW.image not in images(await deployment(world, waits)), "the first one is not Ready again"
        await FakeKubelet(world.api, world.namespace, began, "127.77.9.1").report(1, 1)
        await world.until_condition(MODEL, began, "Ready", "True")
        await world.until("the next one", becomes(world, waits, lambda live: NEW.image in images(live)))


async def test_routers_that_cannot_read_their_policy_wait_for_nothing(world: World, tmp_path: Path) -> None:
    """It may say what only this release's routers know: those of the last one keep their last good configuration."""
    async with last_release(world, tmp_path):
        await served(world, "house", address="127.77.9.3")
    async with FakePod("127.77.9.3").listening(names.ROUTER_ADMIN_PORT) as router:
        router.config = {"hash": "old", "credentialsHash": "old", "generation": 1, "error": None}
        await world.start(settings=NEW)
        await world.until_condition(POLICY, "assistant", "UpgradePending", "True", "InUse")
        router.config["error"] = "backends.0.new: this router, version 0.1.0, does not know it"
        await world.until("new routers", becomes(world, ROUTER, lambda live: NEW.image in images(live)), seconds=40)
