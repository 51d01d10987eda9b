"""Servers elsewhere: the operator sends nothing to an address that a user names, and tells little of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from genset import kinds
from tests.integration.test_route_policy import routers
from tests.support.integration import samples
from tests.support.integration.fakes import FakePod
from tests.support.integration.world import World

ANSWERS = {"backend": "house", "answers": True}
NOBODY = {"backend": "house", "answers": False, "status": 0, "words": ""}
REFUSES = {"backend": "house", "answers": False, "status": 401, "words": "Incorrect API key provided"}


async def desk(world: World, url: str, **more: Any) -> None:
    external = {"engine": "external", "source": None, "replicas": None, "external": {"url": url, **more}}
    await world.apply(samples.model_deployment(world.namespace, "desk", **external))


def tell(pods: list[FakePod], *servers: dict[str, Any]) -> None:
    for pod, server in zip(pods, servers, strict=True):
        pod.sees = {"servers": [server]}


async def routed(world: World) -> None:
    """Applies a policy that asks the desk first."""
    await world.apply(
        samples.secret(world.namespace), samples.route_policy(world.namespace, "assistant", deployment="desk")
    )


async def test_a_server_elsewhere_is_asked_by_routers_alone(world: World) -> None:
    """A listener at the address hears nothing of the operator, from the first moment to the end."""
    heard: list[Any] = []
    listener = await asyncio.start_server(lambda *connection: heard.append(connection), "0.0.0.0", 0)
    port, own = listener.sockets[0].getsockname()[1], "192.0.2.77"
    async with listener:
        operator = await world.start()
        await desk(world, f"http://{own}:{port}")
        ready = await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready", "Unknown", "NotProbed")
        assert ready["message"] == "No RoutePolicy routes to it; it is asked once one does"
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Available", "Unknown", "NotProbed")
        assert await world.list(kinds.DEPLOYMENT) == []
        await world.apply(
            samples.secret(world.namespace), samples.route_policy(world.namespace, "assistant", deployment="desk")
        )
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready", "False", "Starting")
        async with routers(world, "assistant") as made:
            await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Ready", "True")
            tell(made.pods, ANSWERS, ANSWERS)
            await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready", "True")
            tell(made.pods, ANSWERS, NOBODY)
            ready = await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready", "False", "Unreachable")
            assert "1 of 2 routers are answered" in ready["message"]
            assert (await world.condition(kinds.MODEL_DEPLOYMENT, "desk", "Available"))["status"] == "True"
            tell(made.pods, REFUSES, REFUSES)
            ready = await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready", "False", "CompletionFailed")
            assert "the server answered 401: Incorrect API key provided" in ready["message"]
            tell(made.pods, ANSWERS, ANSWERS)
            before = await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready", "True")
            await world.quiet(operator)
            await world.stop(operator)
            since = world.plane.audit_position()
            again = await world.start()
            await world.quiet(again)
            assert await world.condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready") == before
            assert world.writes(since) == []
        await world.delete(kinds.ROUTE_POLICY, "assistant")
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready", "Unknown", "NotProbed")
    assert not heard


async def test_what_listens_there_is_not_told(world: World) -> None:
    """Whatever routers met, a condition says one sentence, without a byte of an answer."""
    await world.start()
    await desk(world, "http://10.1.2.3:6443")
    await routed(world)
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "ResolvedRefs", "True")
    async with routers(world, "assistant") as made:
        tell(made.pods, NOBODY, NOBODY)
        ready = await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready", "False", "Unreachable")
        assert ready["message"] == "A completion failed: no OpenAI-compatible server answered at 10.1.2.3:6443"
        await desk(world, "http://10.1.2.4:22")
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready", "False", "Unreachable")

        async def follows() -> bool:
            ready = await world.condition(kinds.MODEL_DEPLOYMENT, "desk", "Ready")
            return str(ready["message"]).endswith("answered at 10.1.2.4:22")

        await world.until("the condition speaks of the new address", follows)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1234", "http://169.254.169.254", "http://kubernetes.default.svc"])
async def test_an_address_that_no_router_may_dial_is_refused(world: World, url: str) -> None:
    await world.start()
    await desk(world, url)
    told = await world.until_condition(kinds.MODEL_DEPLOYMENT, "desk", "Accepted", "False", "InvalidSpec")
    assert "spec.external.url" in told["message"] and "name a server" in told["message"]


async def test_a_policy_that_leads_to_its_own_router(world: World) -> None:
    """By the Service's address, which nobody knows before it exists."""
    await world.start()
    await desk(world, "http://desk.corp:1234")
    await routed(world)
    await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "True")
    service = await world.get(kinds.SERVICE, "assistant-router")
    assert service is not None
    for url in (
        f"http://{service['spec']['clusterIP']}",
        f"http://assistant-router.{world.namespace}.svc.cluster.local.:80",
    ):
        await desk(world, url)
        told = await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "False", "InvalidSpec")
        assert "own routers" in told["message"] and "spec.external.url of ModelDeployment desk" in told["message"]
        await desk(world, "http://desk.corp:1234")
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "True")
