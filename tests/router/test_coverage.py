"""What coverage says of a loss is what a router does when the loss is real.

Policies are resources, read and built as the operator does; clouds and pods are scripted servers, each at a port of its own. For
each loss that the policy can have, and for each route, the prediction is compared with who answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import ModelDeploymentStatus, PlaceStatus
from genset.api.routepolicy import RoutePolicy
from genset.continuity.coverage import Consequence, Loss, LossKind, Survival, World, coverage
from genset.desired import coverage as desired
from genset.desired import router_config
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.secrets import EVERY_HOST, UserSecret
from genset.router.process.options import Bounds
from genset.router.watch.verify import VerifyTimeouts
from testbed import resources
from testbed.router import RunningRouter
from testbed.upstream import steps
from testbed.upstream.client import Response, chat
from testbed.upstream.scripted import ScriptedUpstream

OFTEN = Bounds(cloud_probe=0.2, verify=VerifyTimeouts(look=0.1))
SECRETS = {name: UserSecret({"key": f"sk-{name}".encode()}, allow_hosts=EVERY_HOST) for name in ("one", "two")}


@dataclass
class Site:
    """A site is a policy with the servers that it names. `nodes`: where the pods of a model of the house stand."""

    policy: RoutePolicy
    servers: dict[str, ScriptedUpstream]
    nodes: Mapping[str, str]
    world: World = field(init=False)
    content: dict[str, Any] = field(init=False)
    files: dict[str, bytes] = field(init=False)

    def __post_init__(self) -> None:
        context = RoutePolicyContext(
            Settings(image="genset:1"),
            deployments={name: self._deployment(name) for name in self.nodes},
            secrets=SECRETS,
            from_files=True,
        )
        config = router_config.build(self.policy, context)
        self.files = router_config.credential_files(self.policy, context)
        self.world = desired.world(self.policy, config, self.files, context.deployments)
        self.content = json.loads(config.canonical_json())
        for backend in self.content["backends"]:
            if backend.get("local"):  # pods have names in the cluster's DNS
                backend["local"]["dns"] = {"host": "127.0.0.1", "port": self.servers[backend["name"]].port}

    def _deployment(self, name: str) -> ModelDeployment:
        made = ModelDeployment.model_validate(
            resources.model_deployment(
                "models", name, {"huggingFace": {"repo": "a/b", "file": "m.gguf"}}, model="counting"
            )
        )
        capacity = [PlaceStatus(node=self.nodes[name], replicas=1, slots=4)]
        return made.model_copy(update={"status": ModelDeploymentStatus(capacity=capacity)})

    def gone(self, loss: Loss) -> list[ScriptedUpstream]:
        """Returns the servers that nobody reaches after a loss."""
        found = self.world.answerers
        wanted = {
            LossKind.CLOUD: [one.name for one in found.values() if not one.house],
            LossKind.HOUSE: [one.name for one in found.values() if one.house],
            LossKind.ZONE: [one.name for one in found.values() if one.zone == loss.name],
            LossKind.NODE: [one.name for one in found.values() if self.nodes.get(one.name) == loss.name],
            LossKind.PROVIDER: [],
        }[loss.kind]
        return [self.servers[name] for name in wanted]


def cloud(name: str, secret: str, url: str, zone: str = "world") -> dict[str, Any]:
    ref = {"name": secret, "key": "key"}
    made = {
        "provider": "openAICompatible",
        "model": name,
        "baseURL": url,
        "credentialsSecretRef": ref,
        "allowPlainHTTP": True,
    }
    return {"name": name, "cloud": made, "dataZone": zone}


def route(name: str, *tiers: str, **failover: Any) -> dict[str, Any]:
    found = [{"backends": [{"name": one} for one in tier.split()]} for tier in tiers]
    return {"name": name, "match": {"models": [name]}, "tiers": found, **({"failover": failover} if failover else {})}


#: Routes of each policy. Clouds: a and b of one account in zone eu, c of another one at the same host in zone us. House: h, g.
POLICIES: dict[str, list[dict[str, Any]]] = {
    "cloud first": [route("r", "a", "h"), route("s", "a", "b"), route("t", "a", "c")],
    "house first": [route("r", "h", "a"), route("s", "h", "g"), route("t", "g", "h", "c")],
    "several in a tier": [route("r", "a c"), route("s", "a b", "h g"), route("t", "a h")],
    "the house may not be left": [
        route("r", "h", "a", toCloudOn=[]),
        route("s", "h", "a", toCloudOn=["Unreachable"]),
        route("t", "h", "c", "g", toCloudOn=[]),
    ],
    "one behind the other": [route("r", "a", "b", "c", "h"), route("s", "c", "b"), route("t", "h")],
}  # fmt: skip
LOSSES = [
    Loss(LossKind.CLOUD), Loss(LossKind.HOUSE), Loss(LossKind.ZONE, "eu"), Loss(LossKind.ZONE, "us"), Loss(LossKind.NODE, "n1"),
    Loss(LossKind.PROVIDER, "one"), Loss(LossKind.PROVIDER, "two"),  # by the Secret that its key is in
]  # fmt: skip


@asynccontextmanager
async def site(routes: list[dict[str, Any]], refused: list[str]) -> AsyncIterator[Site]:
    """Starts the servers. Clouds of one account are at one address, which refuses the keys of `refused`."""

    def choose(received: Any) -> steps.Step | None:
        shown = received.headers.get("authorization", "")
        return steps.unauthorized() if any(f"sk-{name}" in shown for name in refused) else None

    async with AsyncExitStack() as stack:
        eu = await stack.enter_async_context(ScriptedUpstream(choose=choose))
        us = await stack.enter_async_context(ScriptedUpstream(choose=choose))
        servers = {"a": eu, "b": eu, "c": us}
        for name in ("h", "g"):
            servers[name] = await stack.enter_async_context(ScriptedUpstream())
        backends = [
            cloud("a", "one", eu.base_url, "eu"),
            cloud("b", "one", eu.base_url, "eu"),
            cloud("c", "two", us.base_url, "us"),
            *({"name": name, "deployment": {"name": name}} for name in ("h", "g")),
        ]
        document = {**resources.route_policy("models", "p", backends), "status": None}
        document["spec"]["routes"] = routes
        yield Site(RoutePolicy.model_validate(document), servers, {"h": "n1", "g": "n2"})


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.words)
@pytest.mark.parametrize("policy", POLICIES)
async def test_a_loss_that_is_real_does_what_was_predicted(tmp_path: Path, policy: str, loss: Loss) -> None:
    refused: list[str] = []
    async with site(POLICIES[policy], refused) as made:
        predicted = coverage(made.world)
        async with RunningRouter(tmp_path, made.content, made.files, bounds=OFTEN) as router:
            before = {one.name: await answer(router, one.name) for one in made.world.routes}
            assert all(found.complete for found in before.values()), "every route is answered before"
            for server in made.gone(loss):
                await server.kill()
            if loss.kind is LossKind.PROVIDER:
                refused.append(loss.name)
            for one in made.world.routes:
                said = {short(found.loss): found for found in predicted[one.name]}.get(loss)
                await compared(router, made.world, one.name, said, before[one.name])


def short(loss: Loss) -> Loss:
    """Names an account by its Secret: ports differ from run to run."""
    if loss.kind is not LossKind.PROVIDER:
        return loss
    return Loss(loss.kind, loss.name.rpartition(" ")[2].removesuffix("/key"))


async def compared(router: RunningRouter, world: World, route: str, said: Consequence | None, before: Response) -> None:
    """Compares what was said of a route with who answers, once the router has seen what is lost."""
    view = next(one for one in world.routes if one.name == route)
    if said is not None and said.outcome is Survival.LOST:
        assert not (await answer(router, route)).complete, (
            f"route {route} is answered, though it was called lost: {said.why}"
        )
        return
    first = view.tiers.index(next(tier for tier in view.tiers if before.headers["x-genset-backend"] in tier)) + 1
    tier = said.tier if said is not None else first
    async with asyncio.timeout(15):
        while True:
            found = await answer(router, route)
            assert found.complete, (
                f"route {route} should go on ({said.why if said else 'untouched'}): {found.status} {found.text}"
            )
            if found.headers["x-genset-backend"] in view.tiers[(tier or 0) - 1]:
                return
            await asyncio.sleep(0.1)


async def answer(router: RunningRouter, route: str) -> Response:
    return await router.ask(chat(model=route))


def test_each_loss_is_one_that_the_policies_can_have() -> None:
    async def found() -> set[Loss]:
        known: set[Loss] = set()
        for routes in POLICIES.values():
            async with site(routes, []) as made:
                known |= {short(one.loss) for consequences in coverage(made.world).values() for one in consequences}
        return known

    assert asyncio.run(found()) >= set(LOSSES)
