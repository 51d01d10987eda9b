"""One RoutePolicy: its configuration reaches running routers, and status tells the truth about it."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from genset import kinds, names
from genset.kube.observe import decoded
from tests.support import large_policy
from tests.support.integration import samples
from tests.support.integration.fakes import FakeKubelet, FakePod, FakeVolumes
from tests.support.integration.world import World

ADDRESSES = ("127.77.0.1", "127.77.0.2")


@dataclass
class Routers:
    """Two router pods that run."""

    pods: list[FakePod]
    volumes: list[FakeVolumes]
    followers: list[asyncio.Task[None]]


@asynccontextmanager
async def routers(world: World, policy: str, *, follow: bool = True) -> AsyncIterator[Routers]:
    """Pods of a policy's router that serve what their volumes hold, refreshed on the annotation."""
    async with AsyncExitStack() as stack:
        made = Routers([], [], [])
        for address in ADDRESSES:
            pod = await stack.enter_async_context(FakePod(address).listening(names.ROUTER_ADMIN_PORT))
            kubelet = FakeKubelet(world.api, world.namespace, f"{policy}-router", address)
            volumes = FakeVolumes(world.api, (await kubelet.run(1))[0], pod)
            await volumes.refresh()
            made.pods.append(pod)
            made.volumes.append(volumes)
            if follow:
                made.followers.append(asyncio.create_task(volumes.follow()))
        await kubelet.report(len(ADDRESSES), len(ADDRESSES))
        try:
            yield made
        finally:
            for task in made.followers:
                task.cancel()


async def served(world: World, policy: str = "assistant") -> dict[str, Any]:
    """The RouterConfig in the ConfigMap."""
    live = await world.get(kinds.CONFIG_MAP, f"{policy}-router-config")
    return json.loads(live["data"][names.ROUTER_CONFIG_FILE]) if live else {}


async def applied(world: World) -> None:
    await world.apply(
        samples.secret(world.namespace),
        samples.model_deployment(world.namespace, "house"),
        samples.route_policy(world.namespace, "assistant"),
    )
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "True")


async def test_children_and_status_appear(world: World) -> None:
    await world.start()
    await applied(world)
    deployment = await world.get(kinds.DEPLOYMENT, "assistant-router")
    assert deployment is not None and deployment["spec"]["replicas"] == 2
    assert await world.get(kinds.SERVICE, "assistant-router") is not None
    account = await world.get(kinds.SERVICE_ACCOUNT, "assistant-router")
    assert account is not None and account["automountServiceAccountToken"] is False
    assert [backend["name"] for backend in (await served(world))["backends"]] == ["house", "frontier"]
    programmed = await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Programmed", "False")
    assert programmed["message"]


async def test_a_changed_policy_reaches_running_routers(world: World) -> None:
    """From apply to Programmed, as fast as a person would hope."""
    await world.start()
    await applied(world)
    async with routers(world, "assistant") as made:
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        took = []
        for attempts in (2, 3, 5):
            spec = samples.route_policy(world.namespace, "assistant")["spec"]
            spec["routes"][0]["failover"] = {"maxAttempts": attempts}
            began = asyncio.get_running_loop().time()
            changed = await world.patch(kinds.ROUTE_POLICY, "assistant", {"spec": spec})

            async def programmed(generation: int = changed["metadata"]["generation"]) -> bool:
                found = await world.condition(kinds.ROUTE_POLICY, "assistant", "Programmed")
                return found["status"] == "True" and found["observedGeneration"] == generation

            await world.until("Programmed", programmed, pause=0.01)
            took.append(asyncio.get_running_loop().time() - began)
            hashes = {pod.config["hash"] for pod in made.pods}
            live = await world.get(kinds.ROUTE_POLICY, "assistant")
            assert live is not None and hashes == {live["status"]["configHash"]}
            assert live["status"]["programmedRouters"] == 2
        print(f"\napply -> Programmed, two fake routers: {', '.join(f'{seconds * 1000:.0f} ms' for seconds in took)}")
        assert max(took) < 2


async def test_a_rotated_secret_reaches_running_routers(world: World) -> None:
    await world.start()
    await applied(world)
    async with routers(world, "assistant") as made:
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        before = {pod.config["credentialsHash"] for pod in made.pods}
        template = (await world.get(kinds.DEPLOYMENT, "assistant-router") or {})["spec"]["template"]
        await world.apply(samples.secret(world.namespace, apiKey="sk-rotated"))

        async def rotated() -> bool:
            return all(pod.config["credentialsHash"] not in before for pod in made.pods)

        await world.until("both routers have the new key", rotated)
        own = await world.get(kinds.SECRET, "assistant-router-credentials")
        assert own is not None and b"sk-rotated" in decoded(own).values()
        assert (await world.get(kinds.DEPLOYMENT, "assistant-router") or {})["spec"]["template"] == template
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Programmed", "True")


async def test_the_routers_own_secret_is_repaired(world: World) -> None:
    operator = await world.start()
    await applied(world)
    await world.quiet(operator)
    own = await world.get(kinds.SECRET, "assistant-router-credentials")
    assert own is not None
    await world.patch(kinds.SECRET, "assistant-router-credentials", {"data": dict.fromkeys(own["data"], "b29wcw==")})

    async def repaired() -> bool:
        return (await world.get(kinds.SECRET, "assistant-router-credentials") or {}).get("data") == own["data"]

    await world.until("the credentials are as they were", repaired)


async def test_a_deleted_secret_leaves_the_key_in_use(world: World) -> None:
    operator = await world.start()
    await applied(world)
    own = await world.get(kinds.SECRET, "assistant-router-credentials")
    assert own is not None
    await world.delete(kinds.SECRET, "cloud")
    resolved = await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "False", "SecretNotFound")
    assert "Secret cloud" in resolved["message"]
    await world.quiet(operator)
    assert (await world.get(kinds.SECRET, "assistant-router-credentials") or {})["data"] == own["data"]
    assert [backend["name"] for backend in (await served(world))["backends"]] == ["house", "frontier"]


async def test_an_unknown_deployment_is_told_and_found_when_it_comes(world: World) -> None:
    await world.start()
    await world.apply(samples.secret(world.namespace), samples.route_policy(world.namespace, "assistant"))
    resolved = await world.until_condition(
        kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "False", "DeploymentNotFound"
    )
    assert "ModelDeployment house" in resolved["message"]
    assert [backend["name"] for backend in (await served(world))["backends"]] == ["frontier"]
    await world.apply(samples.model_deployment(world.namespace, "house"))
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "True")
    assert [backend["name"] for backend in (await served(world))["backends"]] == ["house", "frontier"]
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"spec": {"context": {"tokens": 2048}}})

    async def follows() -> bool:
        return (await served(world))["backends"][0]["contextTokens"] == 2048

    await world.until("the policy's configuration follows its deployment", follows)
    await world.delete(kinds.MODEL_DEPLOYMENT, "house")
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "False", "DeploymentNotFound")


async def test_a_router_that_refuses_the_configuration(world: World) -> None:
    await world.start()
    await applied(world)
    async with routers(world, "assistant", follow=False) as made:
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Programmed", "True")
        for pod in made.pods:
            pod.config = {**pod.config, "error": "backends: tier 1 is empty"}
        await world.patch(kinds.ROUTE_POLICY, "assistant", {"spec": {"router": {"limits": {"maxQueued": 7}}}})
        programmed = await world.until_condition(
            kinds.ROUTE_POLICY, "assistant", "Programmed", "False", "ConfigRejected"
        )
        assert "tier 1 is empty" in programmed["message"]


async def test_no_polling_at_rest(world: World) -> None:
    """But for its outages, a router is asked when something changed, and at a resync; not in between."""
    operator = await world.start(outages_seconds=3600.0)
    await applied(world)
    async with routers(world, "assistant") as made:
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
        await world.quiet(operator)
        since, asked = world.plane.audit_position(), [pod.asked for pod in made.pods]
        await asyncio.sleep(2)
        assert [pod.asked for pod in made.pods] == asked
        assert world.writes(since) == []


async def test_what_no_route_needs_may_be_missing_and_a_hidden_route_is_told(world: World) -> None:
    """The policy's references count as resolved; a condition and Events tell what does nothing."""
    await world.start()
    body = samples.route_policy(world.namespace, "assistant")
    body["spec"]["backends"].append({"name": "spare", "deployment": {"name": "gone"}})
    every, some = copy.deepcopy(body["spec"]["routes"][0]), copy.deepcopy(body["spec"]["routes"][0])
    every.pop("match")
    body["spec"]["routes"] = [{**every, "name": "first"}, {**some, "name": "second"}]
    await world.apply(samples.secret(world.namespace), samples.model_deployment(world.namespace, "house"), body)
    warned = await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Warnings", "True", "UnreachableRoute")
    assert "spec.routes[second] gets no request, because spec.routes[first]" in warned["message"]
    assert "spec.backends[spare] is named by no route" in warned["message"]
    assert "ModelDeployment gone" in warned["message"]
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "True")

    async def told() -> bool:
        events = [e for e in await world.list(kinds.EVENT) if e["regarding"]["name"] == "assistant"]
        hidden = [e for e in events if e["reason"] == "UnreachableRoute"]
        return len(hidden) == 1 and "spec.routes[first]" in hidden[0]["note"]

    await world.until("an Event that names the hiding route", told)
    body["spec"]["routes"].reverse()
    body["spec"]["backends"].pop()
    await world.apply(body)

    async def silent() -> bool:
        live = await world.get(kinds.ROUTE_POLICY, "assistant")
        return live is not None and all(item["type"] != "Warnings" for item in live["status"]["conditions"])

    await world.until("no warning any more", silent)


async def test_a_policy_that_no_config_map_could_hold_as_it_is(world: World) -> None:
    """128 backends and 256 routes with the longest names: compressed, served, and written plainly again once it is small."""
    await world.start()
    small = samples.route_policy(world.namespace, "large")
    await world.apply({**small, "spec": large_policy.spec(models=4, tiers=8, width=5)})
    await world.until_condition(kinds.ROUTE_POLICY, "large", "Accepted", "True", seconds=60)
    async with routers(world, "large") as running:
        await world.until_condition(kinds.ROUTE_POLICY, "large", "Programmed", "True", seconds=60)
        live = await world.get(kinds.CONFIG_MAP, "large-router-config")
        assert live is not None and set(live["binaryData"]) == {"router.json.gz"}
        status = (await world.get(kinds.ROUTE_POLICY, "large") or {})["status"]
        assert running.pods[0].config["hash"] == status["configHash"]

        await world.apply(samples.secret(world.namespace), samples.model_deployment(world.namespace, "house"), small)
        await world.until_condition(kinds.ROUTE_POLICY, "large", "Accepted", "True", seconds=60)

        async def plain() -> bool:
            found = await world.get(kinds.CONFIG_MAP, "large-router-config") or {}
            return "binaryData" not in found and "compressed" not in found["data"][names.ROUTER_CONFIG_FILE]

        await world.until("a small configuration is written as it is", plain)
